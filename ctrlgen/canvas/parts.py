"""What a canvas is made of: pinned text, gaps, and the members of objects.

A *gap* is a run of open positions with its slice of the constraint. What stands in it may decide
what follows (a *fork*): the tool's name decides the arguments, `null` or `{` decides an object, a
comma or fill decides whether a list goes on. A value slot is a gap with nothing to decide.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctrlgen.constraints.atoms import Ints
from ctrlgen.constraints.gap import Slack
from ctrlgen.constraints.nodes import Bytes, Node, Seq

OPEN = -1
"""Marks a position without a committed token."""

REVISIONS = 2
"""How often a position may be opened again, so that every run ends."""

_serials = itertools.count()


@dataclass(eq=False)
class Pinned:
    """Text that is certain."""

    text: bytes


@dataclass(frozen=True, eq=False)
class Option:
    """One way to go on from a fork.

    Args:
        head: What stands in the gap when this option is taken.
        whole: What replaces the gap and its lead then, and begins with both; None when `head` is
            all of it.
    """

    head: Node
    whole: Node | None = None


@dataclass(eq=False)
class Gap:
    """A run of open positions.

    Args:
        name: JSON pointer or label of the value.
        kind: Slot kind (see `nodes.Slot`), `fork`, or `text`.
        start: Automaton state at the left edge.
        minimum: Fewest positions that the gap can make do with when a value is present.
        slack: How the value may end early or be absent.
        options: What may follow; empty for a plain value.
        lead: Pinned text before a fork that all its options share.
        reserve: Positions that a fork's cheapest option takes; kept free until it is settled.
        committed: Token per position, OPEN where undecided; (length,).
        witness: One valid filling that agrees with `committed`; (length,).
        confidence: Constrained marginal of the witness when it was proposed; (length,).
        written: The same, when the position was committed; (length,).
        forced: Whether the constraint left no choice there; (length,).
        revisions: How often each position was opened again; (length,).
        serial: Tells gaps, and lengths of one gap, apart.
        exact: Whether its length has been found, for denoisers that know no slack: it holds a value
            without fill, and neither grows nor shrinks.
        looks: How often a filling was proposed before its length was found.
        closings: Closing mass each time that it grew.
        held: Whether it waits, with nothing committed, while branches or lengths are compared.
        trial: What is known of those branches so far.
        trellis: What the constraint leaves open, as it was last looked at; kept for the next step.
        guess: What is known of its length so far.
    """

    name: str
    kind: str
    start: int
    minimum: int
    slack: Slack
    options: tuple[Option, ...] = ()
    lead: bytes = b""
    reserve: int = 0
    committed: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    witness: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    seen: bool = False
    confidence: np.ndarray = field(default_factory=lambda: np.zeros(0))
    written: np.ndarray = field(default_factory=lambda: np.zeros(0))
    forced: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    revisions: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    serial: int = field(default_factory=lambda: next(_serials))
    exact: bool = False
    looks: int = 0
    closings: tuple[float, ...] = ()
    held: bool = False
    trial: Any = None
    trellis: Any = None
    guess: Any = None

    @property
    def length(self) -> int:
        """Number of positions."""
        return len(self.committed)

    @property
    def settled(self) -> bool:
        """Whether every position is committed."""
        return OPEN not in self.committed.tolist()  # a third of what an array of a few takes

    @property
    def untouched(self) -> bool:
        """Whether nothing has been committed."""
        return bool((self.committed == OPEN).all())

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
        length = len(witness)
        self.witness, self.serial = witness, next(_serials)
        self.committed = np.full(length, OPEN, dtype=np.int64)
        self.confidence, self.written = np.zeros(length), np.zeros(length)
        self.forced = np.zeros(length, dtype=bool)
        self.revisions = np.zeros(length, dtype=np.int64)
        self.exact = False

    def cut(self, length: int) -> None:
        """Keep the first positions only; the length is exact from now on.

        What is cut off must be fill in the witness, which is then still a valid filling.
        """
        for name in ("committed", "witness", "confidence", "written", "forced", "revisions"):
            setattr(self, name, getattr(self, name)[:length].copy())
        self.serial, self.exact = next(_serials), True

    @property
    def value_length(self) -> int:
        """Positions of the witness that are not fill; 0 when it is absent."""
        return int((self.witness != self.slack.fill_token_id).sum())

    def copy(self) -> Gap:
        """The same gap, under the same serial; arrays are replaced, never written to."""
        out = object.__new__(Gap)  # five times as fast as `copy.copy`, and once a step and gap
        out.__dict__.update(self.__dict__)
        return out

    @property
    def revisable(self) -> np.ndarray:
        """Positions that were committed by choice and may be opened again, (length,).

        None in a fork, not even a settled one: what follows hangs on it.
        """
        if self.kind == "fork":
            return np.zeros(self.length, dtype=bool)
        chosen: np.ndarray = (self.committed != OPEN) & ~self.forced
        return chosen & (self.revisions < REVISIONS)


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


def copied(parts: list[Part]) -> list[Part]:
    """The same parts with gaps of their own."""
    fresh = {gap.serial: gap.copy() for gap in gaps(parts)}
    return _with(parts, fresh)


def _with(parts: list[Part], fresh: dict[int, Gap]) -> list[Part]:
    out: list[Part] = []
    for part in parts:
        if isinstance(part, Members):
            members = [
                Member(_with(m.parts, fresh), m.presence and fresh[m.presence.serial])
                for m in part.members
            ]
            out.append(Members(part.separator, members))
        else:
            out.append(fresh[part.serial] if isinstance(part, Gap) else part)
    return out


def literal(node: Node) -> bytes | None:
    """The only word of a node that is plainly literal; None for any other node."""
    if isinstance(node, Bytes):
        return node.data
    if isinstance(node, Seq):
        words = [literal(item) for item in node.items]
        known = [word for word in words if word is not None]
        return b"".join(known) if len(known) == len(words) else None
    return None
