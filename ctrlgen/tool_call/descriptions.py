"""Reads a tool, in whatever form it comes, as one `Tool`.

a Python function                   its annotations are the parameters, its docstring tells
a pydantic model                    its fields are the parameters
OpenAI, Anthropic, MCP              parameters, input_schema, inputSchema
BFCL                                parameters with the types dict, float, tuple and any
OpenAI's `type: custom`             an input of a lark or regex grammar, or any text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, TypeAdapter, validate_call
from pydantic.errors import PydanticUserError

from ctrlgen.errors import SpecError
from ctrlgen.pydantic_schema import CompleteJsonSchema
from ctrlgen.spec import Spec, cfg, regex
from ctrlgen.tool_call import docstrings
from ctrlgen.tool_call.dialect import to_json_schema

# Where OpenAI, Anthropic and MCP put the schema of the arguments.
_PARAMETERS = ("parameters", "input_schema", "inputSchema")
_NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
ANY_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+"
"""Text without control characters."""


@dataclass(frozen=True, eq=False)
class Tool:
    """A tool on offer.

    Args:
        name: What it is called by.
        parameters: JSON Schema of its arguments, an object.
        description: What it does.
        function: Called with the arguments as keywords; None where the caller does that.
        input: What a tool takes that has no arguments, but a text.
    """

    name: str
    parameters: dict[str, Any] = field(default_factory=lambda: dict(_NOTHING))
    description: str = ""
    function: Callable[..., Any] | None = field(default=None, repr=False)
    input: Spec | None = None


ToolLike = Tool | Callable[..., Any] | type[BaseModel] | Mapping[str, Any]


def read_tool(tool: ToolLike) -> Tool:
    """The tool that a function, a model or a description stands for.

    Raises:
        SpecError: It is none of these, or has no name or no object of parameters.
    """
    if isinstance(tool, Tool):
        return tool
    if isinstance(tool, Mapping):
        return _of_dict(tool)
    if isinstance(tool, type) and issubclass(tool, BaseModel):
        schema = tool.model_json_schema(schema_generator=CompleteJsonSchema)
        return Tool(tool.__name__, schema, docstrings.read(tool)[0])
    if callable(tool) and not isinstance(tool, type):
        return _of_function(tool)
    raise SpecError(
        f"{tool!r} is not a tool",
        hint="pass functions, pydantic models, or dicts with a name and parameters",
    )


def _of_function(function: Callable[..., Any]) -> Tool:
    name = getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        raise SpecError(f"{function!r} has no name to call it by", hint="use def")
    try:
        schema = TypeAdapter(function).json_schema(schema_generator=CompleteJsonSchema)
        called = validate_call(function)
    except (PydanticUserError, TypeError, NameError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SpecError(f"the parameters of {name} have no JSON Schema: {reason}") from error
    if schema.get("type") != "object":
        raise SpecError(f"{name} has positional-only parameters", hint="remove the `/` or `*args`")
    description, of_parameters = docstrings.read(function)
    properties = {
        key: {"description": of_parameters[key]} | value
        if key in of_parameters and isinstance(value, dict)
        else value
        for key, value in schema.get("properties", {}).items()
    }
    return Tool(name, schema | {"properties": properties}, description, called)


def _of_dict(tool: Mapping[str, Any]) -> Tool:
    if tool.get("type") == "custom":
        return _of_custom(tool)
    function = tool.get("function", tool)
    name = _name(function, tool)
    description = str(function.get("description") or "")
    given = [key for key in _PARAMETERS if function.get(key) is not None]
    if not given:  # OpenAI: a function without parameters
        return Tool(name, description=description)
    parameters = to_json_schema(function[given[0]])
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise SpecError(f"the {given[0]} of tool {name} are not an object schema")
    return Tool(name, {"type": "object"} | parameters, description)


def _name(function: Any, tool: Mapping[str, Any]) -> str:
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise SpecError(f"a tool has no name: {dict(tool)!r:.80}")
    return name


def _of_custom(tool: Mapping[str, Any]) -> Tool:
    """OpenAI's custom tool, as the chat interface nests it or as the responses interface does."""
    custom = tool.get("custom", tool)
    name = _name(custom, tool)
    form = custom.get("format") or {"type": "text"}
    match form:
        case {"type": "text"}:
            text = regex(ANY_TEXT)
        case {"type": "grammar", "grammar": {"syntax": syntax, "definition": str(definition)}}:
            text = _of_grammar(name, syntax, definition)
        case {"type": "grammar", "syntax": syntax, "definition": str(definition)}:
            text = _of_grammar(name, syntax, definition)
        case _:
            raise SpecError(
                f"the format of tool {name} is unknown: {form!r:.80}",
                hint='use {"type": "grammar", "grammar": {"syntax": "lark", "definition": ...}}',
            )
    return Tool(name, description=str(custom.get("description") or ""), input=text)


def _of_grammar(name: str, syntax: Any, definition: str) -> Spec:
    if syntax == "regex":
        return regex(definition)
    if syntax == "lark":
        return cfg(definition)
    raise SpecError(f"the syntax of tool {name} is {syntax!r}", hint="there are lark and regex")
