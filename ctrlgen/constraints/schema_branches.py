"""Branches: conjunctions of plain assertions, the terms of a schema's disjunctive normal form.

The keywords of a branch are those of draft 2020-12, brought into a form that a conjunction can be
computed on, and some that only a negation has:

- `type` is a set of `ATOMS`; `pattern`, `format` are lists; numbers are exact fractions;
- `layers`: `properties`, `patternProperties` and `additionalProperties` that stood together;
- `arrays`: `prefixItems` and `items` that stood together; `names`: what `propertyNames` asked for;
- `contains`: see `Contains`; `some`: see `Some`;
- `notPattern`, `notFormat`, `notMultipleOf`, `excluded` (values), `repeated` (not `uniqueItems`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

from ctrlgen.constraints.numeric import Bounds
from ctrlgen.constraints.schema_conjoin import identity
from ctrlgen.constraints.schema_document import Schema

# An integer is a number without a fraction, whatever its spelling.
NUMBER = frozenset(("integer", "fraction"))
ATOMS = frozenset(("null", "boolean", "object", "array", "string")) | NUMBER


@dataclass(frozen=True)
class Layer:
    """Member keywords that stood in one schema object; `additional` speaks for the rest of them.

    Args:
        properties: Schemas by key.
        patterns: Schemas by pattern of the key.
        additional: For all other keys; None when the keyword is missing.
        evaluates: Whether `unevaluatedProperties` beside it counts these keys as evaluated.
    """

    properties: dict[str, Schema]
    patterns: dict[str, Schema]
    additional: Schema | None = None
    evaluates: bool = True


@dataclass(frozen=True)
class Row:
    """Item keywords that stood in one schema object; `items` speaks for what follows `prefix`."""

    prefix: tuple[Schema, ...]
    items: Schema | None = None
    evaluates: bool = True

    def item(self, index: int) -> Schema:
        """What it asks of the item at `index`."""
        if index < len(self.prefix):
            return self.prefix[index]
        return True if self.items is None else self.items


@dataclass(frozen=True)
class Contains:
    """At least `least` and at most `most` of the items from `start` on satisfy `schema`."""

    schema: Schema
    least: int
    most: int | None
    start: int = 0
    evaluates: bool = True


@dataclass(frozen=True)
class Some:
    """A member whose value satisfies `value` and whose key is in a certain set.

    Args:
        value: What the value satisfies.
        outside: Keys that are not in the set.
        inside: A pattern that the keys match.
        beside: Patterns that they do not match.
        names: What the keys satisfy as strings.
    """

    value: Schema
    outside: tuple[str, ...] = ()
    inside: str | None = None
    beside: tuple[str, ...] = ()
    names: Schema = True


@dataclass(frozen=True)
class Branch:
    """One conjunction of plain assertions.

    Args:
        keywords: The assertions, see the module.
        sources: Schemas that together say the same, `enum` and `const` apart, to judge values by.
    """

    keywords: dict[str, Any]
    sources: tuple[Schema, ...] = ()

    @property
    def types(self) -> frozenset[str]:
        """The types of JSON value that it allows."""
        return self.keywords.get("type", ATOMS)  # type: ignore[no-any-return]


def type_set(given: str | list[str]) -> frozenset[str]:
    """What a `type` keyword allows."""
    names = frozenset([given] if isinstance(given, str) else given)
    return names - {"number"} | NUMBER if "number" in names else names


def merge(a: Branch, b: Branch) -> Branch | None:
    """What satisfies both; None if that is plainly nothing."""
    if not a.keywords or not b.keywords:
        return b if not a.keywords else a
    merged = {**a.keywords, **b.keywords}
    for key in a.keywords.keys() & b.keywords.keys():
        merged[key] = _COMBINE[key](a.keywords[key], b.keywords[key])
    return pruned(Branch(merged, a.sources + b.sources))


def pruned(branch: Branch) -> Branch | None:
    """The branch without the types whose assertions contradict each other."""
    keywords = branch.keywords
    impossible = {kind for kind, contradicts in _CONTRADICTIONS.items() if contradicts(keywords)}
    if Bounds.of(keywords).is_empty:
        impossible |= NUMBER
    types = branch.types - impossible
    if not types or keywords.get("enum") == []:
        return None
    if types == ATOMS:
        return branch
    return Branch({**keywords, "type": types}, branch.sources)


def muted(branch: Branch) -> Branch:
    """The branch, counted by no `unevaluated` keyword: annotations do not leave a `not`."""
    keywords = dict(branch.keywords)
    if "layers" in keywords:
        keywords["layers"] = [
            Layer(each.properties, each.patterns, each.additional, False)
            for each in keywords["layers"]
        ]
    if "arrays" in keywords:
        keywords["arrays"] = [Row(each.prefix, each.items, False) for each in keywords["arrays"]]
    if "contains" in keywords:
        keywords["contains"] = [
            Contains(each.schema, each.least, each.most, each.start, False)
            for each in keywords["contains"]
        ]
    return Branch(keywords, branch.sources)


def _crossed(low: str, high: str) -> Callable[[dict[str, Any]], bool]:
    return lambda k: low in k and high in k and bool(k[low] > k[high])


def _no_object(keywords: dict[str, Any]) -> bool:
    if _crossed("minProperties", "maxProperties")(keywords):
        return True
    required: list[str] = keywords.get("required", [])
    most: int | None = keywords.get("maxProperties")
    if most is not None and len(set(required)) > most:
        return True
    layers: list[Layer] = keywords.get("layers", [])
    return any(layer.properties.get(name) is False for layer in layers for name in required)


_CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "string": _crossed("minLength", "maxLength"),
    "array": _crossed("minItems", "maxItems"),
    "object": _no_object,
}


def _common_values(a: list[Any], b: list[Any]) -> list[Any]:
    kept = {identity(value) for value in b}
    return [value for value in a if identity(value) in kept]


def _common_multiple(a: Fraction, b: Fraction) -> Fraction:
    denominator = a.denominator * b.denominator
    return Fraction(lcm(int(a * denominator), int(b * denominator)), denominator)


def _both(a: list[Any], b: list[Any]) -> list[Any]:
    return [*a, *(item for item in b if item not in a)]


_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "type": frozenset.__and__,
    "enum": _common_values,
    "multipleOf": _common_multiple,
    **dict.fromkeys(
        ("pattern", "format", "required", "layers", "arrays", "names", "contains", "some",
         "notPattern", "notFormat", "notMultipleOf", "excluded"),
        _both,
    ),
    **dict.fromkeys(("uniqueItems", "repeated"), lambda a, b: a or b),
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}  # fmt: skip
