"""The head of a stack: what it reads up to a delimiter, named so that equal heads are found again.

After the opening quote of a string, every stack reads a string body and a quote first, and then
whatever its own context wants. Terms are numbered per automaton; a *key* names a term by its
structure, so that the head of one schema's string is that of any other's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from ctrlgen.constraints.stacks import END, Stacks
from ctrlgen.constraints.terms import (
    Cross,
    Either,
    Letter,
    Loop,
    Meet,
    Pair,
    Word,
)

_DEEPEST = 12  # terms above a delimiter that is looked for
_NESTED = 60  # terms inside each other, and
_LARGEST = 400  # terms of a head that is worth a name

Key = tuple[object, ...]


class States(Protocol):
    """The stacks of the states that a product consists of."""

    def stacks_of(self, state: int) -> frozenset[int]:
        """The stacks of which one is left to read."""
        ...


class Keys:
    """Names of terms by their structure, interned.

    Args:
        stacks: The stacks of an automaton.
        states: Its states.
        known: Numbers of keys; automata that share it give equal terms equal numbers.
    """

    def __init__(self, stacks: Stacks, states: States, known: dict[Key, int]) -> None:
        self._stacks = stacks
        self._states = states
        self._known = known
        self._of_term: dict[int, int | None] = {}
        self._budget = self._depth = 0

    def of_terms(self, terms: Iterable[int]) -> tuple[int, ...] | None:
        """The keys of `terms`; None if one of them refers to rules, or is large."""
        self._budget = _LARGEST
        return self._all(terms)

    def of_state(self, state: int) -> frozenset[tuple[int, ...]] | None:
        """The keys of the stacks of a state, as `of_terms`."""
        found = set()
        for stack in self._states.stacks_of(state):
            keys = self.of_terms(self._stacks.terms_above(stack, END))
            if keys is None:
                return None
            found.add(keys)
        return frozenset(found)

    def _all(self, terms: Iterable[int]) -> tuple[int, ...] | None:
        found = []
        for term in terms:
            key = self._of(term)
            if key is None:
                return None
            found.append(key)
        return tuple(found)

    def _of(self, term: int) -> int | None:
        if term not in self._of_term:
            self._budget -= 1
            if self._budget < 0 or self._depth == _NESTED:
                return None
            self._depth += 1
            key = self._structure(term)
            self._depth -= 1
            number = None if key is None else self._known.setdefault(key, len(self._known))
            self._of_term[term] = number
        return self._of_term[term]

    def _structure(self, term: int) -> Key | None:
        match self._stacks.terms.shapes[term]:
            case Letter(members):
                return "letter", members
            case Word(data):
                return "word", data
            case Pair(first, second):
                return self._with("pair", (first, second))
            case Either(items):
                return self._with("either", items)
            case Loop(item, least, most):
                return self._with("loop", (item,), least, most)
            case Meet(included, excluded):
                return self._with("meet", (*included, *excluded), len(included))
            case Cross(included, excluded):
                sides = self._side(included), self._side(excluded)
                return None if None in sides else ("cross", *sides)
        return None  # a call means what its grammar says, a listing is as large as its object

    def _with(self, kind: str, parts: tuple[int, ...], *more: int | None) -> Key | None:
        keys = self._all(parts)
        return None if keys is None else (kind, keys, *more)

    def _side(self, states: frozenset[int]) -> frozenset[object] | None:
        found: set[object] = set()
        for state in states:
            stacks = []
            for stack in self._states.stacks_of(state):
                keys = self._all(self._stacks.terms_above(stack, END))
                if keys is None:
                    return None
                stacks.append(keys)
            found.add(frozenset(stacks))
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Head:
    """What a stack reads first.

    Args:
        terms: The terms of the head, the first one on top. A counted loop at their end has no
            lower bound, and an upper one that no token reaches.
        sealed: The stack from the delimiter on; `END` if there is no delimiter.
        copies: The bounds of the loop, where it is counted.
        item: What is counted, where it is a loop in an intersection.
        lifted: Items of loops that had a bound.
    """

    terms: tuple[int, ...]
    sealed: int
    copies: tuple[int, float] | None
    item: int | None = None
    lifted: tuple[int, ...] = ()


def head_of(stacks: Stacks, stack: int, reach: int) -> Head:
    """The head of `stack`, which is all of it if no delimiter is near.

    Args:
        stacks: The stacks of the automaton.
        stack: What to split.
        reach: Bytes of the longest token.
    """
    sealed = stack
    for _ in range(_DEEPEST):
        sealed = stacks.rest[sealed]
        if sealed == END or forced_byte(stacks, sealed) is not None:
            break
    else:
        sealed = END
    terms = stacks.terms_above(stack, sealed)
    loop = stacks.terms.shapes[terms[-1]]
    if sealed == END or not isinstance(loop, Loop) or not stacks.terms.minimum[loop.item]:
        return Head(tuple(terms), sealed, None)
    if not loop.least and loop.most is None:
        return Head(tuple(terms), sealed, None)
    terms[-1] = stacks.terms.loop(loop.item, 0, reach + 2)
    return Head(tuple(terms), sealed, (loop.least, inf if loop.most is None else loop.most))


def uncounted(stacks: Stacks, stack: int, head: Head) -> Head:
    """The same head with the bounds of its loop as they are."""
    return Head(tuple(stacks.terms_above(stack, head.sealed)), head.sealed, None)


def forced_byte(stacks: Stacks, stack: int) -> int | None:
    """The byte that comes next, if the top of `stack` says so at once."""
    shape = stacks.terms.shapes[stacks.top[stack]]
    while isinstance(shape, Pair):
        shape = stacks.terms.shapes[shape.first]
    if isinstance(shape, Word) and shape.data:
        return shape.data[0]
    if isinstance(shape, Letter) and shape.members.bit_count() == 1:
        return shape.members.bit_length() - 1
    return None
