"""Batches: in order, each row once, bad rows apart, resumed where they stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ctrlgen
from ctrlgen.batch import Output, Row, Worker, read_rows
from ctrlgen.cli import app
from ctrlgen.denoisers import TransformersDenoiser
from ctrlgen.errors import SpecError

ROWS: list[Any] = [
    "Ann is 41",
    {"prompt": "Bob is 7", "id": "b"},
    {"messages": [{"role": "user", "content": "Cy is 12"}]},
    {"text": "no prompt"},
    {"prompt": 5},
    "Di is 99",
    "x " * 2000,
    "Ed is 3",
]
BAD = {3: "neither", 4: "neither a text", 6: "context"}


def write(path: Path, rows: list[Any], more: str = "") -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + more)
    return path


def answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["batch", *map(str, arguments)])


def check(found: list[dict[str, Any]]) -> None:
    assert [row["index"] for row in found] == list(range(len(ROWS)))
    for row in found:
        if row["index"] in BAD:
            assert BAD[row["index"]] in row["error"]
        else:
            assert isinstance(row["output"]["age"], int)
    assert found[1]["id"] == "b"


def test_rows_of_every_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", ROWS, "\nnot json\n")
    rows = list(read_rows(path))
    assert [row.index for row in rows] == list(range(9))
    assert rows[0].prompt == "Ann is 41" and rows[1].id == "b"
    assert "line 10 is not JSON" in rows[8].error
    assert [row.index for row in read_rows(path, 5)] == [5, 6, 7, 8]


def test_a_file_is_answered_in_order(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl"
    result = run(source, target, "--schema", "name, age int", "--steps", 2, "--batch", 3)
    assert result.exit_code == 0, result.output
    check(answers(target))
    assert set(tmp_path.iterdir()) == {source, target}
    again = run(source, target, "--schema", "name, age int")
    assert again.exit_code == 2
    assert "not an unfinished run" in again.stderr


def test_a_seed_makes_rows_repeatable_however_they_are_grouped(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ["Ann is 41", "Ann is 41", 5, "Cy is 12", "Di is 99"])
    found = []
    for name, size, seed in (("a", 1, 7), ("b", 4, 7), ("c", 2, 8)):
        options = ["--schema", "name, age int", "--temperature", 2, "--batch", size, "--seed", seed]
        result = run(source, tmp_path / name, *options)
        assert result.exit_code == 0, result.output
        found.append([row.get("output") for row in answers(tmp_path / name)])
    assert found[0] == found[1] != found[2]
    assert found[0][0] != found[0][1], "each row draws for itself"


def test_a_deadline_and_a_length_are_the_generators(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ["Ann is 41"])
    result = run(source, tmp_path / "out", "--schema", "name, age int", "--deadline", 0)
    assert result.exit_code == 0, result.output
    assert answers(tmp_path / "out")[0]["finish_reason"] == "deadline"
    result = run(source, tmp_path / "short", "--schema", "name", "--max-new-tokens", 2)
    assert "shortest valid answer needs" in answers(tmp_path / "short")[0]["error"]


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = write(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl"
    answer, calls = Worker.answer, []

    def dies(self: Worker, rows: list[Row]) -> list[dict[str, Any]]:
        calls.append([row.index for row in rows])
        if len(calls) == 3:
            raise RuntimeError("power cut")
        return answer(self, rows)

    monkeypatch.setattr(Worker, "answer", dies)
    arguments = (source, target, "--schema", "name, age int", "--steps", 1, "--batch", 2)
    assert run(*arguments).exception
    assert len(answers(target)) == 4
    with target.open("a") as file:
        file.write('{"index": 4, "outp')  # half a row was on its way to the disk
    other = run(source, target, "--schema", "name, age", "--steps", 1)
    assert other.exit_code == 2 and "another input or type" in other.stderr
    assert run(*arguments).exit_code == 0
    check(answers(target))
    assert calls[3:] == [[4, 5], [6, 7]]


def test_an_interrupted_chunk_is_dropped_and_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the second chunk, of which the generator makes valid witnesses."""
    source, target = write(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl"
    answer, denoised, calls = Worker.answer, TransformersDenoiser.__call__, []

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def notes(self: Worker, rows: list[Row]) -> list[dict[str, Any]]:
        calls.append([row.index for row in rows])
        if len(calls) == 2:
            monkeypatch.setattr(TransformersDenoiser, "__call__", interrupt)
        return answer(self, rows)

    monkeypatch.setattr(Worker, "answer", notes)
    arguments = (source, target, "--schema", "name, age int", "--steps", 1, "--batch", 3)
    stopped = run(*arguments)
    assert stopped.exit_code == 130
    assert "interrupted after 3 rows" in stopped.stderr
    assert [row["index"] for row in answers(target)] == [0, 1, 2]
    monkeypatch.setattr(TransformersDenoiser, "__call__", denoised)
    assert run(*arguments).exit_code == 0
    assert calls == [[0, 1, 2], [3, 4, 5], [3, 4, 5], [6, 7]]
    check(answers(target))


def test_an_interrupt_before_the_first_row_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TransformersDenoiser, "__call__", interrupt)
    source = write(tmp_path / "in.jsonl", ["Ann is 41"])
    stopped = run(source, tmp_path / "out.jsonl", "--schema", "name")
    assert stopped.exit_code == 130
    assert "nothing was written" in stopped.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_a_failed_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = write(tmp_path / "in.jsonl", ["Ann is 41"]), tmp_path / "out.jsonl"
    bad = run(source, target, "--schema", '{"type": "integer", "minimum": 2, "maximum": 1}')
    assert bad.exit_code == 2
    monkeypatch.setitem(sys.modules, "ray", None)
    bad = run(source, target, "--schema", "age int", "--workers", 1)
    assert bad.exit_code == 2 and "need Ray" in bad.stderr
    assert list(tmp_path.iterdir()) == [source]
    assert run(source, target, "--schema", "age int").exit_code == 0
    assert set(tmp_path.iterdir()) == {source, target}


def test_a_refused_output_costs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctrlgen, "load", lambda _: pytest.fail("loaded"), raising=False)
    source = write(tmp_path / "in.jsonl", ["Ann is 41"])
    (tmp_path / "out.jsonl").write_text("mine\n")
    refused = run(source, tmp_path / "out.jsonl", "--schema", "age int")
    assert refused.exit_code == 2 and "not an unfinished run" in refused.stderr
    assert (tmp_path / "out.jsonl").read_text() == "mine\n"


def test_a_run_over_no_rows_is_complete(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", []), tmp_path / "out.jsonl"
    assert run(source, target, "--schema", "age int").exit_code == 0
    assert set(tmp_path.iterdir()) == {source, target}


def test_rows_with_an_empty_prompt_are_denoised_together(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = ctrlgen.Generator(ctrlgen.load(), ctrlgen.choice(["yes", "no"]))
    monkeypatch.setattr(generator, "generate", lambda *_: pytest.fail("done again, alone"))
    found = Worker(generator).answer([Row(0, "yes?"), Row(1, ""), Row(2, "no?")])
    assert [row["output"] in ("yes", "no") for row in found] == [True] * 3


def test_a_fault_of_the_program_is_no_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = ctrlgen.Generator(ctrlgen.load(), ctrlgen.choice(["yes", "no"]))

    def faulty(*_: Any, **__: Any) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(generator, "generate_batch", faulty)
    with pytest.raises(ValueError, match="a fault"):
        Worker(generator).answer([Row(0, "yes?")])


def test_text_that_is_not_unicode_is_a_bad_row(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = ['"café"'.encode(), '"café"'.encode("latin-1"), b'{"prompt": "a", "id": "\\ud800"}']
    source.write_bytes(b"\n".join([*lines, b'"plain"']))
    prompts = [(row.prompt, row.error) for row in read_rows(source)]
    assert prompts == [
        ("café", ""),
        (None, "line 2 is not UTF-8 at its byte 5"),
        (None, "line 3 escapes a lone surrogate"),
        ("plain", ""),
    ]
    assert run(source, target, "--choice", "yes, no").exit_code == 0
    assert ["error" in row for row in answers(target)] == [False, True, True, False]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with (
        Output(target, ["a"]),
        pytest.raises(SpecError, match="another process"),
        Output(target, ["a"]),
    ):
        pass


def test_rows_out_of_order_are_not_written(tmp_path: Path) -> None:
    with Output(tmp_path / "out.jsonl", []) as output, pytest.raises(ValueError, match="due"):
        output.write([{"index": 1}])


CALL = """
import sys
from ctrlgen.cli import app
sys.argv = ["ctrlgen", "batch", *sys.argv[1:]]
app()
"""


@pytest.mark.slow
def test_a_killed_worker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Two Ray actors; one is killed while they work."""
    ray = pytest.importorskip("ray")
    psutil = pytest.importorskip("psutil")
    count = 120
    source = write(tmp_path / "in.jsonl", [f"number {n} of many" for n in range(count)])
    target = tmp_path / "out.jsonl"
    log = (tmp_path / "log").open("wb")
    child = subprocess.Popen(
        [sys.executable, "-c", CALL, source, target, "--schema", "n int", "--workers", "2",
         "--batch", "2"], stderr=log,
    )  # fmt: skip
    killed = False
    ends = time.monotonic() + 400
    while child.poll() is None and time.monotonic() < ends:
        time.sleep(0.2)
        if not killed and target.exists() and target.read_bytes().count(b"\n") >= 4:
            actors = [
                p for p in psutil.Process(child.pid).children(recursive=True)
                if "MapWorker" in " ".join(p.cmdline()) or "ray::MapWorker" in p.name()
            ]  # fmt: skip
            if actors:
                actors[0].kill()
                killed = True
    status = child.wait(30)
    log.close()
    assert status == 0, (tmp_path / "log").read_text()
    assert killed, f"no actor of Ray {ray.__version__} was found"
    found = answers(target)
    assert [row["index"] for row in found] == list(range(count))
    assert all("output" in row for row in found)
