"""Keywords that are nearly one which asserts something."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ctrlgen.cli import app
from ctrlgen.constraints.schema_expand import APPLICATORS, PLAIN
from ctrlgen.misspelling import KEYWORDS, misspelled
from ctrlgen.spec import SpecWarning, json_schema, to_spec

CORPUS = Path(__file__).parents[2] / "shared" / "data" / "maskbench-dev.jsonl.gz"
TYPOS = {
    "maxLenght": "maxLength", "max_length": "maxLength", "reqired": "required",
    "Type": "type", "addtionalProperties": "additionalProperties", "patern": "pattern",
    "anyof": "anyOf", "propertes": "properties", "exclusiveMinimun": "exclusiveMinimum",
}  # fmt: skip


@pytest.mark.parametrize(("keyword", "meant"), TYPOS.items())
def test_typos(keyword: str, meant: str) -> None:
    assert list(misspelled({keyword: 1})) == [("", keyword, meant)]


def test_every_keyword_that_is_enforced_is_known() -> None:
    assert PLAIN | APPLICATORS <= KEYWORDS
    assert not list(misspelled({keyword: {} for keyword in KEYWORDS}))


def test_only_keywords_are_looked_at() -> None:
    names = {"maxLenght": {"type": "string"}, "Type": {"const": {"patern": 1}}}
    schema = {"properties": names, "default": {"anyof": 1}, "required": ["reqired"]}
    assert not list(misspelled(schema))
    for annotation in ("title", "x-format", "_format", "//pattern", "units", "note", "readOnly"):
        assert not list(misspelled({annotation: "a"})), annotation
    assert not list(misspelled({"maxLength": 3, "maxLenght": 4}))
    deep = {"items": {"anyOf": [True, {"$defs": {"a/b": {"Type": "string"}}}]}}
    assert list(misspelled(deep)) == [("/items/anyOf/1/$defs/a~1b", "Type", "type")]


def test_a_spec_of_such_a_schema_warns() -> None:
    schema = {"type": "string", "maxLenght": 3}
    with pytest.warns(SpecWarning, match="at /: the keyword 'maxLenght' .* 'maxLength' meant"):
        json_schema(schema)
    with pytest.warns(SpecWarning, match="at /items: "):
        to_spec({"items": schema})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        json_schema({"properties": {f"p{i}": schema for i in range(100)}})
    assert len(caught) == 5


def test_the_command_says_so() -> None:
    text = json.dumps({"type": "string", "maxLenght": 3})
    result = CliRunner().invoke(app, ["compile", "--schema", text])
    assert result.exit_code == 0
    note = "at / the keyword 'maxLenght' says nothing: is 'maxLength' meant?"
    assert f"note            {note}" in result.output


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not on this machine")
def test_real_schemas_are_seldom_suspected() -> None:
    with gzip.open(CORPUS, "rt") as file:
        found = [list(misspelled(json.loads(line)["schema"])) for line in file]
    assert 0 < sum(map(bool, found)) < len(found) / 200
