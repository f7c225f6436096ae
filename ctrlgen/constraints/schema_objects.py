"""Objects: declared members in their order, then further ones, counted if need be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Literal

from ctrlgen.constraints.json_text import all_of, any_of, key_outside, quoted, spell
from ctrlgen.constraints.nodes import EMPTY, NOTHING, Bytes, Join, Node, Not, Repeat, Seq
from ctrlgen.constraints.schema_conjoin import conjoin, member_schema, pattern_schemas
from ctrlgen.constraints.schema_document import Schema
from ctrlgen.constraints.schema_merge import Branch, Expansion
from ctrlgen.constraints.schema_strings import Formats, pattern_body, string_value
from ctrlgen.constraints.schema_values import EMPTY_VALUE, STRUCTURE, Lower, Value
from ctrlgen.errors import LimitError, SchemaError

Extra = Literal["forbid", "allow"]
MAX_COUNTED = 128
MAX_PATTERNS = 4


@dataclass
class Objects:
    """Lowers the object part of branches.

    Args:
        expansion: Of the document at hand.
        lower: Lowers the schema of a member.
        extra: Whether objects with `properties` may have undeclared members by default.
        formats: What to do with unknown formats of keys.
    """

    expansion: Expansion
    lower: Lower
    extra: Extra
    formats: Formats

    def value(self, branch: Branch, where: str) -> Value:
        """The objects that `branch` allows.

        Raises:
            SchemaError: Distinct undeclared keys would have to be counted.
            LimitError: Too many members to count, or too many key patterns.
        """
        keywords = branch.keywords
        names = self._names(keywords)
        required = set(keywords.get("required", ()))
        members: list[Node] = []
        needed: list[bool] = []
        for name in names:
            value = self._member(keywords, name)
            if value.node is not NOTHING:
                members.append(Seq((Bytes(spell(name) + b":"), value.slotted(name))))
                needed.append(name in required)
            elif name in required:
                return EMPTY_VALUE
        further = self._further(keywords, names, where)
        alternatives = [Seq((key, Bytes(b":"), value.slotted(""))) for key, value in further]
        regular = all(value.kind != STRUCTURE for _, value in further)
        if regular and not names and further:
            plain = [Seq((key, Bytes(b":"), value.node)) for key, value in further]
            body, kind = self._count(keywords, [], [], any_of([*plain]), where), "object"
        else:
            body = self._count(keywords, members, needed, any_of([*alternatives]), where)
            kind = STRUCTURE
        if body is NOTHING:
            return EMPTY_VALUE
        if body is EMPTY:
            return Value(Bytes(b"{}"), "literal")
        return Value(Seq((Bytes(b"{"), body, Bytes(b"}"))), kind)

    def _names(self, keywords: dict[str, Any]) -> list[str]:
        """Declared and required keys, and all keys if `propertyNames` has finitely many."""
        names = dict.fromkeys((*keywords.get("properties", ()), *keywords.get("required", ())))
        if "propertyNames" in keywords:
            allowed = self._open(keywords)
            for name in self.expansion.finite(self._key_schema(keywords)) or ():
                if allowed or pattern_schemas(keywords, name):
                    names[name] = None
        return list(names)

    def _open(self, keywords: dict[str, Any]) -> bool:
        """Whether keys that no keyword names may occur."""
        declared = "properties" in keywords or "patternProperties" in keywords
        closed = declared and self.extra == "forbid"
        return keywords.get("additionalProperties", not closed) is not False

    def _key_schema(self, keywords: dict[str, Any]) -> Schema:
        return conjoin([keywords.get("propertyNames", True), {"type": "string"}])

    def _member(self, keywords: dict[str, Any], name: str) -> Value:
        names = keywords.get("propertyNames", True)
        if names is not True and not self.expansion.document.accepts(names, name):
            return EMPTY_VALUE
        return self.lower(member_schema(keywords, name), name)

    def _further(
        self, keywords: dict[str, Any], names: list[str], where: str
    ) -> list[tuple[Node, Value]]:
        """Keys that are not declared, by the patterns they match, with their values."""
        patterns = list(keywords.get("patternProperties", {}))
        if not patterns and not self._open(keywords):
            return []
        if len(patterns) > MAX_PATTERNS:
            raise LimitError(f"at {where or '/'}: more than {MAX_PATTERNS} patternProperties")
        keys = self._keys(keywords, where)
        bodies = {pattern: quoted(pattern_body(pattern, where)) for pattern in patterns}
        found: list[tuple[Node, Value]] = []
        for matched in product((True, False), repeat=len(patterns)):
            chosen = [p for p, yes in zip(patterns, matched, strict=True) if yes]
            if keys is NOTHING or (not chosen and not self._open(keywords)):
                continue
            schemas = [keywords["patternProperties"][pattern] for pattern in chosen]
            schema = conjoin(schemas) if chosen else keywords.get("additionalProperties", True)
            value = self.lower(schema, "")
            if value.node is not NOTHING:
                inside = [bodies[p] if p in chosen else Not(bodies[p]) for p in patterns]
                found.append((key_outside(all_of([keys, *inside]), names), value))
        return found

    def _keys(self, keywords: dict[str, Any], where: str) -> Node:
        """All keys that `propertyNames` allows and that are not declared by it."""
        schema = self._key_schema(keywords)
        if self.expansion.finite(schema) is not None:
            return NOTHING
        branches = self.expansion.branches(schema)
        return any_of(
            [string_value(b.keywords, where, self.formats, key=True).node for b in branches]
        )

    def _count(
        self,
        keywords: dict[str, Any],
        members: list[Node],
        needed: list[bool],
        further: Node,
        where: str,
    ) -> Node:
        """The member list, between `minProperties` and `maxProperties` long."""
        least = max(int(keywords.get("minProperties", 0)), sum(needed))
        most = keywords.get("maxProperties")
        most = None if most is None else int(most)
        if most is not None and most < least:
            return NOTHING
        limit = len(members) if further is NOTHING else None
        if limit is not None and limit < least:
            return NOTHING
        if least > len(members) + 1:
            raise SchemaError(
                "minProperties over undeclared keys cannot be guaranteed: a key may come twice",
                pointer=where,
                keyword="minProperties",
                hint="declare the keys, or list them in propertyNames",
            )
        free = least == sum(needed) and (most is None or (limit is not None and limit <= most))
        if free or not members:
            return _join(members, needed, further, least if not members else 0, most)
        if len(members) > MAX_COUNTED:
            raise LimitError(f"at {where or '/'}: more than {MAX_COUNTED} members to count")
        return _counted(members, needed, further, least, most)


def _join(
    members: list[Node], needed: list[bool], further: Node, least: int, most: int | None
) -> Node:
    if further is NOTHING or most == 0:
        return Join(tuple(members), tuple(needed)) if members else EMPTY
    if not members:
        return Repeat(further, least, most, b",")
    return Join((*members, Repeat(further, 1, None, b",")), (*needed, False))


def _counted(
    members: list[Node], needed: list[bool], further: Node, least: int, most: int | None
) -> Node:
    """The same with the members present counted: a graph of members times counts."""
    top = least if most is None else most  # beyond it, counts make no difference

    @cache
    def rest(i: int, count: int) -> Node:
        """The members from number `i` on, when `count` stand before."""
        if i == len(members):
            return ending(count)
        comma = Bytes(b"," if count else b"")
        options: list[Node] = []
        if most is None or count < most:
            after = rest(i + 1, min(count + 1, max(top, 1)))
            if after is not NOTHING:
                options.append(Seq((comma, members[i], after)))
        if not needed[i]:
            options.append(rest(i + 1, count))
        return any_of(options)

    @cache
    def ending(count: int) -> Node:
        missing = max(0, least - count)
        if missing > 1 or (missing and further is NOTHING):
            return NOTHING  # two undeclared keys might be one key twice
        room = None if most is None else most - count
        if further is NOTHING or room == 0:
            return EMPTY
        if not count:
            return Repeat(further, missing, room, b",")
        return Repeat(Seq((Bytes(b","), further)), missing, room)

    return rest(0, 0)
