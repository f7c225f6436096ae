"""Questions of the Berkeley Function-Calling Leaderboard, and their gold calls as answers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from ctrlgen.tool_call.descriptions import read_tool

SAMPLE = Path(__file__).parents[1] / "data" / "bfcl-dev.jsonl.gz"
WHOLE = Path(__file__).parents[3] / "shared" / "data" / "bfcl-dev.jsonl.gz"

Row = dict[str, Any]


def rows(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def gold(row: Row) -> Any:
    """The gold answer: a call, a list of calls, or None for a question that wants no call."""
    calls = [
        _call(row, name, given) for each in row["ground_truth"] for name, given in each.items()
    ]
    return calls[0] if len(calls) == 1 else calls or None


def _call(row: Row, name: str, given: Row) -> Row:
    function = next(f for f in row["functions"] if f["name"] == name)
    properties = read_tool(function).parameters["properties"]
    arguments = {}
    for key, schema in properties.items():
        found = [_plain(value) for value in given.get(key, ()) if value != ""]
        fitting = [value for value in found if Draft202012Validator(schema).is_valid(value)]
        if found:
            arguments[key] = (fitting or found)[0]
    return {"name": name, "arguments": arguments}


def _plain(value: Any) -> Any:
    """A value; inside of an object BFCL lists the possible values of each member."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    members = {
        k: [v for v in each if v != ""] if isinstance(each, list) else [each]
        for k, each in value.items()
    }
    return {k: _plain(each[0]) for k, each in members.items() if each}
