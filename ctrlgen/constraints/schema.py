"""JSON Schema (draft 2020-12) to grammar nodes.

The texts are compact JSON with the members of an object in declared order. Every assertion is
either enforced by construction or refused with its JSON pointer; none is weakened. Sound
narrowings, which leave out valid texts, are: one spelling of numbers and layout; see `numeric`,
`formats` and, for undeclared members, the argument `extra`.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any
from urllib.parse import unquote

from ctrlgen.constraints.json_text import any_text, quoted
from ctrlgen.constraints.nodes import (
    NOTHING,
    And,
    Bytes,
    ByteSet,
    Choice,
    Grammar,
    Join,
    Node,
    Not,
    Ref,
    Repeat,
    Seq,
    Slot,
)
from ctrlgen.constraints.numeric import Bounds, integer_node, number_node
from ctrlgen.constraints.schema_arrays import array_value, distinct_array, item_counts
from ctrlgen.constraints.schema_conjoin import conjoin
from ctrlgen.constraints.schema_document import BASE, Document, Schema
from ctrlgen.constraints.schema_merge import Branch, Expansion, assertions
from ctrlgen.constraints.schema_objects import Extra, Objects
from ctrlgen.constraints.schema_strings import Formats, string_value
from ctrlgen.constraints.schema_values import (
    EMPTY_VALUE,
    LITERAL,
    STRUCTURE,
    Value,
    literals,
    union,
)
from ctrlgen.errors import LimitError, SchemaError, UnsatisfiableError

MAX_RULES = 20_000
ANY = "any"

_SCALARS = frozenset(("null", "boolean", "integer", "number", "string"))


def lower_schema(
    schema: Schema, *, formats: Formats = "annotate", extra: Extra = "forbid"
) -> Grammar:
    """The compact JSON texts of the instances of `schema`.

    Args:
        schema: A JSON Schema, as Python values.
        formats: Known formats are always enforced. An unknown one is an annotation, or refused
            when "strict".
        extra: With "forbid", an object schema that has `properties` or `patternProperties` but no
            `additionalProperties` generates declared members only; "allow" follows the standard.

    Raises:
        SchemaError: The schema is invalid, or has a keyword that cannot be guaranteed.
        UnsatisfiableError: It has no finite instance.
        LimitError: It is too large.
    """
    try:
        document = Document(schema)
        dead: frozenset[str] = frozenset()
        while True:
            lowering = _Lowering(document, formats, extra, dead)
            grammar = lowering.grammar()
            found = _unproductive(grammar)
            if not found:
                break
            # References to rules without a finite instance become the empty set, and what
            # depends on them is lowered once more: an optional member disappears.
            dead |= found
    except RecursionError as error:
        raise LimitError(
            "the schema is nested too deeply", hint="move inner schemas to $defs"
        ) from error
    if not _productive(grammar.root, set(grammar.rules), {}):
        reason = lowering.reason or "it is false"
        raise UnsatisfiableError(f"no value satisfies the schema: {reason}")
    return grammar


class _Lowering:
    """One pass over a document."""

    def __init__(
        self, document: Document, formats: Formats, extra: Extra, dead: frozenset[str]
    ) -> None:
        self._document = document
        self._expansion = Expansion(document)
        self._formats = formats
        self._objects = Objects(self._expansion, self._value, extra, formats)
        self._dead = dead
        self._rules: dict[str, Node] = {}
        self._leaves: dict[str, Value] = {}
        self._queue: deque[tuple[str, Schema]] = deque()
        self._named: set[str] = set()
        self._where = ""
        self.reason = ""

    def grammar(self) -> Grammar:
        """The root and every rule that it needs."""
        root = self._value(self._document.root, "").slotted("")
        while self._queue:
            name, schema = self._queue.popleft()
            self._rules[name] = self._rule(schema)
        return Grammar(root, self._rules)

    def _value(self, schema: Schema, name: str) -> Value:
        """The texts of a subschema that stands at the member `name`."""
        if isinstance(schema, bool):
            return self._any() if schema else EMPTY_VALUE
        outer, self._where = self._where, self._document.pointer(schema) or self._where
        value = self._keywords(schema, name)
        if value.node is NOTHING and not self.reason:
            self.reason = f"at {self._where or '/'} the assertions contradict each other"
        self._where = outer
        return value

    def _keywords(self, schema: dict[str, Any], name: str) -> Value:
        said = assertions(schema)
        if not said:
            return self._any()
        if said == {"allOf"}:
            merged = conjoin(schema["allOf"])
            if isinstance(merged, bool) or merged.keys() != {"allOf"}:
                return self._value(merged, name)
            return self._shared(json.dumps(merged, sort_keys=True), merged, name)
        if said == {"$ref"}:
            return self._shared(schema["$ref"], schema, name)
        if said == {"anyOf"}:
            return union((self._value(member, name) for member in schema["anyOf"]), name)
        if said == {"oneOf"}:
            members = self._expansion.exclusive(schema)
            return union((self._value(member, name) for member in members), name)
        return self._union(self._expansion.branches(schema), name)

    def _shared(self, key: str, schema: dict[str, Any], name: str) -> Value:
        """A rule for what several places share, or the value itself if it is a scalar."""
        if key in self._leaves:
            return self._leaves[key]
        branches = self._expansion.branches(schema)
        if all(b.types <= _SCALARS or "enum" in b.keywords for b in branches):
            self._leaves[key] = self._union(branches, name)
            return self._leaves[key]
        rule = unquote(key.removeprefix(BASE)) if key.startswith(BASE) else f"allOf:{key}"
        if rule in self._dead:
            self.reason = self.reason or f"every instance of #{rule} would be infinite"
            return EMPTY_VALUE
        if rule not in self._named:
            if len(self._named) >= MAX_RULES:
                raise LimitError(f"the schema needs more than {MAX_RULES} rules")
            self._named.add(rule)
            target = self._document.target(key) if key.startswith(BASE) else schema
            self._queue.append((rule, target))
        return Value(Ref(rule), STRUCTURE)

    def _rule(self, schema: Schema) -> Node:
        if isinstance(schema, dict) and schema.keys() == {"allOf"}:
            # the conjunction itself; `_value` would name this very rule
            return self._union(self._expansion.branches(schema), "").slotted("")
        return self._value(schema, "").slotted("")

    def _union(self, branches: list[Branch], name: str) -> Value:
        return union((self._branch(branch, name) for branch in branches), name)

    def _branch(self, branch: Branch, name: str) -> Value:
        if not branch.keywords:
            return self._any()
        if "enum" in branch.keywords:
            return literals(self._expansion.values(branch) or [])
        ordered = [*sorted(branch.types & _SCALARS), *sorted(branch.types - _SCALARS)]
        return union((self._typed(kind, branch, name) for kind in ordered), name)

    def _typed(self, kind: str, branch: Branch, name: str) -> Value:
        """The values of one JSON type."""
        if kind == "null":
            return Value(Bytes(b"null"), LITERAL)
        if kind == "boolean":
            return Value(Choice((Bytes(b"true"), Bytes(b"false"))), "boolean")
        if kind == "string":
            return string_value(branch.keywords, self._where, self._formats)
        if kind == "object":
            return self._objects.value(branch, self._where)
        if kind == "array":
            return self._array(branch.keywords, name)
        bounds = Bounds(
            *(
                branch.keywords.get(key)
                for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
            )
        )
        build = integer_node if kind == "integer" else number_node
        return Value(build(bounds, branch.keywords.get("multipleOf")), kind)

    def _array(self, keywords: dict[str, Any], name: str) -> Value:
        least, most = item_counts(keywords)
        if not keywords.get("uniqueItems") or (most is not None and most < 2):
            return array_value(keywords, name, self._value)
        values = self._expansion.finite(keywords.get("items", True))
        if values is None or "prefixItems" in keywords:
            raise SchemaError(
                "uniqueItems cannot be guaranteed unless the items are finitely many",
                pointer=self._where,
                keyword="uniqueItems",
                hint="use an enum for the items, or drop uniqueItems",
            )
        return distinct_array(values, least, most)

    def _any(self) -> Value:
        """Any JSON value."""
        if ANY not in self._rules:
            this = Ref(ANY)
            scalars = Branch({"type": _SCALARS - {"integer"}})
            leaves = self._branch(scalars, "").slotted("")
            member = Seq((quoted(any_text(canonical=True)), Bytes(b":"), this))
            array = Seq((Bytes(b"["), Repeat(this, separator=b","), Bytes(b"]")))
            mapping = Seq((Bytes(b"{"), Repeat(member, separator=b","), Bytes(b"}")))
            self._rules[ANY] = Choice((leaves, array, mapping))
        return Value(Ref(ANY), STRUCTURE)


def _unproductive(grammar: Grammar) -> frozenset[str]:
    """The rules that have no finite word, as far as emptiness shows without an automaton."""
    alive: set[str] = set()
    growing = True
    while growing:
        growing = False
        for name, node in reversed(list(grammar.rules.items())):
            if name not in alive and _productive(node, alive, {}):
                alive.add(name)
                growing = True
    return frozenset(grammar.rules.keys() - alive)


def _productive(node: Node, alive: set[str], seen: dict[int, bool]) -> bool:
    """Whether `node` has a word that needs `alive` rules only; intersections are trusted."""
    if id(node) not in seen:
        seen[id(node)] = _has_word(node, alive, seen)
    return seen[id(node)]


def _has_word(node: Node, alive: set[str], seen: dict[int, bool]) -> bool:
    match node:
        case Ref(name):
            return name in alive
        case Choice(items):
            return any(_productive(item, alive, seen) for item in items)
        case Seq(items) | And(items):
            return all(_productive(item, alive, seen) for item in items)
        case Join(items, required):
            pairs = zip(items, required, strict=True)
            return all(_productive(item, alive, seen) for item, needed in pairs if needed)
        case Repeat(item, least):
            return least == 0 or _productive(item, alive, seen)
        case Slot(item):
            return _productive(item, alive, seen)
        case ByteSet(members):
            return members != 0
    return isinstance(node, Bytes | Not)
