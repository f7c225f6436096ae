"""A JSON Schema in one shell word: `name, age int, tags list[str], kind: a|b|c, note?`.

    fields  = field ("," field)*
    field   = name "?"? ":"? type?          `?`: may be absent; no type: str
    type    = "list[" type "]" | word ("|" word)*
    word    = a type name, or a text; the texts form an enum

Types: str, int, float, bool, date, time, datetime, email, uuid, null.
"""

from __future__ import annotations

import re
from typing import Any

from ctrlgen.errors import SpecError

_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "null": {"type": "null"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "datetime": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"},
    "uuid": {"type": "string", "format": "uuid"},
}
_FIELD = re.compile(
    r"\s*(?P<name>[^\W\d][\w-]*)(?P<absent>\?)?\s*(?P<colon>:)?\s*(?P<type>.*)", re.S
)


def parse_fields(text: str) -> dict[str, Any]:
    """The JSON Schema of an object with these fields.

    Raises:
        SpecError: The text is malformed; the message says where.
    """
    properties: dict[str, Any] = {}
    required: list[str] = []
    for start, piece in _split(text, 0, ","):
        match = _FIELD.fullmatch(piece)
        if match is None:
            raise _error("expected a field name", text, start + _indent(piece))
        name = match["name"]
        if name in properties:
            raise _error(f"the field {name!r} is given twice", text, start + _indent(piece))
        if match["type"] or match["colon"]:
            properties[name] = _type(text, start + match.start("type"), match["type"])
        else:
            properties[name] = dict(_TYPES["str"])
        if not match["absent"]:
            required.append(name)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type(text: str, start: int, spelled: str) -> dict[str, Any]:
    """The schema of a type spelled at `start`."""
    spelled = spelled.rstrip()
    if not spelled:
        raise _error("expected a type", text, start)
    if spelled.startswith("list["):
        if not spelled.endswith("]"):
            raise _error("this bracket is not closed", text, start + 4)
        inner = spelled[5:-1]
        at = start + 5 + _indent(inner)
        return {"type": "array", "items": _type(text, at, inner.lstrip())}
    words = [(at, word.strip()) for at, word in _split(spelled, start, "|")]
    for at, word in words:
        if not word or "[" in word or "]" in word:
            raise _error("expected a type or a text", text, at)
    return _union(text, words)


def _union(text: str, words: list[tuple[int, str]]) -> dict[str, Any]:
    """One type, several types, or an enum of texts and perhaps null."""
    types = [dict(_TYPES[word]) for _, word in words if word in _TYPES]
    texts = [(at, word) for at, word in words if word not in _TYPES]
    if not texts:
        return types[0] if len(types) == 1 else {"anyOf": types}
    if len(words) == 1:
        hint = f"known types: {', '.join(_TYPES)}, list[...]; texts to choose from: a|b"
        raise _error(f"unknown type {words[0][1]!r}", text, words[0][0], hint)
    enum: list[str | None] = [word for _, word in texts]
    if types == [_TYPES["null"]]:
        return {"enum": [*enum, None]}
    if types:
        raise _error("texts and types cannot be mixed", text, texts[0][0])
    return {"enum": enum}


def _split(text: str, start: int, separator: str) -> list[tuple[int, str]]:
    """Pieces between separators outside brackets, each with its position."""
    pieces, depth, begin = [], 0, 0
    for i, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == separator and depth <= 0:
            pieces.append((start + begin, text[begin:i]))
            begin = i + 1
    return [*pieces, (start + begin, text[begin:])]


def _indent(piece: str) -> int:
    return len(piece) - len(piece.lstrip())


def _error(message: str, text: str, position: int, hint: str = "") -> SpecError:
    return SpecError(f"{message} at position {position} of {text!r}", hint=hint)
