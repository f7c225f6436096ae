"""Constructors of grammar nodes that drop what cannot matter."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import LimitError, UnsatisfiableError
from .automaton import ByteAutomaton
from .nodes import (
    ALL_BYTES,
    EMPTY,
    NOTHING,
    And,
    Bytes,
    ByteSet,
    Choice,
    Erase,
    Grammar,
    Node,
    Not,
    Repeat,
    Seq,
)

_MAX_PREFIX_STATES = 2_000


def concat(items: Iterable[Node]) -> Node:
    """The concatenation of `items`: adjacent literals joined, nothing if one item is nothing."""
    parts: list[Node] = []
    for item in items:
        if item is NOTHING:
            return NOTHING
        last = parts[-1] if parts else None
        if isinstance(item, Bytes) and isinstance(last, Bytes):
            parts[-1] = Bytes(last.data + item.data)
        elif not isinstance(item, Bytes) or item.data:
            parts.append(item)
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
    if isinstance(item, Repeat) and not item.separator and _is_one_range(item, least, most):
        # Counters inside counters multiply the states.
        unbounded = most is None or item.max is None
        total = None if unbounded else (most or 0) * (item.max or 0)
        return Repeat(item.item, least * item.min, total)
    return Repeat(item, least, most)


def _is_one_range(inner: Repeat, least: int, most: int | None) -> bool:
    """Whether the counts that `least` to `most` copies of `inner` add up to have no gaps."""
    if least == most or inner.max is None:
        return inner.min <= 1 or least > 0
    # One copy more than the fewest begins at most one after where the fewest end.
    return (least + 1) * inner.min <= least * inner.max + 1


def is_prefix_free(node: Node) -> bool:
    """Whether no word of `node`, which holds no references, begins another; false if unsure."""
    longer = And((node, Seq((node, Repeat(ByteSet(ALL_BYTES), 1)))))
    try:
        ByteAutomaton(Grammar(longer), max_states=_MAX_PREFIX_STATES)
    except UnsatisfiableError:
        return True
    except LimitError:
        pass
    return False


def may_be_empty(node: Node, known: dict[Node, bool]) -> bool:
    """Whether the empty string is in `node`, which holds no references; `known` is a cache."""
    if node not in known:
        known[node] = _may_be_empty(node, known)
    return known[node]


def _may_be_empty(node: Node, known: dict[Node, bool]) -> bool:
    match node:
        case Bytes(data):
            return not data
        case Seq(items) | And(items):
            return all(may_be_empty(item, known) for item in items)
        case Choice(items):
            return any(may_be_empty(item, known) for item in items)
        case Repeat(item, least):
            return least == 0 or may_be_empty(item, known)
        case Not(item):
            return not may_be_empty(item, known)
        case Erase():
            automaton = ByteAutomaton(Grammar(node))
            return automaton.is_accepting(automaton.start)
    return False  # one byte, or members of an object
