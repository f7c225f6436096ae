"""One pass over a document: schemas to grammar nodes, shared ones to rules."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote

from ctrlgen.constraints.json_text import any_text, quoted
from ctrlgen.constraints.nodes import NOTHING, Bytes, Choice, Grammar, Node, Ref
from ctrlgen.constraints.schema_arrays import Arrays
from ctrlgen.constraints.schema_branches import NUMBER, Branch
from ctrlgen.constraints.schema_conjoin import conjoin, identity, meaning
from ctrlgen.constraints.schema_document import BASE, Document, Schema
from ctrlgen.constraints.schema_drafts import Draft
from ctrlgen.constraints.schema_expand import APPLICATORS, Expansion, assertions
from ctrlgen.constraints.schema_keys import Keys
from ctrlgen.constraints.schema_numbers import numbers
from ctrlgen.constraints.schema_objects import Objects
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.constraints.schema_refusals import Refusals
from ctrlgen.constraints.schema_strings import Strings
from ctrlgen.constraints.schema_style import Style
from ctrlgen.constraints.schema_values import EMPTY_VALUE, LITERAL, STRUCTURE, Value, union
from ctrlgen.errors import LimitError

MAX_RULES = 20_000
ANY = "any"

_SCALARS = frozenset(("null", "boolean", "string")) | NUMBER
_ORDER = ("boolean", "integer", "null", "number", "string", "array", "object")


class SchemaLowering:
    """Lowers the schemas of one document.

    Args:
        document: The schemas.
        options: How.
        dead: Rules that are known to have no finite instance.

    Attributes:
        refusals: What was left out.
        reason: Why the schema has no instance, as far as that shows.
    """

    def __init__(self, document: Document, options: SchemaOptions, dead: frozenset[str]) -> None:
        self.refusals = Refusals(options.on_unsupported)
        self.reason = ""
        self._document = document
        self._options = options
        self._whole = document.draft <= Draft.D4
        self._style = Style(options)
        self._exact_style = Style(replace(options, breadth="narrow"))
        self._strings = Strings(options, self.refusals)
        self._expansion = Expansion(
            document, self._refuse, self._strings.knows, tagged=options.breadth == "narrow"
        )
        expand = self._expansion
        keys = Keys(self._strings, expand.branches, expand.values, document.accepts)
        self._objects = Objects(
            self._value, document.accepts, keys, options, self._style, self.refusals
        )
        self._arrays = Arrays(self._value, expand.finite, self._style, self.refusals)
        self._dead = dead
        self._rules: dict[str, Node] = {}
        self._leaves: dict[str, Value] = {}
        self._queue: deque[tuple[str, Schema]] = deque()
        self._named: set[str] = set()

    def grammar(self) -> Grammar:
        """The root and every rule that it needs."""
        root = self._value(self._document.root, "").slotted("")
        while self._queue:
            name, schema = self._queue.popleft()
            self._rules[name] = self._rule(schema)
        return Grammar(root, self._rules)

    def _refuse(self, message: str, schema: Schema, keyword: str, hint: str) -> None:
        pointer = self._document.pointer(schema) or self.refusals.where
        self.refusals.refuse(message, keyword, hint, pointer=pointer)

    def _value(self, schema: Schema, name: str) -> Value:
        """The texts of a subschema that stands at the member `name`."""
        if isinstance(schema, bool):
            return self._any() if schema else EMPTY_VALUE
        outer = self.refusals.where
        self.refusals.where = self._document.pointer(schema) or outer
        value = self._bounded(lambda: self._keywords(schema, name))
        if value.node is NOTHING and not self.reason:
            where = self.refusals.where or "/"
            self.reason = f"at {where} the assertions contradict each other"
        self.refusals.where = outer
        return value

    def _bounded(self, lower: Callable[[], Value]) -> Value:
        """What `lower` returns; where it is too large and a judge helps, less is said."""
        try:
            return lower()
        except LimitError as error:
            if not self.refusals.lenient:
                raise
            self.refusals.refuse(str(error), "not")
        if not self._expansion.coarse:
            self._expansion.coarse = True
            self._expansion.known.clear()
            return self._bounded(lower)
        return self._any()

    def _keywords(self, schema: dict[str, Any], name: str) -> Value:
        said = assertions(schema)
        if not said:
            return self._any()
        if said == {"allOf"}:
            merged = conjoin(schema["allOf"])
            if isinstance(merged, bool) or merged.keys() != {"allOf"}:
                return self._value(merged, name)
            return self._shared(merged, name)
        if said == {"$ref"}:
            return self._shared(schema, name)
        if said == {"anyOf"}:
            return union((self._value(member, name) for member in schema["anyOf"]), name)
        if said == {"oneOf"}:
            members = self._expansion.exclusive(schema)
            return union((self._value(member, name) for member in members), name)
        if said & APPLICATORS:
            return self._shared(schema, name)
        return self._union(self._expansion.branches(schema), name)

    def _shared(self, schema: dict[str, Any], name: str) -> Value:
        """A rule for what several places share, or the value itself if it is a scalar."""
        reference = schema.get("$ref") if assertions(schema) == {"$ref"} else None
        key = reference or meaning(schema)
        if key in self._leaves:
            return self._leaves[key]
        rule = _rule_name(key)
        if rule in self._dead:
            self.reason = self.reason or f"every instance of {rule} would be infinite"
            return EMPTY_VALUE
        if rule not in self._named:
            branches = self._expansion.branches(schema)
            if all(b.types <= _SCALARS or "enum" in b.keywords for b in branches):
                self._leaves[key] = self._union(branches, name)
                return self._leaves[key]
            if len(self._named) >= MAX_RULES:
                raise LimitError(f"the schema needs more than {MAX_RULES} rules")
            self._named.add(rule)
            target = self._document.target(reference) if reference else schema
            self._queue.append((rule, target))
        return Value(Ref(rule), STRUCTURE)

    def _rule(self, schema: Schema) -> Node:
        said = assertions(schema) if isinstance(schema, dict) else set()
        if isinstance(schema, dict) and said & APPLICATORS and said not in _PASSED_ON:
            # `_value` would name this very rule
            self.refusals.where = self._document.pointer(schema) or self.refusals.where
            conjunction = schema
            return self._bounded(
                lambda: self._union(self._expansion.branches(conjunction), "")
            ).slotted("")
        return self._value(schema, "").slotted("")

    def _union(self, branches: list[Branch], name: str) -> Value:
        return union((self._branch(branch, name) for branch in branches), name)

    def _branch(self, branch: Branch, name: str) -> Value:
        if not branch.keywords:
            return self._any()
        if "enum" in branch.keywords:
            exactly = self._whole and _may_ask_for_integers(branch)
            return self._literals(self._expansion.values(branch) or [], exactly)
        kinds = branch.types
        if kinds >= NUMBER:
            kinds = kinds - NUMBER | {"number"}
        elif "fraction" in kinds:
            kinds = kinds - {"fraction"} | {"number"}
        alive = sorted(kinds, key=_ORDER.index)
        return union((self._typed(kind, branch, name) for kind in alive), name)

    def _literals(self, values: list[Any], exactly: bool = False) -> Value:
        """These values; `exactly` where 1.0, which draft 4 calls no integer, is not always 1."""
        if not values:
            return EMPTY_VALUE
        style = self._exact_style if exactly else self._style
        return Value(style.literals(values), LITERAL if len(values) < 2 else "enum")

    def _typed(self, kind: str, branch: Branch, name: str) -> Value:
        """The values of one JSON type."""
        if kind in ("null", "boolean"):
            values = [None] if kind == "null" else [True, False]
            excluded = {identity(value) for value in branch.keywords.get("excluded", ())}
            left = [value for value in values if identity(value) not in excluded]
            if kind == "boolean" and len(left) == 2:
                return Value(Choice((Bytes(b"true"), Bytes(b"false"))), "boolean")
            return self._literals(left)
        if kind == "string":
            return self._strings.value(branch.keywords)
        if kind == "object":
            return self._objects.value(branch.keywords)
        if kind == "array":
            return self._arrays.value(branch.keywords, name)
        try:
            node = numbers(branch.keywords, branch.types, self._options.breadth, self._whole)
        except LimitError as error:
            if not self.refusals.lenient:
                raise
            self.refusals.refuse(str(error), "multipleOf")
            node = numbers({}, branch.types, self._options.breadth, self._whole)
        return Value(node, kind)

    def _any(self) -> Value:
        """Any JSON value."""
        if ANY not in self._rules:
            this = Ref(ANY)
            scalars = Branch({"type": _SCALARS})
            self._rules[ANY] = NOTHING  # until it is known
            leaves = self._branch(scalars, "").slotted("")
            key = quoted(any_text(canonical=True))
            member = self._style.member(key, this)
            items = self._style.repeated(self._style.padded(this))
            array = self._style.enclosed("[]", items, True)
            mapping = self._style.enclosed("{}", self._style.repeated(member), True)
            self._rules[ANY] = Choice((leaves, array, mapping))
        return Value(Ref(ANY), STRUCTURE)


_PASSED_ON: tuple[set[str], ...] = ({"$ref"}, {"anyOf"}, {"oneOf"})


def _may_ask_for_integers(branch: Branch) -> bool:
    said = json.dumps(branch.sources)
    return '"integer"' in said or '"$ref"' in said


def _rule_name(key: str) -> str:
    """A readable name for a reference, a digest for a schema."""
    if key.startswith(BASE):
        return unquote(key.removeprefix(BASE))
    return f"schema:{blake2b(key.encode(), digest_size=12).hexdigest()}"
