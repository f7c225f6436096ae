"""Tools as a type: the model chooses one and fills in its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.errors import PydanticUserError

from ctrlgen.errors import SpecError
from ctrlgen.pydantic_schema import CompleteJsonSchema
from ctrlgen.spec import Spec

Tool = Callable[..., Any] | type[BaseModel] | Mapping[str, Any]

# Where OpenAI, Anthropic and MCP put the schema of the arguments.
_PARAMETERS = ("parameters", "input_schema", "inputSchema")


class ToolCall(BaseModel):
    """One call that the model asks for.

    Attributes:
        name: Name of the tool.
        arguments: JSON values by parameter name.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


def tools(offered: Iterable[Tool]) -> Spec:
    """A call of one of several tools; the value is a `ToolCall`.

    Args:
        offered: Python functions with annotated parameters, pydantic models (their fields are the
            parameters), OpenAI, Anthropic or MCP tools as dicts, or plain
            `{"name": ..., "parameters": ...}`.

    Raises:
        SpecError: There is no tool, two have the same name, or one is none of these.
    """
    if isinstance(offered, str | Mapping) or not isinstance(offered, Iterable):
        raise SpecError(f"tools are a list, not {type(offered).__name__}")
    named = [_name_and_parameters(tool) for tool in offered]
    names = tuple(name for name, _ in named)
    if not names:
        raise SpecError("there are no tools")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise SpecError(f"two tools are named {twice!r}")
    schema = {"anyOf": [_call(i, name, params) for i, (name, params) in enumerate(named)]}
    return Spec("tools", schema=schema, tool_names=names, adapter=TypeAdapter(ToolCall))


def _call(index: int, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The schema of a call of one tool.

    The `$id` makes the parameters a schema resource of their own, so that their local references
    (`#/$defs/...`) lead where they did before.
    """
    return {
        "type": "object",
        "properties": {
            "name": {"const": name},
            "arguments": {"$id": f"urn:ctrlgen:tool:{index}"} | parameters,
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _name_and_parameters(tool: Tool) -> tuple[str, dict[str, Any]]:
    if isinstance(tool, Mapping):
        return _of_dict(tool)
    if isinstance(tool, type) and issubclass(tool, BaseModel):
        return tool.__name__, tool.model_json_schema(schema_generator=CompleteJsonSchema)
    if callable(tool) and not isinstance(tool, type):
        return _of_function(tool)
    raise SpecError(
        f"{tool!r} is not a tool",
        hint="pass functions, pydantic models, or dicts with a name and parameters",
    )


def _of_function(function: Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    name = getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        raise SpecError(f"{function!r} has no name to call it by", hint="use def")
    try:
        schema = TypeAdapter(function).json_schema(schema_generator=CompleteJsonSchema)
    except (PydanticUserError, TypeError, NameError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SpecError(f"the parameters of {name} have no JSON Schema: {reason}") from error
    if schema.get("type") != "object":
        raise SpecError(f"{name} has positional-only parameters", hint="remove the `/` or `*args`")
    return name, schema


def _of_dict(tool: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise SpecError(f"a tool has no name: {dict(tool)!r:.80}")
    given = [key for key in _PARAMETERS if function.get(key) is not None]
    if not given:  # OpenAI: a function without parameters
        return name, {"type": "object", "properties": {}, "additionalProperties": False}
    parameters = function[given[0]]
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise SpecError(f"the {given[0]} of tool {name} are not an object schema")
    return name, {"type": "object"} | parameters
