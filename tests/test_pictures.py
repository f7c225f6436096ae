"""The trace as a page: what it holds, and that it plays in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ctrlgen
from ctrlgen.cli import app
from ctrlgen.controllers.blocks import FixedBlocks
from ctrlgen.errors import SpecError
from ctrlgen.pictures import read_trace, trace_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
# What a person does: step forward, jump to the end, play; the page tells what it shows.
CLICKS = """<script>
addEventListener("load", () => {
  const seen = [], note = () => seen.push([at, $("witness").textContent, $("count").textContent]);
  note();
  $("next").click(); note();
  dispatchEvent(new KeyboardEvent("keydown", { key: "End" })); note();
  $("scrub").value = 0; $("scrub").dispatchEvent(new Event("input")); note();
  $("play").click(); seen.push([$("play").textContent]);
  $("play").click(); seen.push([$("play").textContent]);
  dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
  dispatchEvent(new KeyboardEvent("keydown", { key: "d" }));
  seen.push([at, $("story").textContent]);
  dispatchEvent(new KeyboardEvent("keydown", { key: "c" }));
  seen.push([$("numbers").getAttribute("aria-pressed"), $("canvas").className]);
  const cells = [...document.querySelectorAll("#canvas .cell")];
  const classes = new Set(cells.flatMap(cell => [...cell.classList]));
  document.title = "done";
  document.body.replaceChildren(Object.assign(document.createElement("pre"),
    { id: "seen", textContent: JSON.stringify([seen, [...classes]]) }));
});
</script>"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "</script>": {
                "anyOf": [
                    {"type": "null"},
                    {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]},
                ]
            },
        },
        "required": ["name", "age", "</script>"],
    }
    generator = ctrlgen.Generator(ctrlgen.load(), schema, block=FixedBlocks(8))
    result = generator.generate("Ann <b>Lee</b> is 41")
    path = tmp_path_factory.mktemp("trace") / "run.jsonl"
    path.write_text("".join(json.dumps(event.as_dict()) + "\n" for event in result.trace))
    return path


def test_the_page_holds_every_step(trace: Path) -> None:
    events = read_trace(trace)
    page = trace_page(events, "<run>")
    assert page.count("</script>") == 1
    assert "&lt;run&gt;" in page and "{{" not in page
    (data,) = re.findall(r"const trace = (.*);\n", page)
    assert json.loads(data) == events
    assert not re.findall(r"(?:src|href)=", page)


def test_a_trace_tells_windows_and_decisions(trace: Path) -> None:
    events = read_trace(trace)
    windows = [{(c["gap"], c["state"]) for c in e["cells"] if c["window"]} for e in events]
    assert any(windows), "blocks of eight positions leave others out"
    inside = [c for e in events for c in e["cells"] if c["window"]]
    assert all(cell["gap"] >= 0 for cell in inside), "pinned text is in no window"
    for event in events:  # what commits by choice does so inside the window
        if event["cells"] and any(c["window"] for c in event["cells"]):
            outside = [c for c in event["cells"] if c["state"] == "open" and not c["window"]]
            assert outside
    decided = [each for event in events for each in event.get("decided", ())]
    first = decided[0]
    assert first["after"].endswith('"</script>":')
    assert first["taken"] in first["among"]
    assert first["among"][0] == "null" and first["among"][1].startswith("{")
    assert 0 < first["confidence"] <= 1


def test_the_whole_canvas_is_no_window() -> None:
    result = ctrlgen.Generator(ctrlgen.load(), {"enum": ["a", "b"]}).generate("a")
    assert not any(cell.window for event in result.trace for cell in event.cells)


def test_the_command_writes_it(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.html"
    result = CliRunner().invoke(app, ["trace", str(trace), "--html", str(out)])
    assert result.exit_code == 0, result.output
    assert "run.jsonl" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"cells": []}', '[1]\n{"a": 2}'])
def test_what_is_no_trace_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(SpecError, match="trace"):
        read_trace(path)


def test_a_result_shows_itself_in_a_notebook() -> None:
    result = ctrlgen.Generator(ctrlgen.load(), str).generate("<i>")
    shown = result._repr_html_()
    assert "forward passes" in shown
    assert "<i>" not in shown


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_the_page_plays_in_a_browser(trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(trace_page(read_trace(trace)).replace("</html>", CLICKS + "</html>"))
    dom = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    (told,) = re.findall(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    seen, classes = json.loads(html.unescape(told))
    events = read_trace(trace)
    last = len(events) - 1
    assert [row[:2] for row in seen[:4]] == [
        [i, events[i]["text"]] for i in (0, min(1, last), last, 0)
    ]
    assert "pause" in seen[4][0] and "play" in seen[5][0]
    forks = [i for i, event in enumerate(events) if event.get("decided") and i > 0]
    assert seen[6][0] == (forks[0] if forks else 0)
    assert not forks or "decided after" in seen[6][1]
    assert seen[7] == ["true", "numbers"]
    assert {"pinned", "cell"} <= set(classes)
