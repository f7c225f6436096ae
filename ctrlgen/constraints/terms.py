"""Terms: what grammar nodes become inside the automaton, interned by structure.

A term is a small int; its shape names its parts by their ints, and parts are interned before what
holds them. Counters are part of a shape (`Loop(char, 0, 99)` follows `Loop(char, 0, 100)`), so a
bounded repetition costs a term only where a text has reached it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from ctrlgen.constraints import rolls
from ctrlgen.constraints.nodes import MARKS


@dataclass(frozen=True, slots=True)
class Letter:
    """One byte out of a 256-bit set."""

    members: int


@dataclass(frozen=True, slots=True)
class Word:
    """A byte string; one byte is a `Letter` instead."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pair:
    """`first`, then `second`."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Either:
    """Any of `items`."""

    items: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """`least` to `most` copies of `item`."""

    item: int
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Members:
    """What does not change while a `Listing` is read."""

    items: tuple[int, ...]
    required: tuple[bool, ...]
    separator: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The members from `index` on.

    Args:
        members: Index into `Terms.members`.
        index: First member that may still come.
        begun: Whether a member was read, so that a separator comes before the next.
        due: Whether a separator was read, so that a member has to come.
    """

    members: int
    index: int
    begun: bool = False
    due: bool = False


@dataclass(frozen=True, slots=True)
class Roster:
    """What does not change while a `Roll` is read; see `nodes.Record`. Bit i is for item i."""

    items: tuple[int, ...]
    once: int
    required: int
    raises: tuple[tuple[int, ...], ...]
    least: tuple[int, ...]
    most: tuple[int | None, ...]
    separator: int
    ordered: bool


@dataclass(frozen=True, slots=True)
class Roll:
    """The members of a `Roster` that may still come.

    Args:
        roster: Index into `Terms.rosters`.
        gone: Bits of the items that may not come any more.
        counts: The counters, each no higher than can matter.
        begun: Whether a member was read, so that a separator comes before the next.
        due: Whether a separator was read, so that a member has to come.
    """

    roster: int
    gone: int
    counts: tuple[int, ...]
    begun: bool = False
    due: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """The rule `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Meet:
    """In the language of every term in `included` and of none in `excluded`."""

    included: tuple[int, ...]
    excluded: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """In the language of the term `item`, but none of `words`."""

    item: int
    words: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Cross:
    """A `Meet` on its way: the automaton states that its parts have reached."""

    included: frozenset[int]
    excluded: frozenset[int]


@dataclass(frozen=True, slots=True)
class Unmarked:
    """The words of the term `item` without their marks."""

    item: int


@dataclass(frozen=True, slots=True)
class Unmarking:
    """An `Unmarked` on its way: the automaton state that its item has reached."""

    state: int


Shape = (
    Letter | Word | Pair | Either | Loop | Listing | Roll | Call | Meet | Outside | Cross
    | Unmarked | Unmarking
)  # fmt: skip

EPSILON = 0
NOTHING = 1

# A mark is no byte of the text, but no empty word either. The sum of a million is less than 1.
MARK_LENGTH = 2.0**-20


def length(members: int) -> float:
    """How much one byte of this set adds to a text."""
    return 1 if members & ~MARKS else MARK_LENGTH


class Terms:
    """The table of terms, with the fewest bytes of a word of each (`inf`: no word).

    A new term is measured from its parts. Calls, meets and what they become start at `inf`; who
    makes them measures them.
    """

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.minimum: list[float] = []
        self.members: list[Members] = []
        self.rosters: list[Roster] = []
        self.rules: dict[str, int] = {}
        self._roster_ids: dict[Roster, int] = {}
        self._ids: dict[Shape, int] = {}
        self._member_ids: dict[Members, int] = {}
        self._tails: dict[int, tuple[list[float], list[float]]] = {}
        self.intern(Word(b""))
        self.intern(Either(()))

    def intern(self, shape: Shape) -> int:
        """The term of this shape."""
        term = self._ids.get(shape)
        if term is None:
            term = self._ids[shape] = len(self.shapes)
            self.shapes.append(shape)
            self.minimum.append(self.measure(term))
        return term

    def word(self, data: bytes) -> int:
        """Exactly `data`."""
        return self.intern(Letter(1 << data[0]) if len(data) == 1 else Word(data))

    def pair(self, first: int, second: int) -> int:
        """`first`, then `second`."""
        if first == EPSILON or second == EPSILON:
            return second if first == EPSILON else first
        return self.intern(Pair(first, second))

    def sequence(self, terms: Sequence[int]) -> int:
        """All of `terms`, one after the other."""
        result = EPSILON
        for term in reversed(terms):
            result = self.pair(term, result)
        return result

    def either(self, items: tuple[int, ...]) -> int:
        """Any of `items`."""
        distinct = tuple(dict.fromkeys(items))
        return distinct[0] if len(distinct) == 1 else self.intern(Either(distinct))

    def loop(self, item: int, least: int, most: int | None) -> int:
        """`least` to `most` copies of `item`."""
        if most is not None and (most < least or most <= 1):
            if most < least:
                return NOTHING
            if most == 0:
                return EPSILON
            return item if least else self.either((item, EPSILON))
        return self.intern(Loop(item, least, most))

    def further(self, loop: Loop) -> int:
        """What is left of `loop` behind a copy."""
        # Copies that are empty count towards `least`, and none of the others needs to be.
        least = max(loop.least - 1, 0) if self.minimum[loop.item] else 0
        return self.loop(loop.item, least, None if loop.most is None else loop.most - 1)

    def listing(self, members: Members) -> int:
        """All members, none read yet."""
        index = self._member_ids.setdefault(members, len(self.members))
        if index == len(self.members):
            self.members.append(members)
        return self.intern(Listing(index, 0))

    def roll(self, roster: Roster) -> int:
        """All members of `roster`, none read yet."""
        index = self._roster_ids.setdefault(roster, len(self.rosters))
        if index == len(self.rosters):
            self.rosters.append(roster)
        return self.intern(Roll(index, 0, (0,) * len(roster.least)))

    def parts(self, term: int) -> tuple[int, ...]:
        """The terms that the measure of `term` depends on."""
        match self.shapes[term]:
            case Pair(first, second):
                return first, second
            case Either(items):
                return items
            case Loop(item):
                return (item,)
            case Listing(index):
                members = self.members[index]
                return (*members.items, members.separator)
            case Roll(index):
                roster = self.rosters[index]
                return (*roster.items, roster.separator)
            case Call(name):
                return (self.rules[name],)
            case Outside(item):
                return (item,)
            case Meet(included, excluded):
                return (*included, *excluded)
            case Unmarked(item):
                return (item,)
        return ()

    def measure(self, term: int) -> float:
        """The fewest bytes of a word of `term`, from what is known of its parts."""
        shape = self.shapes[term]
        match shape:
            case Letter(members):
                return length(members) if members else inf
            case Word(data):
                return len(data)
            case Pair(first, second):
                return self.minimum[first] + self.minimum[second]
            case Either(items):
                return min((self.minimum[item] for item in items), default=inf)
            case Loop(item, least):
                return least * self.minimum[item] if least else 0
            case Listing():
                return self._measure_listing(shape)
            case Roll(index):
                return rolls.shortest(self.rosters[index], shape, self.minimum)
            case Call(name):
                return self.minimum[self.rules[name]] if name in self.rules else inf
        return inf

    def _measure_listing(self, listing: Listing) -> float:
        if listing.members not in self._tails:
            self._tails[listing.members] = self._measure_tails(self.members[listing.members])
        due, begun = self._tails[listing.members]
        if listing.due:
            return due[listing.index]
        if listing.begun:
            return begun[listing.index]
        return 0 if not any(self.members[listing.members].required) else due[0]

    def _measure_tails(self, members: Members) -> tuple[list[float], list[float]]:
        """Fewest bytes from each index on, where a member is due and where one was just read."""
        due: list[float] = [inf]
        begun: list[float] = [0]
        separator = self.minimum[members.separator]
        ends = True
        for item, required in zip(reversed(members.items), reversed(members.required), strict=True):
            taken = self.minimum[item] + begun[-1]
            due.append(taken if required else min(taken, due[-1]))
            ends = ends and not required
            begun.append(0 if ends else separator + due[-1])
        return due[::-1], begun[::-1]

    def remeasure(self, term: int) -> bool:
        """Measures `term` again; whether a shorter word was found."""
        shape = self.shapes[term]
        if isinstance(shape, Listing):
            self._tails.pop(shape.members, None)
        shortest = self.measure(term)
        if shortest >= self.minimum[term]:
            return False
        self.minimum[term] = shortest
        return True
