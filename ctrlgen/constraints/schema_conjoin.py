"""Conjunction of whole schemas, and of the members and items that two schemas ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from ctrlgen.constraints.schema_document import Schema


def conjoin(schemas: Iterable[Schema]) -> Schema:
    """The conjunction of `schemas`, each of its members once."""
    members: dict[str, Schema] = {}
    for schema in schemas:
        if schema is False:
            return False
        if schema is True or schema == {}:
            continue
        inner = schema["allOf"] if schema.keys() == {"allOf"} else [schema]
        for member in inner:
            members[json.dumps(member, sort_keys=True)] = member
    if len(members) == 1:
        return next(iter(members.values()))
    return {"allOf": [members[key] for key in sorted(members)]} if members else True


def pattern_schemas(keywords: dict[str, Any], key: str) -> list[Schema]:
    """The schemas of the `patternProperties` that `key` matches."""
    return [
        schema
        for pattern, schema in keywords.get("patternProperties", {}).items()
        if re.search(pattern, key, re.ASCII)  # \d and \w of ECMA-262 are ASCII
    ]


def member_schema(keywords: dict[str, Any], key: str) -> Schema:
    """What an object with these keywords asks of its member `key`."""
    asked = [keywords["properties"][key]] if key in keywords.get("properties", {}) else []
    asked += pattern_schemas(keywords, key)
    return conjoin(asked) if asked else keywords.get("additionalProperties", True)


def merged_objects(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """The member keywords of both: `additionalProperties` speaks for its own neighbours only.

    A key that matches a pattern of each side also obeys the other's `additionalProperties`: a sound
    narrowing where both have patterns and restrict the rest.
    """
    names = [*a.get("properties", {}), *b.get("properties", {})]
    patterns: dict[str, Schema] = {}
    for keywords, other in ((a, b), (b, a)):
        for pattern, schema in keywords.get("patternProperties", {}).items():
            asked = other.get("patternProperties", {}).get(
                pattern, other.get("additionalProperties", True)
            )
            patterns[pattern] = conjoin([schema, asked])
    merged: dict[str, Any] = {}
    if names:
        merged["properties"] = {
            name: conjoin([member_schema(a, name), member_schema(b, name)])
            for name in dict.fromkeys(names)
        }
    if patterns:
        merged["patternProperties"] = patterns
    if "additionalProperties" in a or "additionalProperties" in b:
        merged["additionalProperties"] = conjoin(
            [a.get("additionalProperties", True), b.get("additionalProperties", True)]
        )
    return merged


def merged_arrays(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """The item keywords of both: `items` speaks for what its own `prefixItems` leave."""

    def item(keywords: dict[str, Any], i: int) -> Schema:
        prefix = keywords.get("prefixItems", [])
        return prefix[i] if i < len(prefix) else keywords.get("items", True)  # type: ignore[no-any-return]

    merged: dict[str, Any] = {}
    length = max(len(a.get("prefixItems", ())), len(b.get("prefixItems", ())))
    if length:
        merged["prefixItems"] = [conjoin([item(a, i), item(b, i)]) for i in range(length)]
    if "items" in a or "items" in b:
        merged["items"] = conjoin([a.get("items", True), b.get("items", True)])
    return merged
