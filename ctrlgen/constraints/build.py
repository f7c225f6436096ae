"""Constructors of grammar nodes that drop what cannot matter."""

from __future__ import annotations

from collections.abc import Iterable

from .nodes import EMPTY, NOTHING, Bytes, Choice, Node, Repeat, Seq


def concat(items: Iterable[Node]) -> Node:
    """The concatenation of `items`: adjacent literals joined, nothing if one item is nothing."""
    parts: list[Node] = []
    for item in items:
        if item is NOTHING:
            return NOTHING
        if not isinstance(item, Bytes):
            parts.append(item)
        elif item.data:
            before = parts.pop() if parts and isinstance(parts[-1], Bytes) else EMPTY
            parts.append(Bytes(before.data + item.data))
    if len(parts) == 1:
        return parts[0]
    return Seq(tuple(parts)) if parts else EMPTY


def union(items: Iterable[Node]) -> Node:
    """The union of `items`, each once and without those that are nothing."""
    parts = [item for item in dict.fromkeys(items) if item is not NOTHING]
    if len(parts) == 1:
        return parts[0]
    return Choice(tuple(parts)) if parts else NOTHING


def copies(item: Node, least: int, most: int | None) -> Node:
    """`least` to `most` (None: any number of) copies of `item`."""
    if most == 0 or item is EMPTY:
        return EMPTY
    if item is NOTHING:
        return EMPTY if least == 0 else NOTHING
    if most == 1:
        return item if least else union((item, EMPTY))
    return Repeat(item, least, most)
