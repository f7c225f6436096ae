"""Parameters as the Berkeley Function-Calling Leaderboard describes them, as JSON Schema.

BFCL uses JSON Schema's words with the types of Python: `dict`, `float`, `tuple`, `any`. In a
description of that kind (its root is a `dict`) the default of a parameter is one of its values,
also where the type says otherwise: `{"type": "string", "default": null}`, or `"dontcare"` beside an
`enum`. A description in plain JSON Schema comes out as it went in.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, UnknownType

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array"}
_ANY = "any"
# Where a schema holds schemas: by name, in a list, or a single one.
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "contains", "propertyNames")


def to_json_schema(schema: Any) -> Any:
    """The same schema with the type names of JSON.

    Args:
        schema: The schema of a tool's parameters, in BFCL's dialect or not; it is left as it is.
    """
    bfcl = isinstance(schema, dict) and schema.get("type") == "dict"
    return _converted(schema, bfcl)


def _converted(schema: Any, bfcl: bool) -> Any:
    if not isinstance(schema, dict):
        return schema
    out = {key: _member(key, value, bfcl) for key, value in schema.items()}
    names = schema.get("type")
    listed = names if isinstance(names, list) else [names]
    if _ANY in listed:
        del out["type"]
    elif isinstance(names, list):
        out["type"] = [_name(each) for each in names]
    elif names is not None:
        out["type"] = _name(names)
    return _with_default(out) if bfcl and "default" in out else out


def _name(name: Any) -> Any:
    return _TYPES.get(name, name) if isinstance(name, str) else name


def _with_default(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema and, if it refuses that, its default."""
    outer = {key: schema[key] for key in ("description", "default") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in outer}
    try:
        if Draft202012Validator(inner).is_valid(schema["default"]):
            return schema
    except (SchemaError, UnknownType):  # a schema that is none is refused later, with its place
        return schema
    return outer | {"anyOf": [inner, {"const": schema["default"]}]}


def _member(key: str, value: Any, bfcl: bool) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: _converted(each, bfcl) for name, each in value.items()}
    if isinstance(value, list) and (key in _LISTED or key in _SINGLE):
        return [_converted(each, bfcl) for each in value]
    return _converted(value, bfcl) if key in _SINGLE else value
