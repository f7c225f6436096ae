"""Conjunction and negation of whole schemas, as schemas."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ctrlgen.constraints.schema_document import Schema


def identity(value: Any) -> str:
    """Equal for values that JSON Schema calls equal: 1 is 1.0, and true is not 1."""
    return json.dumps(_normal(value), sort_keys=True)


def _normal(value: Any) -> Any:
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def conjoin(schemas: Iterable[Schema]) -> Schema:
    """The conjunction of `schemas`, each of its members once and in their order."""
    asked: list[Schema] = []
    for schema in schemas:
        if schema is False:
            return False
        if schema is not True and schema:
            asked += schema["allOf"] if schema.keys() == {"allOf"} else [schema]
    if len(asked) == 1:
        return asked[0]
    members = {json.dumps(member, sort_keys=True): member for member in asked}
    if len(members) == 1:
        return next(iter(members.values()))
    return {"allOf": list(members.values())} if members else True


def meaning(schema: dict[str, Any]) -> str:
    """Equal for schemas that differ in the order of their keywords, or of a conjunction."""
    if schema.keys() == {"allOf"}:
        return json.dumps(sorted(json.dumps(each, sort_keys=True) for each in schema["allOf"]))
    return json.dumps(schema, sort_keys=True)


def negation(schema: Schema) -> Schema:
    """What `schema` does not allow."""
    if isinstance(schema, bool):
        return not schema
    if not schema:
        return False
    return schema["not"] if schema.keys() == {"not"} else {"not": schema}
