"""The complement of one plain assertion, as the branches of which one must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ctrlgen.constraints.numeric import exact
from ctrlgen.constraints.schema_branches import (
    ATOMS,
    NUMBER,
    Branch,
    Contains,
    Layer,
    Row,
    Some,
    type_set,
)
from ctrlgen.constraints.schema_conjoin import negation

_OBJECT = frozenset(("object",))
_ARRAY = frozenset(("array",))
_STRING = frozenset(("string",))
MEMBERS = ("properties", "patternProperties", "additionalProperties")
ITEMS = ("prefixItems", "items")
_COUNTS = ("contains", "minContains", "maxContains")

# keyword: the type it speaks of, the keyword of the opposite, and how far beyond
_BOUNDS = {
    "minimum": (NUMBER, "exclusiveMaximum", 0),
    "maximum": (NUMBER, "exclusiveMinimum", 0),
    "exclusiveMinimum": (NUMBER, "maximum", 0),
    "exclusiveMaximum": (NUMBER, "minimum", 0),
    "minLength": (_STRING, "maxLength", -1),
    "maxLength": (_STRING, "minLength", 1),
    "minItems": (_ARRAY, "maxItems", -1),
    "maxItems": (_ARRAY, "minItems", 1),
    "minProperties": (_OBJECT, "maxProperties", -1),
    "maxProperties": (_OBJECT, "minProperties", 1),
}


def denials(schema: dict[str, Any], known: Callable[[str], bool]) -> Iterator[Branch]:
    """Branches whose union is what the plain assertions of `schema` refuse.

    Args:
        schema: The assertions.
        known: Whether a format is enforced; another one is never false.
    """
    for keywords, asked in _denials(schema, known):
        judged = {key: schema[key] for key in asked if key in schema}
        yield Branch(keywords, ({"not": judged},))


def _denials(
    schema: dict[str, Any], known: Callable[[str], bool]
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    for key, value in schema.items():
        if key in _BOUNDS:
            types, opposite, shift = _BOUNDS[key]
            edge = exact(value) if types == NUMBER else int(value) + shift
            if edge != -1 or types == NUMBER:
                yield {"type": types, opposite: edge}, (key,)
        elif key == "type":
            yield {"type": ATOMS - type_set(value)}, (key,)
        elif key == "multipleOf":
            yield {"type": NUMBER, "notMultipleOf": [exact(value)]}, (key,)
        elif key == "pattern":
            yield {"type": _STRING, "notPattern": [value]}, (key,)
        elif key == "format" and known(value):
            yield {"type": _STRING, "notFormat": [value]}, (key,)
        elif key == "uniqueItems" and value:
            yield {"type": _ARRAY, "repeated": True}, (key,)
        elif key == "required":
            for name in value:
                yield {"type": _OBJECT, "layers": [absent(name)]}, (key,)
        elif key == "propertyNames":
            yield {"type": _OBJECT, "some": [Some(True, names=negation(value))]}, (key,)
        elif key == "dependentRequired":
            for name, others in value.items():
                for other in others:
                    layers = [absent(other)]
                    yield {"type": _OBJECT, "required": [name], "layers": layers}, (key,)
    yield from ((keywords, MEMBERS) for keywords in _members(schema))
    yield from ((keywords, ITEMS) for keywords in _items(schema))
    yield from ((keywords, _COUNTS) for keywords in _counts(schema))


def differing(values: list[Any]) -> list[list[Branch]]:
    """What is none of `values`: a branch of each list must hold."""
    whole = [value for value in values if isinstance(value, list | dict)]
    scalars = [value for value in values if not isinstance(value, list | dict)]
    source = ({"not": {"enum": values}},)
    parts = [[Branch({"excluded": scalars}, source)]] if scalars else []
    for value in whole:
        different = _other_items(value) if isinstance(value, list) else _other_members(value)
        parts.append([Branch(keywords, source) for keywords in different])
    return parts


def _other_items(value: list[Any]) -> Iterator[dict[str, Any]]:
    yield {"type": ATOMS - _ARRAY}
    yield {"type": _ARRAY, "minItems": len(value) + 1}
    if value:
        yield {"type": _ARRAY, "maxItems": len(value) - 1}
    for index, item in enumerate(value):
        row = Row((*[True] * index, {"not": {"const": item}}), evaluates=False)
        yield {"type": _ARRAY, "minItems": index + 1, "arrays": [row]}


def _other_members(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": ATOMS - _OBJECT}
    yield {"type": _OBJECT, "some": [Some(True, tuple(value))]}
    for name, item in value.items():
        yield {"type": _OBJECT, "layers": [absent(name)]}
        layer = Layer({name: {"not": {"const": item}}}, {}, evaluates=False)
        yield {"type": _OBJECT, "required": [name], "layers": [layer]}


def absent(name: str) -> Layer:
    """No member of this name."""
    return Layer({name: False}, {}, evaluates=False)


def _members(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, inner in names.items():
        refused = negation(inner)
        if refused is not False:
            layers = [Layer({name: refused}, {}, evaluates=False)]
            yield {"type": _OBJECT, "required": [name], "layers": layers}
    for pattern, inner in patterns.items():
        if (refused := negation(inner)) is not False:
            yield {"type": _OBJECT, "some": [Some(refused, inside=pattern)]}
    refused = negation(schema.get("additionalProperties", True))
    if refused is not False:
        yield {"type": _OBJECT, "some": [Some(refused, tuple(names), None, tuple(patterns))]}


def _items(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    prefix = schema.get("prefixItems", [])
    for index, inner in enumerate(prefix):
        refused = negation(inner)
        if refused is not False:
            row = Row((*[True] * index, refused), evaluates=False)
            yield {"type": _ARRAY, "minItems": index + 1, "arrays": [row]}
    refused = negation(schema.get("items", True))
    if refused is not False:
        some = Contains(refused, 1, None, len(prefix), evaluates=False)
        yield {"type": _ARRAY, "contains": [some]}


def _counts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "contains" not in schema:
        return
    inner, least = schema["contains"], int(schema.get("minContains", 1))
    most = schema.get("maxContains")
    if least:
        yield {"type": _ARRAY, "contains": [Contains(inner, 0, least - 1, evaluates=False)]}
    if most is not None:
        yield {"type": _ARRAY, "contains": [Contains(inner, int(most) + 1, None, evaluates=False)]}
