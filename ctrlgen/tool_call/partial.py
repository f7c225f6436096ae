"""The calls in the beginning of an answer, for streams.

What stands in front of a canvas is certain long before the rest is. Answers with tools are compact
JSON with their members in a known order, so a scan for the ends of strings and brackets is enough.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from pydantic_core import from_json

_NAME = '{"name":'
_WAYS: dict[str, Literal["arguments", "input"]] = {
    ',"arguments":': "arguments",
    ',"input":': "input",
}


@dataclass(frozen=True)
class PartialCall:
    """A call as far as it is known.

    Args:
        name: Name of the tool.
        kind: Whether the tool takes arguments or an input.
        text: The beginning of the arguments as JSON, or of the input as plain text.
    """

    name: str
    kind: Literal["arguments", "input"]
    text: str


def partial_calls(prefix: str) -> list[PartialCall]:
    """The calls whose names are known; empty for an answer in text."""
    calls: list[PartialCall] = []
    at = 1 if prefix.startswith("[") else 0
    while prefix.startswith(_NAME, at):
        name_end = _value_end(prefix, at + len(_NAME))
        way = next((w for w in _WAYS if name_end and prefix.startswith(w, name_end)), None)
        if way is None:
            break
        start = name_end + len(way)
        end = _value_end(prefix, start) or len(prefix)
        text = prefix[start:end]
        if _WAYS[way] == "input":
            text = _unquoted(text)
        calls.append(PartialCall(json.loads(prefix[at + len(_NAME) : name_end]), _WAYS[way], text))
        at = end + 2  # the call's own bracket and a comma
    return calls


def partial_text(prefix: str) -> str:
    """The beginning of an answer in text; empty for a call."""
    start = '{"content":'
    return _unquoted(prefix[len(start) :]) if prefix.startswith(start) else ""


def _unquoted(text: str) -> str:
    """The text of a JSON string, of which the beginning is at hand."""
    if end := _value_end(text, 0):
        return str(json.loads(text[:end]))
    return str(from_json(_whole_escapes(text), allow_partial="trailing-strings")) if text else ""


def _whole_escapes(text: str) -> str:
    """`text` without an escape at its end that may go on, or a lone half of a pair."""
    at = text.rfind("\\u")
    if at >= 0 and _escapes(text, at):
        unit = text[at + 2 : at + 6]
        if len(unit) < 4 or unit[:2].lower() in ("d8", "d9", "da", "db"):
            return text[:at] if len(text) < at + 12 else text
    return text


def _escapes(text: str, at: int) -> bool:
    """Whether the backslash at `at` begins an escape, and is not itself escaped."""
    run = at - len(text[:at].rstrip("\\"))
    return run % 2 == 0


def _value_end(text: str, start: int) -> int:
    """The offset behind the JSON value that begins at `start`, 0 if the text ends before."""
    depth, i, in_string = 0, start, False
    while i < len(text):
        char = text[i]
        if in_string:
            if char == "\\":
                i += 1
            elif char == '"':
                in_string = False
                if not depth:
                    return i + 1
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            if not depth:
                return i + 1
        i += 1
    return 0
