"""Intersection and complement, where several states read the same bytes, and erasure of marks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from heapq import heappop, heappush
from math import inf
from operator import or_
from time import thread_time
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.nodes import ALL_BYTES, MARK_BYTES, MARKS
from ctrlgen.constraints.stacks import Step
from ctrlgen.constraints.terms import NOTHING, Cross, Meet, Terms, Unmarked, Unmarking, length
from ctrlgen.constraints.time_limit import check_time
from ctrlgen.errors import LimitError

_PATIENCE = 30  # states that a search looks at before it asks what the bounds are good for
_OFTEN = 16  # states between two looks at the clock
_FEW = 6  # states that are combined faster than arrays are made

# Bytes as a 256-bit set, with the states that they lead to, -1 where an excluded one has none.
Way: TypeAlias = tuple[int, tuple[int, ...]]


class States(Protocol):
    """What a product needs of the automaton that it is part of."""

    def state_of_term(self, term: int) -> int:
        """The state at the start of `term`, -1 if it has no word."""
        ...

    def row(self, state: int) -> npt.NDArray[np.int32]:
        """The next state for each byte."""
        ...

    def arcs(self, state: int) -> tuple[tuple[int, int], ...]:
        """Each state that may be next, with the set of the bytes that lead there."""
        ...

    def is_accepting(self, state: int) -> bool:
        """Whether the text may end here."""
        ...

    def is_universal(self, state: int) -> bool:
        """Whether every text is accepted from here; false if that takes a search."""
        ...

    def min_bytes(self, state: int) -> int:
        """The fewest bytes to acceptance."""
        ...

    def unbounded(self, state: int) -> tuple[int, float]:
        """The state without upper bounds of loops, and how many copies these allow."""
        ...

    def residual(self, state: int) -> tuple[int, ...] | None:
        """The terms that are left to read, None if there are several ways to go on."""
        ...


class Products:
    """The lazy product automata below all `Meet` and `Unmarked` terms.

    Args:
        terms: Where crosses are interned.
        states: The automaton whose states they combine.
        max_expansions: How many crosses one emptiness question may look at.
        seconds: How much time of this thread it may take.
    """

    def __init__(self, terms: Terms, states: States, max_expansions: int, seconds: float) -> None:
        self._terms = terms
        self._states = states
        self._max_expansions = max_expansions
        self._seconds = seconds
        self._starts: dict[int, int] = {}
        self._arcs: dict[int, list[tuple[int, int]]] = {}
        self._crosses: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
        self._lifted: dict[int, tuple[int, float]] = {}
        self._bounds: dict[int, float] = {}
        self._known: set[int] = {NOTHING}

    def measure(self, meet: int) -> float:
        """The fewest bytes of a word of the `Meet` or `Unmarked` term."""
        shape = self._terms.shapes[meet]
        if isinstance(shape, Unmarked):
            state = self._states.state_of_term(shape.item)
            return inf if state == -1 else self._states.min_bytes(state)
        return self._distance(self.start(meet))

    def measured(self, cross: Cross) -> int:
        """The term of `cross`, measured."""
        term = self._terms.intern(cross)
        self._distance(term)
        return term

    def start(self, meet: int) -> int:
        """The cross that a `Meet` term is at its start."""
        start = self._starts.get(meet)
        if start is None:
            shape = self._terms.shapes[meet]
            assert isinstance(shape, Meet)
            included = tuple(self._states.state_of_term(term) for term in shape.included)
            excluded = tuple(self._states.state_of_term(term) for term in shape.excluded)
            start = self._starts[meet] = self._cross(included, excluded)
        return start

    def steps(self, term: int) -> tuple[Step, ...]:
        """The live steps of a `Meet` or `Unmarked` term, or of what it has become."""
        shape = self._terms.shapes[term]
        if isinstance(shape, Unmarked):
            return self._unmarked_steps(self._states.state_of_term(shape.item))
        if isinstance(shape, Unmarking):
            return self._unmarked_steps(shape.state)
        start = self.start(term) if isinstance(shape, Meet) else term
        return tuple(
            (members, self._left(after))
            for members, after in self._next(start)
            if self._live(after)
        )

    def _left(self, term: int) -> tuple[int, ...]:
        """What is left to read; no product any more where only one part has anything to say.

        Texts that have left a product then are in the same state as texts that never saw it.
        """
        cross = self._terms.shapes[term]
        if isinstance(cross, Cross) and len(cross.included) == 1 and not cross.excluded:
            plain = self._states.residual(next(iter(cross.included)))
            if plain is not None:
                return plain
        return (term,)

    def _unmarked_steps(self, start: int) -> tuple[Step, ...]:
        """The steps of all states that marks alone lead to."""
        found: dict[int, int] = {}
        seen = {start}
        waiting = [start]
        while waiting:
            row = self._states.row(waiting.pop())
            marked = set(row[MARK_BYTES].tolist()) - seen - {-1}
            seen |= marked
            waiting.extend(marked)
            for byte in np.flatnonzero(row >= 0).tolist():
                if not MARKS >> byte & 1:
                    after = int(row[byte])
                    found[after] = found.get(after, 0) | 1 << byte
        return tuple((members, (self._unmarking(after),)) for after, members in found.items())

    def _unmarking(self, state: int) -> int:
        term = self._terms.intern(Unmarking(state))
        self._terms.minimum[term] = self._states.min_bytes(state)
        return term

    def _live(self, term: int) -> bool:
        return self._distance(term) < inf

    def _cross(self, included: tuple[int, ...], excluded: tuple[int, ...]) -> int:
        sides = included, excluded
        term = self._crosses.get(sides)
        if term is None:
            universal = self._states.is_universal
            if -1 in included or any(state >= 0 and universal(state) for state in excluded):
                term = NOTHING
            else:
                cross = Cross(frozenset(included), frozenset(excluded) - {-1})
                term = self._terms.intern(cross)
            self._crosses[sides] = term
        return term

    def _next(self, term: int) -> list[tuple[int, int]]:
        """Each set of bytes with the cross after it."""
        found = self._arcs.get(term)
        if found is None:
            shape = self._terms.shapes[term]
            found = self._arcs[term] = self._combine(shape) if isinstance(shape, Cross) else []
        return found

    def _combine(self, cross: Cross) -> list[tuple[int, int]]:
        check_time()
        included, excluded = sorted(cross.included), sorted(cross.excluded)
        if not included and not excluded:
            return [(ALL_BYTES, self._terms.intern(cross))]
        ways = self._ways_of_few if len(included) + len(excluded) <= _FEW else self._ways_of_many
        found: dict[int, int] = {}
        for members, states in ways(included, excluded):
            after = self._cross(states[: len(included)], states[len(included) :])
            if after != NOTHING:
                found[after] = found.get(after, 0) | members
        return [(members, after) for after, members in found.items()]

    def _ways_of_few(self, included: list[int], excluded: list[int]) -> list[Way]:
        ways: list[Way] = [(ALL_BYTES, ())]
        for state in included:
            ways = _taken(ways, self._states.arcs(state))
        for state in excluded if ways else ():
            arcs = self._states.arcs(state)
            others = ALL_BYTES & ~reduce(or_, (members for members, _ in arcs), 0)
            ways = _taken(ways, (*arcs, (others, -1)))
        return ways

    def _ways_of_many(self, included: list[int], excluded: list[int]) -> list[Way]:
        rows = np.stack([self._states.row(state) for state in (*included, *excluded)])
        # Neighbouring bytes mostly lead to the same states.
        changes = np.flatnonzero((rows[:, 1:] != rows[:, :-1]).any(axis=0)) + 1
        starts, ends = np.append(0, changes), np.append(changes, 256)
        columns = rows[:, starts]
        alive = (columns[: len(included)] >= 0).all(axis=0)
        ways: dict[tuple[int, ...], int] = {}
        bounds = zip(starts[alive].tolist(), ends[alive].tolist(), strict=True)
        for (first, end), states in zip(bounds, columns[:, alive].T.tolist(), strict=True):
            ways[tuple(states)] = ways.get(tuple(states), 0) | (1 << end) - (1 << first)
        return [(members, states) for states, members in ways.items()]

    def _accepts(self, term: int) -> bool:
        cross = self._terms.shapes[term]
        assert isinstance(cross, Cross)
        return all(map(self._states.is_accepting, cross.included)) and not any(
            map(self._states.is_accepting, cross.excluded)
        )

    def _unbounded(self, term: int) -> tuple[int, float]:
        """The cross without upper bounds of loops, and how many copies these allow."""
        found = self._lifted.get(term)
        if found is None:
            cross = self._terms.shapes[term]
            assert isinstance(cross, Cross)
            parts = [self._states.unbounded(state) for state in cross.included]
            most = min((copies for _, copies in parts), default=inf)
            states = tuple(state for state, _ in parts)
            lifted = term if most == inf else self._cross(states, tuple(cross.excluded))
            found = self._lifted[term] = lifted, most
        return found

    def _bound(self, term: int, wide: bool) -> float:
        """At most the distance to acceptance, and exactly it where that is known.

        Args:
            term: A cross.
            wide: Also look at the cross without upper bounds.
        """
        if term in self._known:
            return self._terms.minimum[term]
        bound = self._bounds.get(term)
        if bound is None:
            cross = self._terms.shapes[term]
            assert isinstance(cross, Cross)
            bound = max(map(self._states.min_bytes, cross.included), default=0)
            self._bounds[term] = bound
        if wide and (lifted := self._unbounded(term)[0]) != term:
            bound = max(bound, self._distance(lifted))
        return bound

    def _distance(self, start: int) -> float:
        """The fewest bytes to acceptance."""
        if start in self._known:
            return self._terms.minimum[start]
        if self._search(start, _PATIENCE):
            return self._terms.minimum[start]
        lifted, most = self._unbounded(start)
        if lifted != start:
            distance = self._distance(lifted)
            # A copy takes a byte at least, so that no bound forbids so short a word.
            if distance <= most or distance == inf:
                self._known.add(start)
                self._terms.minimum[start] = distance
                return distance
        if not self._search(start, self._max_expansions, wide=lifted != start):
            raise LimitError(
                f"no word of an intersection was found among {self._max_expansions} states, or in "
                f"{self._seconds:g} s",
                hint="simplify the pattern or narrow the length bounds",
            )
        return self._terms.minimum[start]

    def _search(self, start: int, most: int, wide: bool = False) -> bool:
        """Whether the fewest bytes to acceptance were found, among so many crosses.

        By A*: a counter then costs one path, not its range.

        Args:
            start: A cross.
            most: How many may be looked at.
            wide: Whether crosses without upper bounds are a guide.
        """
        bound = self._bound(start, wide)
        travelled: dict[int, float] = {start: 0}
        came_from: dict[int, tuple[int, float]] = {}
        queue = [(bound, 0.0, start)] if bound < inf else []
        expanded: list[int] = []
        deadline = thread_time() + self._seconds
        while queue:
            _, negated, term = heappop(queue)
            if term in self._known or self._accepts(term):
                self._record(term, came_from)
                self._learn(self._terms.minimum[start], travelled, expanded)
                return True
            if -negated > travelled[term]:
                continue  # a shorter way was found since
            expanded.append(term)
            if len(expanded) % _OFTEN == 1:  # clocks are slow
                check_time()
                if thread_time() > deadline:
                    return False
            if len(expanded) > most:
                return False
            for members, after in self._next(term):
                steps = length(members) - negated
                bound = self._bound(after, wide)
                if bound < inf and steps < travelled.get(after, inf):
                    travelled[after] = steps
                    came_from[after] = term, length(members)
                    heappush(queue, (steps + bound, -steps, after))
        self._known.update(travelled)  # their minimum is inf from the start
        return True

    def _learn(self, total: float, travelled: dict[int, float], expanded: list[int]) -> None:
        """No state on the way is nearer than this, so that the next search looks elsewhere.

        Adaptive A* (Koenig and Likhachev, doi:10.1145/1082473.1082748).
        """
        for term in expanded:
            self._bounds[term] = max(self._bounds[term], total - travelled[term])

    def _record(self, goal: int, came_from: dict[int, tuple[int, float]]) -> None:
        """The exact distances along the path that was found."""
        distance = self._terms.minimum[goal] if goal in self._known else 0
        step: tuple[int, float] | None = (goal, 0)
        while step is not None:
            term, further = step
            distance += further
            self._terms.minimum[term] = distance
            self._known.add(term)
            step = came_from.get(term)


def _taken(ways: list[Way], arcs: Iterable[tuple[int, int]]) -> list[Way]:
    """Each set of bytes with the states it leads to, and with the one that an arc leads to."""
    return [
        (both, (*states, after))
        for members, states in ways
        for others, after in arcs
        if (both := members & others)
    ]
