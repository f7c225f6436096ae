"""Arrays: `items`, `prefixItems`, their number, and `uniqueItems` over finitely many values."""

from __future__ import annotations

from typing import Any

from ctrlgen.constraints.json_text import all_of, any_of, spell
from ctrlgen.constraints.nodes import (
    EMPTY,
    NOTHING,
    Bytes,
    Join,
    Node,
    Repeat,
    Seq,
    optional,
)
from ctrlgen.constraints.schema_values import EMPTY_VALUE, STRUCTURE, Lower, Value
from ctrlgen.errors import LimitError

MAX_OPTIONAL_PREFIX = 64
MAX_DISTINCT = 64


def array_value(keywords: dict[str, Any], name: str, lower: Lower) -> Value:
    """The arrays that `keywords` allow, `uniqueItems` apart."""
    least, most = item_counts(keywords)
    prefix = [lower(item, f"{name}/{i}") for i, item in enumerate(keywords.get("prefixItems", ()))]
    room = len(prefix) if most is None else min(most, len(prefix))
    for i, value in enumerate(prefix[:room]):
        if value.node is NOTHING:
            most = room = i
            break
    more = most is None or most > room
    rest = lower(keywords.get("items", True), name) if more else EMPTY_VALUE
    if rest.node is NOTHING:
        most = room
    if most is not None and least > most:
        return EMPTY_VALUE
    parts = prefix[:room] if most == room else [*prefix[:room], rest]
    if any(part.kind == STRUCTURE for part in parts):
        nodes, kind = [part.slotted(name) for part in parts], STRUCTURE
    else:
        nodes, kind = [part.node for part in parts], "array"
    body = _body(nodes[:room], nodes[room] if len(nodes) > room else NOTHING, least, most)
    return Value(Seq((Bytes(b"["), body, Bytes(b"]"))), kind)


def item_counts(keywords: dict[str, Any]) -> tuple[int, int | None]:
    """`minItems` and `maxItems`."""
    most = keywords.get("maxItems")
    return int(keywords.get("minItems", 0)), None if most is None else int(most)


def _body(prefix: list[Node], rest: Node, least: int, most: int | None) -> Node:
    """What stands between the brackets; `rest` follows a whole prefix."""
    size = len(prefix)
    if not size:
        return EMPTY if most == 0 else Repeat(rest, least, most, b",")
    if size - least > MAX_OPTIONAL_PREFIX:
        raise LimitError(f"more than {MAX_OPTIONAL_PREFIX} optional prefixItems")
    parts: list[Node] = [Seq((Bytes(b","), item)) if i else item for i, item in enumerate(prefix)]
    tail: Node = EMPTY
    if most != size:
        further = Seq((Bytes(b","), rest))
        tail = Repeat(further, max(0, least - size), None if most is None else most - size)
    for part in reversed(parts[least:]):
        tail = optional(Seq((part, tail)))
    return Seq((*parts[:least], tail))


def distinct_array(values: list[Any], least: int, most: int | None) -> Value:
    """Arrays of `least` to `most` of these values, none of them twice."""
    if len(values) > MAX_DISTINCT:
        raise LimitError(f"uniqueItems over more than {MAX_DISTINCT} values")
    most = len(values) if most is None else min(most, len(values))
    if least > most:
        return EMPTY_VALUE
    nodes = [Bytes(spell(value)) for value in values]
    if not nodes:
        return Value(Bytes(b"[]"), "array")
    conditions: list[Node] = [Repeat(any_of([*nodes]), least, most, b",")]
    for i, node in enumerate(nodes):
        others: list[Node] = [*nodes[:i], *nodes[i + 1 :]]
        if others:
            beside = Repeat(any_of(others), 1, None, b",")
            conditions.append(Join((beside, node, beside), (False, False, False)))
    return Value(Seq((Bytes(b"["), all_of(conditions), Bytes(b"]"))), "array")
