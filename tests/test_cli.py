"""The command line: exit codes, one-line errors, plain output; the shorthand; the picture."""

import io
import json
from collections.abc import Container
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

import ctrlgen
from ctrlgen.canvas import Cell
from ctrlgen.cli import app
from ctrlgen.cli.canvas_view import picture, watch
from ctrlgen.cli.shorthand import parse_fields
from ctrlgen.denoisers import TransformersDenoiser
from ctrlgen.errors import ModelError, SpecError
from ctrlgen.result import Result, StepEvent, Usage

SCHEMAS = Path(__file__).parents[1] / "schemas"
PLACE = "There is a place in the city centre, Alimentum, that is not family-friendly."


def run(*arguments: str, stdin: str | bytes | None = None) -> Any:
    return CliRunner().invoke(app, arguments, input=stdin)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "hi"], "give exactly one of --schema"),
        (["generate", "hi", "--regex", "a", "--choice", "a"], "give exactly one of --schema"),
        (["generate", "hi", "--schema", "missing.json"], "No such file"),
        (["generate", "hi", "--grammar", "missing.lark"], "No such file"),
        (["generate", "hi", "--schema", "name, age number"], "at position 10"),
        (["generate", "hi", "--schema", '{"type": '], "not JSON"),
        (["generate", "hi", "--choice", "a,a"], "given twice"),
        (["generate", "hi", "--choice", "a,,b"], "one of the texts is empty"),
        (["generate", "hi", "--choice", "a", "--trace", "no/x"], "error: no/x: No such file"),
        (["compile"], "give FILE, or one of"),
        (["generate", "hi", "--schema", str(SCHEMAS)], "a folder, not a file"),
        (["generate", "hi", "--schema", "a.lark"], "(--grammar a.lark)"),
        (["generate", "hi", "--schema", "a.gbnf"], "a .gbnf file is no JSON Schema"),
        (["generate", "hi", "--schema", "a.regex"], '(--regex "$(cat FILE)")'),
        (["generate", "hi", "--schema", "a, " * 200 + "b"], "given twice"),
        (["generate", "hi", "--choice", "a", "--model", "./nothing"], "no such folder"),
        (["generate", "hi", "--choice", "a", "--model", "~/nothing"], "write ~ as the whole path"),
        (["generate", "hi", "--choice", "a", "--model", "a/b/c"], "no such folder"),
        (["generate", "hi", "--choice", "a", "--model", ""], "a folder or a hub id"),
        (["generate", "h\udcff", "--choice", "a"], "PROMPT is not UTF-8 text"),
        (["compile", "missing.json"], "No such file"),
        (["compile", "a.txt"], "unknown suffix"),
        (["compile", "--schema", '{"type": "nothing"}'], "/type"),
        (["compile", "--schema", '{"type": "integer", "minimum": 2, "maximum": 1}'], ""),
        (["compile", "--regex", "(?<=a)b"], "no text at all"),
        (["compile", "--regex", r"(a|b)\1"], "at position"),
        (["compile", "--regex", "("], "at position"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("ctrlgen: error: ")
    assert message in line


def test_a_bad_grammar_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.lark"
    file.write_text("start: missing\n")
    result = run("compile", str(file))
    assert result.exit_code == 2
    assert "missing" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_usage_errors() -> None:
    assert run("generate", "hi", "--choice", "a", "--steps", "0").exit_code == 2
    assert run("nothing").exit_code == 2


def test_generate_prints_plain_json() -> None:
    result = run("generate", PLACE, "--schema", str(SCHEMAS / "restaurant.json"))
    assert result.exit_code == 0, result.stderr
    assert "name" in json.loads(result.stdout)
    assert result.stderr == ""


def test_generate_reads_stdin_and_is_repeatable() -> None:
    options = ["--schema", "name, area: city centre|riverside", "--seed", "7"]
    first = run("generate", *options, "--temperature", "1", stdin=PLACE)
    again = run("generate", "-", *options, "--temperature", "1", stdin=PLACE)
    assert first.exit_code == 0, first.stderr
    assert json.loads(first.stdout)["area"] in ("city centre", "riverside")
    assert first.stdout == again.stdout


def test_generate_text(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    result = run("generate", "yes or no?", "--choice", "yes, no", "--trace", str(trace))
    assert result.stdout.strip() in ("yes", "no")
    steps = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))


def test_a_trace_that_cannot_be_written_costs_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctrlgen, "load", lambda _: pytest.fail("loaded"), raising=False)
    path = tmp_path / "missing" / "trace.jsonl"
    result = run("generate", "hi", "--choice", "yes, no", "--trace", str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such file" in result.stderr


def test_stdin_that_is_not_utf8_is_told_in_one_line() -> None:
    result = run("generate", "--choice", "yes, no", stdin=b"caf\xe9?")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("ctrlgen: error: stdin is not UTF-8 text")
    assert len(result.stderr.splitlines()) == 1


def test_an_answer_that_was_cut_off_says_so() -> None:
    result = run("generate", PLACE, "--schema", "name, food?", "--deadline", "0")
    assert result.exit_code == 0
    assert "name" in json.loads(result.stdout)
    assert result.stderr == (
        "ctrlgen: cut off after 0 forward passes (deadline); the answer is valid but unfinished\n"
    )


def test_an_interrupted_answer_is_printed_and_sets_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TransformersDenoiser, "__call__", interrupt)
    result = run("generate", PLACE, "--schema", "name")
    assert result.exit_code == 130
    assert "name" in json.loads(result.stdout)
    assert "(interrupt)" in result.stderr


@pytest.mark.parametrize("named", [5, 0, "", b"model", Path("owner") / "name"])
def test_a_model_is_named_by_a_folder_or_an_id(named: Any) -> None:
    with pytest.raises(ModelError, match=r"a folder or a hub id|no such folder"):
        ctrlgen.load(named)


@pytest.mark.parametrize("device", ["nonsense", "cuda"])
def test_a_device_that_is_not_there_is_told_in_one_line(device: str) -> None:
    torch = pytest.importorskip("torch")
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    result = run("generate", "yes?", "--choice", "yes, no", "--device", device)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("ctrlgen: error: cannot load")


def test_a_device_is_where_the_model_goes() -> None:
    result = run("generate", "yes?", "--choice", "yes, no", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() in ("yes", "no")


def test_generate_in_one_step_with_a_picture() -> None:
    result = run("generate", PLACE, "--schema", "name, food?", "--steps", "1", "--show")
    assert result.exit_code == 0, result.stderr
    assert "name" in json.loads(result.stdout)
    assert "forward passes" in result.stderr


def test_a_canvas_too_small_is_bad_input() -> None:
    result = run("generate", PLACE, "--schema", "name, age int", "--max-new-tokens", "2")
    assert result.exit_code == 2
    assert "the shortest valid answer needs" in result.stderr


def test_compile_reports() -> None:
    result = run("compile", str(SCHEMAS / "restaurant.json"), "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["minimum_tokens"] > 1
    assert report["states"] > 1
    assert report["classes"] > 1
    assert any('"name":' in text for text in report["pinned"])
    readable = run("compile", "--schema", '{"type":"string","format":"colour"}').stdout
    assert "format 'colour' is not known" in readable


def test_shorthand() -> None:
    assert parse_fields("name, age int, tags list[str], kind: a|b, born? date, x int|null") == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "kind": {"enum": ["a", "b"]},
            "born": {"type": "string", "format": "date"},
            "x": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["name", "age", "tags", "kind", "x"],
        "additionalProperties": False,
    }
    assert parse_fields("area: city centre|null")["properties"]["area"] == {
        "enum": ["city centre", None]
    }
    nested = parse_fields("m list[list[a|b]]")["properties"]["m"]
    assert nested["items"]["items"] == {"enum": ["a", "b"]}


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("a,", 2),
        ("1x", 0),
        ("a b", 2),
        ("a int, a", 7),
        ("x:", 2),
        ("x list[int", 6),
        ("x list[a]]", 7),
        ("x list[]", 7),
        ("x a|int", 2),
        ("x a||b", 4),
    ],
)
def test_bad_shorthand_says_where(text: str, position: int) -> None:
    with pytest.raises(SpecError, match=f"at position {position} of"):
        parse_fields(text)


class Still:
    """A canvas that stands still."""

    def cells(self, window: Container[tuple[int, int]] = ()) -> tuple[Cell, ...]:
        return (
            Cell('{"a":', "pinned", 1.0),
            Cell("x", "committed", 0.9),
            Cell("sure", "open", 0.8),
            Cell("unsure", "open", 0.1),
            Cell("", "fill", 1.0),
        )

    def text(self) -> str:
        return '{"a":"x"}'


def event(result: Result | None = None) -> StepEvent:
    return StepEvent(2, 2, Still(), result)


def test_picture() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(picture(event()))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert '{"a":xsure░·' in shown
    assert "step 2 · 2 forward passes · 2 open" in shown


def test_watch_returns_the_result() -> None:
    result = Result({"a": "x"}, '{"a":"x"}', "stop", Usage())
    console = Console(file=io.StringIO(), force_terminal=True)
    assert watch([event(), event(result)], console) is result
