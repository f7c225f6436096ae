"""Tools and a tool choice as a Spec.

    one call          {"name":"f","arguments":{...}}
    several           [{"name":...},{"name":...}]
    a custom tool     {"name":"sql","input":"SELECT 1"}
    text              {"content":"..."}

All four are JSON that differs after a few tokens, so that on a canvas the decision is one fork,
made before anything of the answer is written. One call looks the same whether or not several were
possible.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from ctrlgen.constraints.composition import MAX_ITEMS
from ctrlgen.errors import SpecError
from ctrlgen.spec import Spec
from ctrlgen.tool_call.calls import ANSWER, ANSWERS, CALL, CALLS, TEXT
from ctrlgen.tool_call.descriptions import Tool, ToolLike, read_tool

Choice = str | Mapping[str, Any]
_MODES = ("none", "auto", "required")
_CONTENT = {
    "type": "object",
    "properties": {"content": {"type": "string", "minLength": 1}},
    "required": ["content"],
    "additionalProperties": False,
}


def tools(
    offered: Iterable[ToolLike], *, choice: Choice = "required", parallel: bool = False
) -> Spec:
    """A call of one of several tools.

    Args:
        offered: Python functions with annotated parameters, pydantic models (their fields are the
            parameters), OpenAI, Anthropic, MCP or BFCL tools as dicts, or plain
            `{"name": ..., "parameters": ...}`.
        choice: `required`: a call; `auto`: a call or text, as the model decides; `none`: text; the
            name of a tool: a call of that one; or OpenAI's objects `{"type": "function", ...}`,
            `{"type": "custom", ...}` and `{"type": "allowed_tools", ...}`.
        parallel: Whether one answer may hold several calls.

    Returns:
        A spec whose value is a `ToolCall`, or a list of them with `parallel`; or, where `choice`
        allows it, a str.

    Raises:
        SpecError: There is no tool, two have the same name, one is none of these, or `choice` names
            none of them.
    """
    known = read_tools(offered)
    mode, allowed = resolve(choice, known)
    names = tuple(tool.name for tool in known)
    if mode == "none":
        return Spec("json", schema=_CONTENT, tool_names=names, adapter=TEXT)
    text = mode == "auto"
    adapter: TypeAdapter[Any] = (
        (ANSWERS if text else CALLS) if parallel else (ANSWER if text else CALL)
    )
    if any(tool.input for tool in allowed):
        parts = _parts(allowed, text, parallel)
        return Spec("either", parts=parts, tool_names=names, adapter=adapter)
    schema = _schema(allowed, text, parallel)
    return Spec("tools", schema=schema, tool_names=names, adapter=adapter)


def read_tools(offered: Iterable[ToolLike]) -> list[Tool]:
    """The tools on offer, each name once.

    Raises:
        SpecError: There is none, or two have the same name.
    """
    if isinstance(offered, str | Mapping) or not isinstance(offered, Iterable):
        raise SpecError(f"tools are a list, not {type(offered).__name__}")
    known = [read_tool(tool) for tool in offered]
    names = [tool.name for tool in known]
    if not names:
        raise SpecError("there are no tools")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise SpecError(f"two tools are named {twice!r}")
    return known


def resolve(choice: Choice, known: Sequence[Tool]) -> tuple[str, list[Tool]]:
    """The mode of a tool choice, `none`, `auto` or `required`, and the tools that it allows.

    Raises:
        SpecError: It is no tool choice, or names a tool that is not on offer.
    """
    if isinstance(choice, str):
        return (choice, list(known)) if choice in _MODES else ("required", _named([choice], known))
    match choice:
        case {"type": "function" | "custom" as kind}:
            return "required", _named([_name(choice.get(kind, choice), choice)], known)
        case {"type": "allowed_tools"}:
            inner = choice.get("allowed_tools", choice)
            mode, listed = inner.get("mode"), inner.get("tools")
            if mode not in ("auto", "required") or not isinstance(listed, list):
                raise SpecError("allowed_tools has a mode, auto or required, and a list of tools")
            names = [_name(t.get(t.get("type"), t), t) for t in listed if isinstance(t, Mapping)]
            return mode, _named(names, known)
    raise SpecError(
        f"{choice!r:.80} is not a tool choice",
        hint='use "none", "auto", "required", the name of a tool, or an object as OpenAI has it',
    )


def _name(function: Any, choice: Any) -> str:
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise SpecError(f"the tool choice names no tool: {choice!r:.80}")
    return name


def _named(names: list[str], known: Sequence[Tool]) -> list[Tool]:
    by_name = {tool.name: tool for tool in known}
    unknown = next((name for name in names if name not in by_name), None)
    if unknown is not None:
        raise SpecError(f"there is no tool {unknown!r}", hint=f"there are {', '.join(by_name)}")
    if not names:
        raise SpecError("the tool choice allows no tool")
    return [by_name[name] for name in dict.fromkeys(names)]


def _schema(allowed: list[Tool], text: bool, parallel: bool) -> dict[str, Any]:
    """One schema of all that may be answered."""
    calls = {"anyOf": [_call(i, tool) for i, tool in enumerate(allowed)]}
    if not text and not parallel:
        return calls
    ways: list[dict[str, Any]] = [_CONTENT] if text else []
    one = {"$ref": "#/$defs/call"}
    ways.append(one)
    if parallel:
        ways.append({"type": "array", "items": one, "minItems": 2, "maxItems": MAX_ITEMS})
    return {"$defs": {"call": calls}, "anyOf": ways}


def _call(index: int, tool: Tool) -> dict[str, Any]:
    """The schema of a call of one tool.

    The `$id` makes the parameters a schema resource of their own, so that their local references
    (`#/$defs/...`) lead where they did before.
    """
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.name},
            "arguments": {"$id": f"urn:ctrlgen:tool:{index}"} | tool.parameters,
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _parts(allowed: list[Tool], text: bool, parallel: bool) -> tuple[Spec, ...]:
    """The same where some tools take text, which no JSON Schema describes."""
    calls = [_call_spec(i, tool) for i, tool in enumerate(allowed)]
    ways = [Spec("json", schema=_CONTENT)] if text else []
    ways += calls
    if parallel:
        ways.append(Spec("list", parts=(Spec("either", parts=tuple(calls)),)))
    return tuple(ways)


def _call_spec(index: int, tool: Tool) -> Spec:
    if tool.input is None:
        return Spec("json", schema=_call(index, tool))
    head = f'{{"name":{json.dumps(tool.name, ensure_ascii=False)},"input":'
    return Spec(
        "sequence", parts=(literal(head), Spec("quoted", parts=(tool.input,)), literal("}"))
    )


def literal(text: str) -> Spec:
    """Exactly this text."""
    return Spec("choice", choices=(text,), values=(text,))
