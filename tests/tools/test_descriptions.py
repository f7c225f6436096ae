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
from ctrlgen.tool_call.descriptions import read_tool
from ctrlgen.tool_call.dialect import to_json_schema

SNIPS = Path(__file__).parents[2] / "schemas" / "snips_tools.json"


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


def told(city: str, days: int = 1, **more: int) -> str:
    """Tell the weather
    of a city.

    Args:
        city (str): Where,
            in words.
        days: How many.

    Returns:
        What comes: rain.
    """
    return f"{city} {days}"


def told_in_fields(city: str, days: int = 1) -> str:
    """Tell the weather.

    :param str city: Where,
        in words.
    :param days: How many.
    :return: rain
    """
    return f"{city} {days}"


@pytest.mark.parametrize("function", [told, told_in_fields])
def test_a_docstring_describes_tool_and_parameters(function: Any) -> None:
    tool = read_tool(function)
    assert tool.description.startswith("Tell the weather")
    assert "\n" not in tool.description
    properties = tool.parameters["properties"]
    assert properties["city"]["description"] == "Where, in words."
    assert properties["days"]["description"] == "How many."


def test_a_function_is_called_with_typed_arguments() -> None:
    class Place(BaseModel):
        city: str

    def visit(place: Place, days: int) -> str:
        return f"{place.city} {days}"

    tool = read_tool(visit)
    assert tool.function is not None
    assert tool.function(place={"city": "Rome"}, days=2) == "Rome 2"
    with pytest.raises(ValueError, match="days"):
        tool.function(place={"city": "Rome"}, days="two")


def test_a_tool_goes_through_unchanged() -> None:
    tool = read_tool(weather)
    assert read_tool(tool) is tool


def test_bfcl_types() -> None:
    properties = {
        "a": {"type": "float"},
        "b": {"type": "tuple", "items": {"type": "dict", "properties": {"type": {"type": "any"}}}},
        "c": {"type": ["float", "null"]},
        "d": {"type": "string", "default": None, "description": "later"},
        "e": {"type": "string", "enum": ["dict", "float"], "default": "any"},
        "f": {"type": "integer", "default": 3},
    }
    assert to_json_schema({"type": "dict", "properties": properties}) == {
        "type": "object",
        "properties": {
            "a": {"type": "number"},
            "b": {"type": "array", "items": {"type": "object", "properties": {"type": {}}}},
            "c": {"type": ["number", "null"]},
            "d": {
                "description": "later",
                "default": None,
                "anyOf": [{"type": "string"}, {"const": None}],
            },
            "e": {
                "default": "any",
                "anyOf": [{"type": "string", "enum": ["dict", "float"]}, {"const": "any"}],
            },
            "f": {"type": "integer", "default": 3},
        },
    }


def test_plain_json_schema_is_no_bfcl() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "default": None}}}
    assert to_json_schema(schema) == schema


CUSTOM = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-c]+"}}


def test_custom_tools() -> None:
    nested = read_tool({"type": "custom", "custom": {"name": "f", "format": CUSTOM}})
    flat = read_tool(
        {"type": "custom", "name": "f", "format": {"type": "grammar"} | CUSTOM["grammar"]}  # type: ignore[operator]
    )
    free = read_tool({"type": "custom", "name": "f"})
    for tool in (nested, flat):
        assert tool.input is not None
        assert (tool.input.kind, tool.input.pattern) == ("regex", "[a-c]+")
    assert free.input is not None


@pytest.mark.parametrize(
    "form", [{"type": "grammar", "syntax": "ebnf", "definition": "a"}, {"type": "json"}, 3]
)
def test_unknown_formats_of_custom_tools_are_refused(form: Any) -> None:
    with pytest.raises(SpecError):
        read_tool({"type": "custom", "name": "f", "format": form})
