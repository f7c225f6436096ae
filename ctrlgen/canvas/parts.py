"""What a canvas is made of: pinned text, gaps, and the members of objects.

A *gap* is a run of open positions with its slice of the constraint. What stands in it may decide
what follows (a *fork*): the tool's name decides the arguments, `null` or `{` decides an object, a
comma or fill decides whether a list goes on. A value slot is a gap with nothing to decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ctrlgen.constraints.gap import Ints, Slack
from ctrlgen.constraints.nodes import Node

OPEN = -1
"""Marks a position without a committed token."""


@dataclass(eq=False)
class Pinned:
    """Text that is certain."""

    text: bytes


@dataclass(frozen=True, eq=False)
class Option:
    """One way to go on from a fork.

    Args:
        head: What stands in the gap when this option is taken.
        whole: The node that begins with `head`; None when `head` is all of it.
        skip: Bytes at the start of `whole` that the head and the text before it spell already.
    """

    head: Node
    whole: Node | None = None
    skip: int = 0


@dataclass(eq=False)
class Gap:
    """A run of open positions.

    Args:
        name: JSON pointer or label of the value.
        kind: Slot kind (see `nodes.Slot`), `fork`, or `text`.
        start: Automaton state at the left edge.
        minimum: Fewest tokens that fill the gap when a value is present.
        slack: How the value may end early or be absent.
        options: What may follow; empty for a plain value.
        committed: Token per position, OPEN where undecided; (length,).
        witness: One valid filling that agrees with `committed`; (length,).
    """

    name: str
    kind: str
    start: int
    minimum: int
    slack: Slack
    options: tuple[Option, ...]
    committed: Ints
    witness: Ints
    seen: bool = False
    confidence: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def length(self) -> int:
        """Number of positions."""
        return len(self.committed)

    @property
    def settled(self) -> bool:
        """Whether every position is committed."""
        return bool((self.committed != OPEN).all())

    @property
    def is_fork(self) -> bool:
        """Whether the gap decides what follows it."""
        return bool(self.options)

    @property
    def is_absent(self) -> bool:
        """Whether the witness leaves the gap without a value."""
        return self.slack.absent and self.length > 0 and self.witness[0] == self.slack.fill_token_id

    def resize(self, witness: Ints) -> None:
        """Start over with as many positions as `witness` has."""
        self.witness = witness
        self.committed = np.full(len(witness), OPEN, dtype=np.int64)
        self.confidence = np.zeros(len(witness))


@dataclass(eq=False)
class Member:
    """One item of a member list; left out when its `presence` gap is absent."""

    parts: list[Part]
    presence: Gap | None


@dataclass(eq=False)
class Members:
    """Items with a separator between those present."""

    separator: bytes
    members: list[Member]


Part = Pinned | Gap | Members


def gaps(parts: list[Part]) -> Iterator[Gap]:
    """All gaps in canvas order."""
    for part in parts:
        if isinstance(part, Gap):
            yield part
        elif isinstance(part, Members):
            for member in part.members:
                yield from gaps(member.parts)


def drop_bytes(parts: list[Part], count: int) -> list[Part]:
    """`parts` without the first `count` bytes of their leading pinned text."""
    out = list(parts)
    while count and out:
        first = out[0]
        if isinstance(first, Pinned):
            taken = min(count, len(first.text))
            out[0:1] = [Pinned(first.text[taken:])] if taken < len(first.text) else []
            count -= taken
        elif isinstance(first, Members) and first.members:
            member = first.members[0]
            member.parts = drop_bytes(member.parts, count)
            return out
        else:
            break
    return out
