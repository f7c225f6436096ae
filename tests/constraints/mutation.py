"""Random changes of schemas and instances, for fuzzing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

SCALARS: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 0.5, 1e3, -2.5, 10**12, "", "a", "ab", 'q"\n', "é😀", " "),
    *("2024-02-29", "12:30:00Z", "a@b.de", "127.0.0.1", "http://a.b/c"),
]
KEYWORDS: list[dict[str, Any]] = [
    *({"minLength": 2}, {"maxLength": 3}, {"pattern": "^[a-c]+$"}, {"pattern": "b(?!a)"}),
    *({"minimum": 1}, {"exclusiveMaximum": 2.5}, {"multipleOf": 0.5}, {"multipleOf": 3}),
    *({"minItems": 1}, {"maxItems": 2}, {"uniqueItems": True}, {"contains": {"type": "string"}}),
    *({"minProperties": 1}, {"maxProperties": 2}, {"propertyNames": {"maxLength": 4}}),
    *({"required": ["a"]}, {"additionalProperties": False}, {"patternProperties": {"^a": True}}),
    *({"patternProperties": {"b$": {"type": "integer"}}}, {"enum": [1, "a", None, [1], {"a": 1}]}),
    *({"dependentRequired": {"a": ["b"]}}, {"dependencies": {"a": ["b"], "b": {"minimum": 1}}}),
    *({"unevaluatedProperties": False}, {"unevaluatedItems": {"type": "integer"}}, {"const": 1.0}),
    *({"type": "object"}, {"type": ["string", "null"]}, {"type": "integer"}, {"format": "date"}),
    *({"format": "email"}, {"if": {"type": "string"}, "then": {"minLength": 1}, "else": False},),
    *({"items": {"type": "number"}}, {"items": False}, {"not": {"required": ["b"]}}),
]  # fmt: skip


def mutated(schema: Any, chance: random.Random, times: int) -> Any:
    """The schema with a few changes."""
    schema = deepcopy(schema)
    for _ in range(times):
        spots = [node for node in _dicts(schema) if node]
        if not spots:
            return {"anyOf": [schema, chance.choice(KEYWORDS)]}
        spot = chance.choice(spots)
        inner = deepcopy(spot)
        match chance.choice(
            ["add", "add", "drop", "not", "oneOf", "anyOf", "allOf", "scalar", "copy"]
        ):
            case "add":
                spot.update(deepcopy(chance.choice(KEYWORDS)))
            case "drop":
                del spot[chance.choice(list(spot))]
            case "not" if spot is not schema:
                _become(spot, {"not": inner})
            case "scalar":
                key = chance.choice(list(spot))
                if not isinstance(spot[key], dict | list):
                    spot[key] = deepcopy(chance.choice(SCALARS))
            case "copy":
                other = deepcopy(chance.choice(spots))
                spot[chance.choice(list(spot))] = other
            case "oneOf" | "anyOf" | "allOf" as keyword if spot is not schema:
                _become(spot, {keyword: [inner, deepcopy(chance.choice(KEYWORDS))]})
    return schema


def _become(spot: dict[str, Any], other: dict[str, Any]) -> None:
    spot.clear()
    spot.update(other)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def varied(value: Any, chance: random.Random) -> Any:
    """An instance with one change somewhere."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        value = dict(value)
        key = chance.choice(list(value))
        match chance.choice(["drop", "inner", "inner", "rename", "add"]):
            case "drop":
                del value[key]
            case "rename":
                value[key + chance.choice("ab1")] = value.pop(key)
            case "add":
                value[chance.choice(["a", "b", "ab", "x", "name"])] = chance.choice(SCALARS)
            case _:
                value[key] = varied(value[key], chance)
        return value
    if isinstance(value, list) and value and chance.random() < 0.8:
        value = list(value)
        index = chance.randrange(len(value))
        match chance.choice(["drop", "double", "inner"]):
            case "drop":
                del value[index]
            case "double":
                value.insert(index, value[index])
            case _:
                value[index] = varied(value[index], chance)
        return value
    if isinstance(value, str) and value and chance.random() < 0.5:
        place = chance.randrange(len(value))
        return value[:place] + chance.choice(["", "a", "é", '"', "0"]) + value[place + 1 :]
    if isinstance(value, int | float) and not isinstance(value, bool) and chance.random() < 0.5:
        return value + chance.choice([-1, 1, 0.5, 1000])
    return deepcopy(chance.choice([*SCALARS, [], {}, [1], {"a": 1}]))
