"""Terms and states with other upper bounds of their loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from ctrlgen.constraints.stacks import END, Stacks
from ctrlgen.constraints.terms import Either, Loop, Pair

_DEEPEST = 60  # terms inside each other that are looked into


@dataclass(frozen=True, slots=True)
class Bounded:
    """A term or a state with other upper bounds.

    Args:
        number: Of the term, or the state.
        items: Of which it may have another number now.
        most: Copies that all bounds allowed.
    """

    number: int
    items: frozenset[int] = frozenset()
    most: float = inf


class States(Protocol):
    """What is needed of the automaton."""

    stacks: Stacks

    def stacks_of(self, state: int) -> frozenset[int]:
        """The stacks of which one is left to read."""
        ...

    def state_of_stacks(self, stacks: frozenset[int]) -> int:
        """The state in which one of `stacks` is left to read."""
        ...


class Bounds:
    """Lifts upper bounds, or lowers them to a level.

    Args:
        states: The automaton.
        fewest_bytes: Loops over single bytes that allow fewer copies stay as they are,
        fewest: and so do loops over longer items.
    """

    def __init__(self, states: States, fewest_bytes: int = 1, fewest: int = 1) -> None:
        self._states = states
        self._fewest_bytes, self._fewest = fewest_bytes, fewest
        self._of_term: dict[tuple[int, int | None], Bounded] = {}
        self._of_state: dict[tuple[int, int | None], Bounded] = {}

    def state(self, state: int, level: int | None) -> Bounded:
        """The state with bounds of `level`, None for none at all."""
        found = self._of_state.get((state, level))
        if found is None:
            stacks, lifted, parts = self._states.stacks, set(), []
            for stack in self._states.stacks_of(state):
                of_stack = [self.term(term, level) for term in stacks.terms_above(stack, END)]
                lifted.add(stacks.push(tuple(part.number for part in of_stack), END))
                parts += of_stack
            found = Bounded(state)
            if any(part.most < inf for part in parts):
                found = joined(self._states.state_of_stacks(frozenset(lifted)), parts)
            self._of_state[state, level] = found
        return found

    def term(self, term: int, level: int | None, depth: int = 0) -> Bounded:
        """The same of a term, inside `depth` others."""
        found = self._of_term.get((term, level))
        if found is None:
            found = self._change(term, level, depth + 1) if depth < _DEEPEST else Bounded(term)
            self._of_term[term, level] = found
        return found

    def _change(self, term: int, level: int | None, depth: int) -> Bounded:
        terms = self._states.stacks.terms
        shape = terms.shapes[term]
        match shape:
            case Loop():
                return self._loop(shape, level, depth)
            case Either(items):
                parts = [self.term(item, level, depth) for item in items]
                if any(part.most < inf for part in parts):
                    return joined(terms.either(tuple(part.number for part in parts)), parts)
            case Pair():
                parts = []
                while isinstance(shape, Pair):  # a loop, as a pattern may be a long row of them
                    parts.append(self.term(shape.first, level, depth))
                    last = shape.second
                    shape = terms.shapes[last]
                parts.append(self.term(last, level, depth))
                if any(part.most < inf for part in parts):
                    return joined(terms.sequence([part.number for part in parts]), parts)
        return Bounded(term)

    def _loop(self, loop: Loop, level: int | None, depth: int) -> Bounded:
        terms, item = self._states.stacks.terms, self.term(loop.item, level, depth)
        length, most = terms.minimum[loop.item], loop.most
        fewest = self._fewest_bytes if length == 1 else self._fewest
        if most is None or not 1 <= length < inf or most < fewest:
            return joined(terms.loop(item.number, loop.least, most), [item])
        bound = level if level is None else min(most, max(loop.least, level))
        term = terms.loop(item.number, loop.least, bound)
        return Bounded(term, item.items | {item.number}, min(item.most, most))


def joined(number: int, parts: Sequence[Bounded]) -> Bounded:
    """What is made of `parts`."""
    items = frozenset[int]().union(*(part.items for part in parts))
    return Bounded(number, items, min((part.most for part in parts), default=inf))
