"""Every example runs, and what it prints is valid."""

import json
import re
import runpy
from pathlib import Path

import lark
import pytest
from jsonschema import Draft202012Validator

from ctrlgen.tool_call import tools

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def run(name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def load(name: str) -> dict:
    return json.loads((ROOT / "schemas" / name).read_text(encoding="utf-8"))


def check_call(call: dict) -> None:
    Draft202012Validator(tools(load("snips_tools.json")).schema).validate(call)


def parse(grammar: str, text: str) -> None:
    parser = lark.Lark((ROOT / "schemas" / grammar).read_text(encoding="utf-8"))
    parser.parse(text)


def test_every_example_is_tested() -> None:
    tested = set(re.findall(r'run\("(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    assert sorted(tested) == EXAMPLES


def test_quickstart(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in run("quickstart.py", capsys)]
    outputs = {line["task"]: line["output"] for line in lines}
    assert list(outputs) == ["record", "tool call", "regex", "grammar"]
    assert isinstance(outputs["record"]["name"], str)
    check_call(outputs["tool call"])
    assert re.fullmatch(r"\d{3}-\d{3}-\d{4}", outputs["regex"])
    parse("arithmetic.lark", outputs["grammar"])


def test_extract(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run("extract.py", capsys)
    assert len(lines) == 2
    for line in lines:
        Draft202012Validator(load("restaurant.json")).validate(json.loads(line) | {"name": "any"})


def test_tool_call(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run("tool_call.py", capsys)
    assert len(lines) == 3
    for line in lines:
        check_call(json.loads(line))


def test_find_text(capsys: pytest.CaptureFixture[str]) -> None:
    phone, date, answer = run("find_text.py", capsys)
    assert re.fullmatch(r"\d{3}-\d{3}-\d{4}", phone)
    assert re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", date)
    assert answer in ("yes", "no")


def test_grammar_sql(capsys: pytest.CaptureFixture[str]) -> None:
    queries = run("grammar_sql.py", capsys)
    assert len(queries) == 2
    for query in queries:
        parse("sql_select.lark", query)
