"""The grammar nodes that every kind of constraint lowers to.

A node denotes a set of byte strings. JSON Schema, Lark and regular expressions all become these
nodes, so every later stage (automaton, lifting, posterior, scaffold) exists once. Nodes are
immutable and compare by identity: the automaton interns them by structure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

ALL_BYTES = (1 << 256) - 1
# Bytes that no UTF-8 text holds. They mark positions inside an `Erase`, and nothing else.
MARKS = (0b11 << 0xC0) | (ALL_BYTES >> 0xF5 << 0xF5)
MARK_BYTES = [byte for byte in range(256) if MARKS >> byte & 1]


class Node:
    """A set of byte strings."""

    __slots__ = ()


@dataclass(frozen=True, eq=False, slots=True)
class Bytes(Node):
    """Exactly this byte string; `b""` is the empty word."""

    data: bytes


@dataclass(frozen=True, eq=False, slots=True)
class ByteSet(Node):
    """Any one byte whose bit is set in the 256-bit integer `members`; 0 is the empty set."""

    members: int


@dataclass(frozen=True, eq=False, slots=True)
class Seq(Node):
    """The concatenation of `items`."""

    items: tuple[Node, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Choice(Node):
    """The union of `items`; no items is the empty set."""

    items: tuple[Node, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Repeat(Node):
    """`min` to `max` (None: unbounded) copies of `item` with `separator` between them."""

    item: Node
    min: int = 0
    max: int | None = None
    separator: bytes = b""


@dataclass(frozen=True, eq=False, slots=True)
class Join(Node):
    """`items` in this order with `separator` between those present.

    Item i may be left out when `required[i]` is false. No item may match the empty string.
    This is a JSON object's member list: 2,000 optional keys cost 2,000 nodes, not 2^2000.
    """

    items: tuple[Node, ...]
    required: tuple[bool, ...]
    separator: bytes = b","


@dataclass(frozen=True, eq=False, slots=True)
class Record(Node):
    """Members with `separator` between them, counted.

    A `Join` whose members may come in any order, and where counters bound how many members of
    which kind there are. No item may match the empty string.

    Args:
        items: What a member may be.
        once: Whether item i may come at most once.
        required: Whether item i must come; only what comes `once` may be required.
        raises: The counters that a member of kind i raises.
        least: The least final value of each counter.
        most: The greatest one, None for any.
        separator: Between two members.
        ordered: Items that come once keep their order, and all others follow them.
    """

    items: tuple[Node, ...]
    once: tuple[bool, ...]
    required: tuple[bool, ...]
    raises: tuple[tuple[int, ...], ...] = ()
    least: tuple[int, ...] = ()
    most: tuple[int | None, ...] = ()
    separator: bytes = b","
    ordered: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Ref(Node):
    """The rule `name` of the enclosing grammar; may be recursive, never left-recursive."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class And(Node):
    """The intersection of `items`, all regular (no recursive `Ref` below)."""

    items: tuple[Node, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Not(Node):
    """All byte strings outside `item`, which is regular. Intersect it with a universe."""

    item: Node


@dataclass(frozen=True, eq=False, slots=True)
class Erase(Node):
    """The words of `item` without the bytes in `MARKS`.

    A mark says "the assertion a holds here"; `item` is the intersection of the marked texts with
    what each mark demands of the text around it. `item` holds no other `Erase` around a mark.
    """

    item: Node


@dataclass(frozen=True, eq=False, slots=True)
class Slot(Node):
    """The same language as `item`, marked as one value for the scaffold.

    Args:
        item: The value, delimiters included (a string slot holds its quotes). Regular.
        name: JSON pointer of the value in the answer, or a label.
        kind: string, integer, number, boolean, null, enum, format, array or text.
    """

    item: Node
    name: str = ""
    kind: str = "text"


@dataclass(frozen=True, eq=False, slots=True)
class Grammar:
    """A root node and the rules that its references name.

    Args:
        root: The language.
        rules: What `Ref` nodes name.
        verify: Judges a whole text where the nodes only say what it must at least satisfy; None
            when they are exact.
        unverified: JSON pointer and keyword of what `verify` is needed for.
    """

    root: Node
    rules: Mapping[str, Node] = field(default_factory=dict)
    verify: Callable[[bytes], bool] | None = None
    unverified: tuple[tuple[str, str], ...] = ()


EMPTY = Bytes(b"")
NOTHING = Choice(())


def text(string: str) -> Bytes:
    """The literal `string` as UTF-8."""
    return Bytes(string.encode())


def byte_range(first: int, last: int) -> ByteSet:
    """One byte between `first` and `last`, both included."""
    return ByteSet((1 << (last + 1)) - (1 << first))


def optional(node: Node) -> Node:
    """`node` or the empty string."""
    return Choice((node, EMPTY))
