"""`unevaluatedProperties` and `unevaluatedItems`, for a branch that says what was evaluated."""

from __future__ import annotations

from typing import Any

from ctrlgen.constraints.schema_branches import Branch, Contains, Layer, Row, Some
from ctrlgen.constraints.schema_conjoin import negation
from ctrlgen.constraints.schema_document import Schema


def unevaluated_members(branch: Branch, asked: Schema) -> Branch:
    """The branch, with `asked` of every member that no keyword in it has evaluated."""
    layer = _members(branch, asked)
    if layer is None:
        return branch
    layers = [*branch.keywords.get("layers", ()), layer]
    source = _source(layer)
    return Branch({**branch.keywords, "layers": layers}, (*branch.sources, source))


def unevaluated_items(branch: Branch, asked: Schema) -> Branch:
    """The same for items; an item that `contains` counts is evaluated."""
    row = _items(branch, asked)
    if row is None:
        return branch
    arrays = [*branch.keywords.get("arrays", ()), row]
    return Branch({**branch.keywords, "arrays": arrays}, (*branch.sources, _row_source(row)))


def refused_unevaluated(branch: Branch, schema: dict[str, Any]) -> list[Branch]:
    """What the unevaluated keywords of `schema` refuse of a branch of the rest of it."""
    found = []
    layer = _members(branch, schema.get("unevaluatedProperties", True))
    if layer is not None and layer.additional is not None:
        value = negation(layer.additional)
        if value is not False:
            some = Some(value, tuple(layer.properties), None, tuple(layer.patterns))
            keywords = {"type": frozenset(("object",)), "some": [some]}
            found.append(Branch(keywords, ({"not": _source(layer)},)))
    row = _items(branch, schema.get("unevaluatedItems", True))
    if row is not None and row.items is not None:
        value = negation(row.items)
        if value is not False:
            contains = Contains(value, 1, None, len(row.prefix), evaluates=False)
            keywords = {"type": frozenset(("array",)), "contains": [contains]}
            found.append(Branch(keywords, ({"not": _row_source(row)},)))
    return found


def _members(branch: Branch, asked: Schema) -> Layer | None:
    """What is asked of the members that are not evaluated; None if all are."""
    names: dict[str, Schema] = {}
    patterns: dict[str, Schema] = {}
    for layer in branch.keywords.get("layers", ()):
        if layer.evaluates and layer.additional is not None:
            return None
        if layer.evaluates:
            names.update(dict.fromkeys(layer.properties, True))
            patterns.update(dict.fromkeys(layer.patterns, True))
    return Layer(names, patterns, asked)


def _items(branch: Branch, asked: Schema) -> Row | None:
    length = 0
    for row in branch.keywords.get("arrays", ()):
        if row.evaluates and row.items is not None:
            return None
        if row.evaluates:
            length = max(length, len(row.prefix))
    counted = [c.schema for c in branch.keywords.get("contains", ()) if c.evaluates]
    rest: Schema = {"anyOf": [asked, *counted]} if counted else asked
    return Row((True,) * length, rest)


def _source(layer: Layer) -> dict[str, Any]:
    return {
        "properties": layer.properties,
        "patternProperties": layer.patterns,
        "additionalProperties": layer.additional,
    }


def _row_source(row: Row) -> dict[str, Any]:
    prefix = {"prefixItems": list(row.prefix)} if row.prefix else {}
    return {**prefix, "items": row.items}
