"""The items of `/v1/responses` as chat messages."""

from __future__ import annotations

from typing import Any

from ctrlgen.server.faults import Fault

_TEXTS = ("input_text", "output_text", "text")


def messages_of(
    items: str | list[dict[str, Any]], instructions: str | None
) -> list[dict[str, Any]]:
    """The conversation that items tell.

    Raises:
        Fault: An item is of an unknown kind.
    """
    told = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(items, str):
        return [*told, {"role": "user", "content": items}]
    return [*told, *(_message(item, i) for i, item in enumerate(items))]


def _message(item: dict[str, Any], i: int) -> dict[str, Any]:
    match item:
        case {"type": "function_call", "call_id": str(key), "name": str(name)}:
            function = {"name": name, "arguments": item.get("arguments")}
            return _call({"id": key, "type": "function", "function": function})
        case {"type": "custom_tool_call", "call_id": str(key), "name": str(name)}:
            custom = {"name": name, "input": item.get("input")}
            return _call({"id": key, "type": "custom", "custom": custom})
        case {"type": "function_call_output" | "custom_tool_call_output", "call_id": str(key)}:
            return {"role": "tool", "tool_call_id": key, "content": _content(item.get("output"), i)}
        case {"role": role, "content": content} if item.get("type", "message") == "message":
            return {"role": role, "content": _content(content, i)}
    kind = item.get("type")
    raise Fault(400, f"item {i} is of the unknown kind {kind!r:.40}", "input", "invalid_value")


def _call(call: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _content(content: Any, i: int) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(_is_text(part) for part in content):
        return "".join(part["text"] for part in content)
    raise Fault(400, f"item {i} holds something else than text", "input", "invalid_value")


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") in _TEXTS and isinstance(part.get("text"), str)
    )
