"""Conjunction of JSON Schemas: `$ref` with siblings, `allOf`, and unions below them.

A schema becomes *branches*, whose union it is. A branch is one merged set of plain assertions,
without `$ref`, `allOf`, `anyOf` or `oneOf` at its top; schemas of members and items below it stay
schemas, conjoined by a new `allOf` where two met.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import Any

from ctrlgen.constraints.numeric import exact
from ctrlgen.constraints.schema_conjoin import conjoin, merged_arrays, merged_objects
from ctrlgen.constraints.schema_document import Document, Schema
from ctrlgen.errors import LimitError, SchemaError

MAX_BRANCHES = 4096
MAX_CHAIN = 150

TYPES = frozenset(("null", "boolean", "object", "array", "number", "string"))

# Assertions of drafts 4 to 2020-12 that are not lowered; all else unknown is an annotation.
_REFUSED = frozenset(
    (
        "not", "if", "then", "else", "dependentSchemas", "dependentRequired", "dependencies",
        "unevaluatedProperties", "unevaluatedItems", "contains", "minContains", "maxContains",
        "$dynamicRef", "$recursiveRef", "additionalItems", "extends", "disallow", "divisibleBy",
    )
)  # fmt: skip
_APPLICATORS = ("$ref", "allOf", "anyOf", "oneOf")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_PLAIN = frozenset(
    (
        "type", "enum", "const", *_NUMBERS, "minLength", "maxLength", "pattern", "format",
        "properties", "required", "additionalProperties", "patternProperties", "propertyNames",
        "minProperties", "maxProperties", "items", "prefixItems", "minItems", "maxItems",
        "uniqueItems",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Branch:
    """One conjunction of plain assertions.

    Args:
        keywords: The assertions; `type` is a set, `pattern` and `format` are lists, numbers exact.
        sources: What it was merged from, `enum` and `const` apart, to judge single values by.
    """

    keywords: dict[str, Any]
    sources: tuple[dict[str, Any], ...] = ()

    @property
    def types(self) -> frozenset[str]:
        """The types of JSON value that it allows."""
        return self.keywords.get("type", TYPES)  # type: ignore[no-any-return]


def assertions(schema: dict[str, Any]) -> set[str]:
    """The keywords of `schema` that say anything about its instances."""
    return {key for key in schema if key in _PLAIN or key in _APPLICATORS or key in _REFUSED}


def identity(value: Any) -> str:
    """Equal for values that JSON Schema calls equal: 1 is 1.0, and true is not 1."""
    return json.dumps(_normal(value), sort_keys=True)


def _normal(value: Any) -> Any:
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass
class Expansion:
    """Turns the schemas of one document into branches."""

    document: Document
    known: dict[str, list[Branch]] = field(default_factory=dict)

    def refuse(self, message: str, schema: Schema, keyword: str, hint: str = "") -> SchemaError:
        """The error for a `keyword` of `schema` that cannot be guaranteed."""
        pointer = self.document.pointer(schema)
        return SchemaError(message, pointer=pointer, keyword=keyword, hint=hint)

    def branches(self, schema: Schema, path: tuple[str, ...] = ()) -> list[Branch]:
        """The satisfiable-looking branches of `schema`, in its order.

        Raises:
            SchemaError: A keyword is not supported, or references form a cycle.
            LimitError: There are too many branches, or references nest too deeply.
        """
        if isinstance(schema, bool):
            return [Branch({})] if schema else []
        found = self._plain(schema)
        if "$ref" in schema:
            found = self._product(found, self._target(schema, path))
        for member in schema.get("allOf", ()):
            found = self._product(found, self.branches(member, path))
        if "anyOf" in schema:
            found = self._product(found, self._union(schema["anyOf"], path))
        if "oneOf" in schema:
            found = self._product(found, self._union(self.exclusive(schema, path), path))
        return found

    def finite(self, schema: Schema) -> list[Any] | None:
        """The values of `schema` if it has finitely many by its form, else None."""
        values: dict[str, Any] = {}
        for branch in self.branches(schema):
            inner = self.values(branch)
            if inner is None:
                return None
            values.update((identity(value), value) for value in inner)
        return list(values.values())

    def values(self, branch: Branch) -> list[Any] | None:
        """The same for a branch."""
        if "enum" in branch.keywords:
            distinct = {identity(value): value for value in branch.keywords["enum"]}
            return [value for value in distinct.values() if self._satisfies(branch, value)]
        if branch.types <= {"null", "boolean"}:
            booleans = [True, False] if "boolean" in branch.types else []
            return booleans + ([None] if "null" in branch.types else [])
        return None

    def _satisfies(self, branch: Branch, value: Any) -> bool:
        return all(self.document.accepts(source, value) for source in branch.sources)

    def exclusive(self, schema: dict[str, Any], path: tuple[str, ...] = ()) -> list[Schema]:
        """The members of a `oneOf` whose union it is, because no value satisfies two of them.

        A tag that no member requires becomes required: a sound narrowing, since a value without
        the tag might satisfy several members. So does the tag that a `discriminator` names:
        pydantic and OpenAPI demand it even of members that have a default for it.
        """
        members: list[Schema] = list(schema["oneOf"])
        groups = [self.branches(member, path) for member in members]
        tags = [_missing_tag(schema, group) for group in groups]
        for j, later in enumerate(groups):
            for i, former in enumerate(groups[:j]):
                for a in former:
                    for b in later:
                        tag = self._told_apart(a, b)
                        if tag is None:
                            raise self.refuse(
                                f"members {i} and {j} of oneOf are not provably exclusive",
                                schema,
                                "oneOf",
                                "give each a required property with its own const, or use anyOf",
                            )
                        if tag:
                            tags[i].add(tag)
                            tags[j].add(tag)
        return [
            conjoin([member, {"required": sorted(tag)}]) if tag else member
            for member, tag in zip(members, tags, strict=True)
        ]

    def _told_apart(self, a: Branch, b: Branch) -> str | None:
        """Why `a` and `b` are disjoint: "" by themselves, or once this property is required."""
        if not _common_types(a.types, b.types):
            return ""
        first, second = self.values(a), self.values(b)
        if first is not None and second is not None:
            return None if {identity(v) for v in first} & {identity(v) for v in second} else ""
        for values, other in ((first, b), (second, a)):
            if values is not None:
                return None if any(self._satisfies(other, value) for value in values) else ""
        if a.types != {"object"} and b.types != {"object"}:
            return None
        optional = None
        for key, schema in a.keywords.get("properties", {}).items():
            if self._tags_differ(schema, b.keywords.get("properties", {}).get(key, True)):
                required = (*a.keywords.get("required", ()), *b.keywords.get("required", ()))
                if key in required:
                    return ""
                optional = optional or key
        return optional

    def _tags_differ(self, a: Schema, b: Schema) -> bool:
        if b is True or not (_may_be_tag(a) and _may_be_tag(b)):
            return False
        first, second = self.finite(a), self.finite(b)
        if first is None or second is None:
            return False
        return not {identity(v) for v in first} & {identity(v) for v in second}

    def _target(self, schema: dict[str, Any], path: tuple[str, ...]) -> list[Branch]:
        reference = schema["$ref"]
        passed = [reference]  # chains of bare references are followed without recursion
        target = self.document.target(reference)
        while isinstance(target, dict) and assertions(target) == {"$ref"}:
            if target["$ref"] in passed:
                raise self.refuse("references form a cycle", schema, "$ref")
            passed.append(target["$ref"])
            target = self.document.target(passed[-1])
        last = passed[-1]
        if last in path:
            raise self.refuse("references form a cycle", schema, "$ref")
        if len(path) >= MAX_CHAIN:
            raise LimitError(f"more than {MAX_CHAIN} unions or conjunctions refer to each other")
        if last not in self.known:
            self.known[last] = self.branches(target, (*path, last))
        return self.known[last]

    def _union(self, members: list[Schema], path: tuple[str, ...]) -> list[Branch]:
        return [branch for member in members for branch in self.branches(member, path)]

    def _product(self, first: list[Branch], second: list[Branch]) -> list[Branch]:
        if len(first) * len(second) > MAX_BRANCHES:
            raise LimitError(f"a schema has more than {MAX_BRANCHES} alternatives")
        merged = (self._merge(a, b) for a in first for b in second)
        return [branch for branch in merged if branch is not None]

    def _plain(self, schema: dict[str, Any]) -> list[Branch]:
        """The branch of the assertions that stand in `schema` itself."""
        for keyword in schema:
            harmless = keyword.startswith("unevaluated") and schema[keyword] is True
            if keyword in _REFUSED and not harmless:
                raise self.refuse(f"the keyword {keyword!r} is not supported", schema, keyword)
        keywords = {key: value for key, value in schema.items() if key in _PLAIN}
        judged = {key: value for key, value in keywords.items() if key not in ("enum", "const")}
        sources = (judged,) if judged else ()
        if "type" in keywords:
            keywords["type"] = _types(keywords["type"])
        if "const" in keywords:
            const = keywords.pop("const")
            keywords["enum"] = _common_values([const], keywords.get("enum", [const]))
        for key in ("pattern", "format"):
            if key in keywords:
                keywords[key] = [keywords[key]]
        for key in _NUMBERS:
            if key in keywords:
                keywords[key] = exact(keywords[key])
        return [Branch(keywords, sources)]

    def _merge(self, a: Branch, b: Branch) -> Branch | None:
        if not a.keywords or not b.keywords:
            return b if not a.keywords else a
        merged = {**a.keywords, **b.keywords}
        for key, combine in _COMBINE.items():
            if key in a.keywords and key in b.keywords:
                merged[key] = combine(a.keywords[key], b.keywords[key])
        merged.update(merged_objects(a.keywords, b.keywords))
        merged.update(merged_arrays(a.keywords, b.keywords))
        if not merged.get("type", TYPES):
            return None
        return Branch(merged, a.sources + b.sources)


def _missing_tag(schema: dict[str, Any], group: list[Branch]) -> set[str]:
    """The discriminator of a `oneOf`, if `group` declares it without requiring it."""
    discriminator = schema.get("discriminator")
    tag = discriminator.get("propertyName") if isinstance(discriminator, dict) else None
    if not all(tag in branch.keywords.get("properties", ()) for branch in group):
        return set()
    required = all(tag in branch.keywords.get("required", ()) for branch in group)
    return set() if required else {str(tag)}


def _types(given: str | list[str]) -> frozenset[str]:
    names = frozenset([given] if isinstance(given, str) else given)
    return names - {"integer"} if "number" in names else names


def _common_types(a: frozenset[str], b: frozenset[str]) -> frozenset[str]:
    common = a & b
    if "integer" not in common and {"integer", "number"} <= a | b and "number" not in common:
        common |= {"integer"}
    return common


def _common_values(a: list[Any], b: list[Any]) -> list[Any]:
    kept = {identity(value) for value in b}
    return [value for value in a if identity(value) in kept]


def _may_be_tag(schema: Schema) -> bool:
    """Whether it is worth asking for the values: a tag says so itself, or refers to an enum."""
    return isinstance(schema, dict) and bool({"const", "enum", "$ref", "allOf"} & schema.keys())


def _common_multiple(a: Fraction, b: Fraction) -> Fraction:
    denominator = a.denominator * b.denominator
    return Fraction(lcm(int(a * denominator), int(b * denominator)), denominator)


def _both(a: list[Any], b: list[Any]) -> list[Any]:
    return [*a, *(item for item in b if item not in a)]


_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "type": _common_types,
    "enum": _common_values,
    "multipleOf": _common_multiple,
    "pattern": _both,
    "format": _both,
    "required": _both,
    "uniqueItems": lambda a, b: a or b,
    "propertyNames": lambda a, b: conjoin([a, b]),
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}
