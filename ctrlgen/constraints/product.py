"""Intersection and complement: several states of the automaton read the same bytes."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.stacks import Step
from ctrlgen.constraints.terms import NOTHING, Cross, Meet, Terms
from ctrlgen.errors import LimitError


class States(Protocol):
    """What a product needs of the automaton that it is part of."""

    def state_of_term(self, term: int) -> int:
        """The state at the start of `term`, -1 if it has no word."""
        ...

    def row(self, state: int) -> npt.NDArray[np.int32]:
        """The next state for each byte."""
        ...

    def is_accepting(self, state: int) -> bool:
        """Whether the text may end here."""
        ...

    def min_bytes(self, state: int) -> int:
        """The fewest bytes to acceptance."""
        ...


class Products:
    """The lazy product automata below all `Meet` terms.

    Args:
        terms: Where crosses are interned.
        states: The automaton whose states they combine.
        max_expansions: How many crosses one emptiness question may look at.
    """

    def __init__(self, terms: Terms, states: States, max_expansions: int) -> None:
        self._terms = terms
        self._states = states
        self._max_expansions = max_expansions
        self._starts: dict[int, int] = {}
        self._arcs: dict[int, list[tuple[int, int]]] = {}
        self._known: set[int] = {NOTHING}

    def measure(self, meet: int) -> float:
        """The fewest bytes of a word of the `Meet` term."""
        return self._distance(self._start(meet))

    def measured(self, cross: Cross) -> int:
        """The term of `cross`, measured."""
        term = self._terms.intern(cross)
        self._distance(term)
        return term

    def steps(self, term: int) -> tuple[Step, ...]:
        """The live steps of a `Meet` or `Cross` term."""
        start = self._start(term) if isinstance(self._terms.shapes[term], Meet) else term
        return tuple(
            (members, (after,)) for members, after in self._next(start) if self._live(after)
        )

    def _live(self, term: int) -> bool:
        return self._distance(term) < inf

    def _start(self, meet: int) -> int:
        start = self._starts.get(meet)
        if start is None:
            shape = self._terms.shapes[meet]
            assert isinstance(shape, Meet)
            included = [self._states.state_of_term(term) for term in shape.included]
            excluded = [self._states.state_of_term(term) for term in shape.excluded]
            start = self._starts[meet] = self._cross(included, excluded)
        return start

    def _cross(self, included: list[int], excluded: list[int]) -> int:
        if -1 in included:
            return NOTHING
        return self._terms.intern(Cross(frozenset(included), frozenset(excluded) - {-1}))

    def _next(self, term: int) -> list[tuple[int, int]]:
        """Each set of bytes with the cross after it."""
        found = self._arcs.get(term)
        if found is None:
            shape = self._terms.shapes[term]
            found = self._arcs[term] = self._combine(shape) if isinstance(shape, Cross) else []
        return found

    def _combine(self, cross: Cross) -> list[tuple[int, int]]:
        included, excluded = sorted(cross.included), sorted(cross.excluded)
        if not included and not excluded:
            return [((1 << 256) - 1, self._terms.intern(cross))]
        rows = np.stack([self._states.row(state) for state in (*included, *excluded)], axis=1)
        members: dict[bytes, int] = {}
        for byte in range(256):
            key = rows[byte].tobytes()
            members[key] = members.get(key, 0) | 1 << byte
        found: dict[int, int] = {}
        for key, byte_set in members.items():
            states = np.frombuffer(key, np.int32).tolist()
            after = self._cross(states[: len(included)], states[len(included) :])
            if after != NOTHING:
                found[after] = found.get(after, 0) | byte_set
        return [(byte_set, after) for after, byte_set in found.items()]

    def _accepts(self, term: int) -> bool:
        cross = self._terms.shapes[term]
        assert isinstance(cross, Cross)
        return all(map(self._states.is_accepting, cross.included)) and not any(
            map(self._states.is_accepting, cross.excluded)
        )

    def _bound(self, term: int) -> float:
        """At most the distance to acceptance, and exactly it where that is known."""
        if term in self._known:
            return self._terms.minimum[term]
        cross = self._terms.shapes[term]
        assert isinstance(cross, Cross)
        return max(map(self._states.min_bytes, cross.included), default=0)

    def _distance(self, start: int) -> float:
        """The fewest bytes to acceptance, by A*: a counter then costs one path, not its range."""
        if start in self._known:
            return self._terms.minimum[start]
        travelled = {start: 0}
        came_from: dict[int, int] = {}
        queue = [(self._bound(start), 0, start)]
        expanded: set[int] = set()
        while queue:
            _, negated, term = heappop(queue)
            if term in self._known or self._accepts(term):
                self._record(term, came_from)
                return self._terms.minimum[start]
            if term in expanded:
                continue
            expanded.add(term)
            if len(expanded) > self._max_expansions:
                raise LimitError(
                    f"an intersection has no word among {self._max_expansions} states",
                    hint="simplify the pattern or narrow the length bounds",
                )
            for _, after in self._next(term):
                steps = 1 - negated
                bound = self._bound(after)
                if bound < inf and steps < travelled.get(after, inf):
                    travelled[after] = steps
                    came_from[after] = term
                    heappush(queue, (steps + bound, -steps, after))
        self._known.update(travelled)  # their minimum is inf from the start
        return inf

    def _record(self, goal: int, came_from: dict[int, int]) -> None:
        """The exact distances along the path that was found."""
        distance = self._terms.minimum[goal] if goal in self._known else 0
        term: int | None = goal
        while term is not None:
            self._terms.minimum[term] = distance
            self._known.add(term)
            distance += 1
            term = came_from.get(term)
