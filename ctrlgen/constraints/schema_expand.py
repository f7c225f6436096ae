"""Schemas to branches: `$ref` with siblings, `allOf`, unions, negations and conditions.

A schema becomes *branches*, whose union it is: its disjunctive normal form, one level deep. Schemas
of members and items stay schemas, conjoined by a new `allOf` or negated by a new `not`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ctrlgen.constraints.numeric import exact
from ctrlgen.constraints.schema_branches import (
    Branch,
    Contains,
    Layer,
    Row,
    merge,
    muted,
    pruned,
    type_set,
)
from ctrlgen.constraints.schema_conjoin import conjoin, identity, negation
from ctrlgen.constraints.schema_document import Document, Schema
from ctrlgen.constraints.schema_evaluated import (
    refused_unevaluated,
    unevaluated_items,
    unevaluated_members,
)
from ctrlgen.constraints.schema_negate import ITEMS, MEMBERS, absent, denials, differing
from ctrlgen.errors import LimitError, SchemaError

MAX_BRANCHES = 1024
MAX_PRODUCTS = 20_000
MAX_CHAIN = 150

NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
COUNTS = (
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
PLAIN = frozenset(
    ("type", "enum", "const", *NUMBERS, *COUNTS, *MEMBERS, *ITEMS, "pattern", "format",
     "required", "propertyNames", "uniqueItems", "contains", "minContains", "maxContains",
     "dependentRequired")
)  # fmt: skip
APPLICATORS = frozenset(
    ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas",
     "unevaluatedProperties", "unevaluatedItems")
)  # fmt: skip
_EVALUATING = frozenset(("unevaluatedProperties", "unevaluatedItems"))
_IDLE = {"minContains": "contains", "maxContains": "contains"}


def assertions(schema: dict[str, Any]) -> set[str]:
    """The keywords of `schema` that say anything about its instances."""
    said = {key for key in schema if key in PLAIN or key in APPLICATORS}
    said -= {key for key, needed in _IDLE.items() if needed not in schema}
    if "if" in said and not {"then", "else"} & schema.keys():
        said.discard("if")
    return said


Refuse = Callable[[str, Schema, str, str], None]

# A reference, whether its branches are disjoint, and whether it stands under a negation.
Place: TypeAlias = tuple[str, bool, bool]


@dataclass
class Expansion:
    """Turns the schemas of one document into branches.

    Args:
        document: The schemas.
        refuse: Told of every assertion that cannot be guaranteed: message, schema, keyword, hint.
            Where it returns, the assertion is left out.
        known_format: Whether a format is enforced.
        tagged: Demand the tag that the `discriminator` of a `oneOf` names: pydantic and OpenAPI
            do, even of members that have a default for it.
        coarse: Leave negations out, and say so: their normal form has become too large.
    """

    document: Document
    refuse: Refuse
    known_format: Callable[[str], bool]
    tagged: bool = False
    coarse: bool = False
    known: dict[Place, list[Branch]] = field(default_factory=dict)
    _products: int = 0
    _path: list[Place] = field(default_factory=list)

    def branches(self, schema: Schema, split: bool = False) -> list[Branch]:
        """The satisfiable-looking branches of `schema`, in its order.

        Args:
            schema: The schema.
            split: Make the branches disjoint where they are annotated differently, so that each
                says which members and items are evaluated.

        Raises:
            SchemaError: References form a cycle.
            LimitError: There are too many branches, or references nest too deeply.
        """
        if isinstance(schema, bool):
            return [Branch({})] if schema else []
        inner = split or not _EVALUATING.isdisjoint(schema)
        found = self._plain(schema)
        for part in self._parts(schema, inner):
            found = self.product(found, part)
        if "unevaluatedItems" in schema:
            found = [unevaluated_items(branch, schema["unevaluatedItems"]) for branch in found]
        if "unevaluatedProperties" in schema:
            asked = schema["unevaluatedProperties"]
            found = [unevaluated_members(branch, asked) for branch in found]
        return found

    def _parts(self, schema: dict[str, Any], split: bool) -> Iterable[list[Branch]]:
        """What `schema` demands beside its plain assertions: one branch of each part."""
        if "$ref" in schema:
            yield self._target(schema, split, False)
        for member in schema.get("allOf", ()):
            yield self.branches(member, split)
        for key, inner in schema.get("dependentSchemas", {}).items():
            yield self._dependent(key, self.branches(inner, split))
        if "anyOf" in schema:
            members = schema["anyOf"]
            yield self._split(members) if split else self._union(members, split)
        if "oneOf" in schema:
            yield self._union(self.exclusive(schema), split)
        if "not" in schema:
            yield [muted(branch) for branch in self.negated(schema["not"])]
        if "if" in schema and (split or {"then", "else"} & schema.keys()):
            condition = schema["if"]
            yield [
                *self.product(self.branches(condition, split), self._arm(schema, "then", split)),
                *self.product(
                    [muted(b) for b in self.negated(condition)], self._arm(schema, "else", split)
                ),
            ]

    def _arm(self, schema: dict[str, Any], keyword: str, split: bool) -> list[Branch]:
        return self.branches(schema.get(keyword, True), split)

    def _dependent(self, key: str, asked: list[Branch]) -> list[Branch]:
        """No member `key`, or one of `asked` with it."""
        without = {"layers": [absent(key)]}
        present = Branch({"type": frozenset(("object",)), "required": [key]})
        source: Schema = {"properties": {key: False}}
        return [Branch(without, (source,)), *self.product([present], asked)]

    def negated(self, schema: Schema) -> list[Branch]:
        """The branches of what `schema` refuses."""
        if isinstance(schema, bool):
            return self.branches(not schema)
        if self.coarse:
            self.refuse("negations make too many alternatives", schema, "not", "")
            return [Branch({})]
        found = list(self._denied(schema))
        if not _EVALUATING.isdisjoint(schema):
            found += self._denied_unevaluated(schema)
        if "$ref" in schema:
            found += self._target(schema, False, True)
        for member in schema.get("allOf", ()):
            found += self.negated(member)
        for key, inner in schema.get("dependentSchemas", {}).items():
            present = Branch({"type": frozenset(("object",)), "required": [key]})
            found += self.product([present], self.negated(inner))
        if "anyOf" in schema:
            found += self.every([self.negated(member) for member in schema["anyOf"]])
        if "oneOf" in schema:
            found += self._not_one(schema["oneOf"])
        if "not" in schema:
            found += self.branches(schema["not"])
        if "if" in schema and {"then", "else"} & schema.keys():
            then, otherwise = schema.get("then", True), schema.get("else", True)
            found += self.product(self.branches(schema["if"]), self.negated(then))
            found += self.product(self.negated(schema["if"]), self.negated(otherwise))
        self._bounded(len(found))
        return found

    def _denied(self, schema: dict[str, Any]) -> Iterable[Branch]:
        plain = {key: value for key, value in schema.items() if key in PLAIN}
        for branch in denials(plain, self.known_format):
            alive = pruned(branch)
            if alive is not None:
                yield alive
        for values in ([schema["const"]] if "const" in schema else None, schema.get("enum")):
            if values is not None:
                yield from self.every(differing(values))

    def _denied_unevaluated(self, schema: dict[str, Any]) -> list[Branch]:
        """What satisfies the rest of `schema`, but not its unevaluated keywords."""
        rest = {key: value for key, value in schema.items() if key not in _EVALUATING}
        found = []
        for branch in self.branches(rest, split=True):
            found += self.product([muted(branch)], refused_unevaluated(branch, schema))
        return found

    def _not_one(self, members: list[Schema]) -> list[Branch]:
        """None of `members`, or two of them."""
        found = self.every([self.negated(member) for member in members])
        positive = [self.branches(member) for member in members]
        for j, later in enumerate(positive):
            for former in positive[:j]:
                found += self.product(former, later)
        return found

    def _split(self, members: list[Schema]) -> list[Branch]:
        """The same as their union, disjoint: each either holds or does not."""
        without = [Branch({})]
        with_some: list[Branch] = []
        for member in members:
            yes = self.branches(member, True)
            no = [muted(branch) for branch in self.negated(member)]
            with_some = [
                *self.product(with_some, yes),
                *self.product(with_some, no),
                *self.product(without, yes),
            ]
            without = self.product(without, no)
        return with_some

    def exclusive(self, schema: dict[str, Any]) -> list[Schema]:
        """The members of a `oneOf`, each without what others also allow."""
        members: list[Schema] = list(schema["oneOf"])
        groups = [self.branches(member) for member in members]
        if self.tagged:
            tags = [_missing_tag(schema, group) for group in groups]
            members = [conjoin([member, *tag]) for member, tag in zip(members, tags, strict=True)]
            groups = [self.branches(member) for member in members]
        others: list[list[Schema]] = [[] for _ in members]
        for j, later in enumerate(groups):
            for i, former in enumerate(groups[:j]):
                if not all(self.told_apart(a, b) for a in former for b in later):
                    others[i].append(negation(members[j]))
                    others[j].append(negation(members[i]))
        pairs = zip(members, others, strict=True)
        return [conjoin([member, *refused]) if refused else member for member, refused in pairs]

    def told_apart(self, a: Branch, b: Branch) -> bool:
        """Whether `a` and `b` are plainly disjoint."""
        both = merge(a, b)
        if both is None:
            return True
        if self.values(both) == []:
            return True
        if both.types != {"object"}:
            return False
        required = both.keywords.get("required", ())
        layers = both.keywords.get("layers", ())
        return any(self._impossible_member(layers, name) for name in required)

    def _impossible_member(self, layers: list[Layer], name: str) -> bool:
        asked = [layer.properties[name] for layer in layers if name in layer.properties]
        if len(asked) < 2 or not any(_may_be_tag(schema) for schema in asked):
            return False
        return self.finite(conjoin(asked)) == []

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
            found = booleans + ([None] if "null" in branch.types else [])
            return [value for value in found if self._satisfies(branch, value)]
        return None

    def _satisfies(self, branch: Branch, value: Any) -> bool:
        return all(self.document.accepts(source, value) for source in branch.sources)

    def _target(self, schema: dict[str, Any], split: bool, negative: bool) -> list[Branch]:
        """The branches of what `schema` refers to, or of what that refuses."""
        chain: dict[Place, Schema] = {}  # long ones are taken from their end, without recursion
        while True:
            name, target = self._resolved(schema)
            place = name, split, negative
            if place in self._path or place in chain:
                raise self._cycle(schema)
            if place in self.known:
                break
            chain[place] = target
            if not isinstance(target, dict) or "$ref" not in target:
                break
            schema, split = target, not negative and (split or not _EVALUATING.isdisjoint(target))
        first = next(iter(chain), place)
        for place, target in reversed(chain.items()):
            self._expand(place, target)
        return self.known[first]

    def _expand(self, place: Place, target: Schema) -> None:
        if len(self._path) >= MAX_CHAIN:
            raise LimitError(f"more than {MAX_CHAIN} unions or conjunctions refer to each other")
        _, split, negative = place
        self._path.append(place)
        try:
            self.known[place] = self.negated(target) if negative else self.branches(target, split)
        finally:
            self._path.pop()

    def _resolved(self, schema: dict[str, Any]) -> tuple[str, Schema]:
        """The last of a chain of bare references, and what it names."""
        passed = [schema["$ref"]]
        target = self.document.target(passed[-1])
        while isinstance(target, dict) and assertions(target) == {"$ref"}:
            if target["$ref"] in passed:
                raise self._cycle(schema)
            passed.append(target["$ref"])
            target = self.document.target(passed[-1])
        return passed[-1], target

    def _cycle(self, schema: Schema) -> SchemaError:
        pointer = self.document.pointer(schema)
        return SchemaError("references form a cycle", pointer=pointer, keyword="$ref")

    def _union(self, members: list[Schema], split: bool) -> list[Branch]:
        return [branch for member in members for branch in self.branches(member, split)]

    def product(self, first: list[Branch], second: list[Branch]) -> list[Branch]:
        """What satisfies a branch of each."""
        self._bounded(len(first) * len(second))
        self._products += len(first) * len(second)
        if self._products > MAX_PRODUCTS and not self.coarse:
            raise LimitError(f"the schema needs more than {MAX_PRODUCTS} conjunctions")
        merged = (merge(a, b) for a in first for b in second)
        return [branch for branch in merged if branch is not None]

    def every(self, parts: list[list[Branch]]) -> list[Branch]:
        """What satisfies a branch of every part."""
        found = [Branch({})]
        for part in sorted(parts, key=len):
            found = self.product(found, part)
        return found

    def _bounded(self, count: int) -> None:
        if count > MAX_BRANCHES:
            raise LimitError(f"a schema has more than {MAX_BRANCHES} alternatives")

    def _plain(self, schema: dict[str, Any]) -> list[Branch]:
        """The branch of the assertions that stand in `schema` itself."""
        asserted = {key: value for key, value in schema.items() if key in PLAIN}
        judged = {key: value for key, value in asserted.items() if key not in ("enum", "const")}
        keywords = _inner_form(asserted)
        found = [Branch(keywords, (judged,) if judged else ())]
        for key, names in schema.get("dependentRequired", {}).items():
            if names:
                present = {"type": frozenset(("object",)), "required": [key, *names]}
                without = Branch({"layers": [absent(key)]})
                found = self.product(found, [without, Branch(present)])
        return [alive for branch in found if (alive := pruned(branch)) is not None]


def _inner_form(asserted: dict[str, Any]) -> dict[str, Any]:
    """Plain assertions as the keywords of a branch."""
    keywords: dict[str, Any] = {}
    for key, value in asserted.items():
        if key in NUMBERS:
            keywords[key] = exact(value)
        elif key in COUNTS:
            keywords[key] = int(value)
        elif key in ("pattern", "format"):
            keywords[key] = [value]
        elif key == "type":
            keywords[key] = type_set(value)
        elif key in ("enum", "required") or (key == "uniqueItems" and value):
            keywords[key] = value
    if "const" in asserted:
        const = asserted["const"]
        same = [v for v in asserted.get("enum", [const]) if identity(v) == identity(const)]
        keywords["enum"] = same
    if any(key in asserted for key in MEMBERS):
        names, patterns = asserted.get("properties", {}), asserted.get("patternProperties", {})
        keywords["layers"] = [Layer(names, patterns, asserted.get("additionalProperties"))]
    if any(key in asserted for key in ITEMS):
        keywords["arrays"] = [Row(tuple(asserted.get("prefixItems", ())), asserted.get("items"))]
    if "propertyNames" in asserted:
        keywords["names"] = [asserted["propertyNames"]]
    if "contains" in asserted:
        most = asserted.get("maxContains")
        least = int(asserted.get("minContains", 1))
        count = Contains(asserted["contains"], least, None if most is None else int(most))
        keywords["contains"] = [count]
    return keywords


def _missing_tag(schema: dict[str, Any], group: list[Branch]) -> list[Schema]:
    """The discriminator of a `oneOf` as required, if `group` declares it."""
    discriminator = schema.get("discriminator")
    tag = discriminator.get("propertyName") if isinstance(discriminator, dict) else None
    for branch in group:
        layers = branch.keywords.get("layers", ())
        if not any(tag in layer.properties for layer in layers):
            return []
    return [{"required": [tag]}]


def _may_be_tag(schema: Schema) -> bool:
    """Whether it is worth asking for the values: a tag says so itself, or refers to an enum."""
    return isinstance(schema, dict) and bool(
        {"const", "enum", "$ref", "allOf", "not"} & schema.keys()
    )
