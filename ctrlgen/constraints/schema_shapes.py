"""The metaschemas in short: what the value of each keyword looks like.

Validating a large schema with its metaschema takes longer than compiling it. This says "valid" only
where the metaschema does too; where it says no, the metaschema decides and names the fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ctrlgen.constraints.schema_drafts import Draft

_TYPES = frozenset(("null", "boolean", "object", "array", "number", "string", "integer"))


def is_plainly_valid(schema: Any, draft: Draft) -> bool:
    """Whether every keyword of `schema`, and of the schemas in it, has a value of its shape."""
    booleans = draft >= Draft.D6
    if isinstance(schema, bool):
        return booleans
    pending = [schema]
    while pending:
        each = pending.pop()
        if isinstance(each, bool) and booleans:
            continue
        if not isinstance(each, dict):
            return False
        for key, value in each.items():
            shape = _SHAPES.get(key)
            if shape is not None and not shape(value, pending):
                return False
            if key in _REWRITTEN and not _rewritten(key, value, draft, pending):
                return False
    return True


_Pending = list[Any]


def _schema(value: Any, pending: _Pending) -> bool:
    pending.append(value)
    return True


def _schemas(value: Any, pending: _Pending) -> bool:
    if not isinstance(value, list) or not value:
        return False
    pending.extend(value)
    return True


def _schema_map(value: Any, pending: _Pending) -> bool:
    if not isinstance(value, dict):
        return False
    pending.extend(value.values())
    return True


def _number(value: Any, _: _Pending) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(value: Any, _: _Pending) -> bool:
    return _number(value, _) and value > 0


def _count(value: Any, _: _Pending) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any, _: _Pending) -> bool:
    return isinstance(value, str)


def _flag(value: Any, _: _Pending) -> bool:
    return isinstance(value, bool)


def _names(value: Any, _: _Pending) -> bool:
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return texts and bool(value) and len(set(value)) == len(value)


def _type(value: Any, _: _Pending) -> bool:
    if isinstance(value, str):
        return value in _TYPES
    return _names(value, _) and set(value) <= _TYPES


def _name_map(value: Any, pending: _Pending) -> bool:
    return isinstance(value, dict) and all(_names(names, pending) for names in value.values())


def _rewritten(key: str, value: Any, draft: Draft, pending: _Pending) -> bool:
    """Keywords whose shape depends on the draft."""
    if key == "items":
        if isinstance(value, list):
            return draft < Draft.D2020 and _schemas(value, pending)
        return _schema(value, pending)
    if key in ("additionalItems", "additionalProperties"):
        if not isinstance(value, bool):
            pending.append(value)
        return True
    if key == "dependencies":
        if not isinstance(value, dict):
            return False
        pending.extend(each for each in value.values() if not isinstance(each, list))
        return all(_names(each, pending) for each in value.values() if isinstance(each, list))
    return _flag(value, pending) if draft <= Draft.D4 else _number(value, pending)


_REWRITTEN = frozenset(
    ("items", "additionalItems", "additionalProperties", "dependencies", "exclusiveMinimum",
     "exclusiveMaximum")
)  # fmt: skip
_SHAPES: dict[str, Callable[[Any, _Pending], bool]] = {
    **dict.fromkeys(
        ("not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems",
         "unevaluatedProperties"),
        _schema,
    ),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _schemas),
    **dict.fromkeys(
        ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"),
        _schema_map,
    ),
    **dict.fromkeys(("minimum", "maximum"), _number),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
         "minContains", "maxContains"),
        _count,
    ),
    **dict.fromkeys(("pattern", "format", "title", "description", "$comment", "$schema"), _text),
    "multipleOf": _positive,
    "uniqueItems": _flag,
    "required": _names,
    "type": _type,
    "enum": _names,  # any other list is for the metaschema to judge
    "dependentRequired": _name_map,
    **dict.fromkeys(("$id", "id", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor"), _text),
}  # fmt: skip
