"""Tools become one schema whose local references still hold."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from ctrlgen.constraints import lower
from ctrlgen.errors import OutputValidationError, SpecError
from ctrlgen.tool_call import ToolCall, tools

SNIPS = Path(__file__).parents[1] / "schemas" / "snips_tools.json"


class Address(BaseModel):
    city: str
    next: "Address | None" = None


class Deliver(BaseModel):
    to: Address


def weather(city: str, days: int = 1) -> str:
    """Tell the weather."""
    return f"{city} {days}"


def accepts(spec: Any, name: str, arguments: dict[str, Any]) -> bool:
    return Draft202012Validator(spec.schema).is_valid({"name": name, "arguments": arguments})


def test_functions_and_models() -> None:
    spec = tools([weather, Deliver])
    assert (spec.kind, spec.tool_names) == ("tools", ("weather", "Deliver"))
    assert accepts(spec, "weather", {"city": "Rome"})
    assert not accepts(spec, "weather", {"days": 1})
    assert accepts(spec, "Deliver", {"to": {"city": "Rome", "next": {"city": "Bari"}}})
    assert not accepts(spec, "Deliver", {"to": {"city": "Rome", "next": {"city": 3}}})
    assert not accepts(spec, "weather", {"to": {"city": "Rome"}})
    assert lower(spec).rules is not None


@pytest.mark.parametrize("key", ["parameters", "input_schema", "inputSchema"])
def test_dicts(key: str) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    flat = {"name": "f", "description": "d", key: parameters}
    for tool in (flat, {"type": "function", "function": flat}):
        spec = tools([tool, {"name": "ping"}])
        assert spec.tool_names == ("f", "ping")
        assert accepts(spec, "f", {"a": 1})
        assert not accepts(spec, "f", {"a": "1"})
        assert accepts(spec, "ping", {})
        assert not accepts(spec, "ping", {"a": 1})


def test_the_catalogue() -> None:
    spec = tools(json.loads(SNIPS.read_text(encoding="utf-8")))
    assert spec.tool_names == ("PlayMusic", "GetWeather", "BookRestaurant")
    lower(spec)


def test_the_value_is_a_call() -> None:
    spec = tools([weather])
    call = spec.parse('{"name":"weather","arguments":{"city":"Rome"}}')
    assert call == ToolCall(name="weather", arguments={"city": "Rome"})
    with pytest.raises(OutputValidationError):
        spec.parse('{"arguments":{}}')


def positional(a: int, /) -> None: ...


@pytest.mark.parametrize(
    "refused",
    [
        [],
        "weather",
        {"name": "f"},
        [weather, weather],
        [3],
        [int],
        [lambda x: x],
        [positional],
        [{"parameters": {}}],
        [{"name": "f", "parameters": {"type": "string"}}],
        [{"type": "function", "function": "f"}],
    ],
)
def test_what_is_no_tool_is_refused(refused: Any) -> None:
    with pytest.raises(SpecError):
        tools(refused)
