"""The fewest tokens that complete a text."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.terms import Cross, Loop
from ctrlgen.errors import LimitError

_MAX_EXPANSIONS = 20_000
_MAX_RELAXED = 1_000


class Lifting(Protocol):
    """The classes of tokens that may come next, by the state that they lead to."""

    @property
    def destinations(self) -> npt.NDArray[np.int32]:
        """The states."""
        ...

    @property
    def sets(self) -> npt.NDArray[np.int32]:
        """The ids of the token sets."""
        ...


class Lifter(Protocol):
    """Lifts states."""

    def lift(self, state: int) -> Lifting:
        """The partition of the vocabulary after `state`."""
        ...


class Distances:
    """Exact distances by A*.

    The bound that leads the search is the distance in a relaxed graph, where no loop has an upper
    end: there 100 fields of up to 500 characters have few states, and the shortest completion is
    mostly the same.

    Args:
        automaton: The language.
        lifter: Its lifting to tokens.
        max_token_bytes: Length of the longest token.
    """

    def __init__(self, automaton: ByteAutomaton, lifter: Lifter, max_token_bytes: int) -> None:
        self._automaton = automaton
        self._lifter = lifter
        self._max_token_bytes = max(max_token_bytes, 1)
        self._known: dict[int, int] = {}
        self._best: dict[int, tuple[int, int]] = {}
        self._relaxed_states: dict[int, int] = {}
        self._relaxed: dict[int, int] = {}
        self._relaxed_ends = False

    def __getitem__(self, state: int) -> int:
        """The fewest tokens from `state` to acceptance.

        Raises:
            LimitError: Too many states had to be looked at, or no tokens spell a completion.
        """
        if state not in self._known:
            self._search(state)
        return self._known[state]

    def best(self, state: int) -> tuple[int, int]:
        """The token set and the state of the first step of a shortest completion."""
        assert self[state], "an accepting state needs no step"
        return self._best[state]

    def _bound(self, state: int) -> int:
        """At most the distance, and exactly it where that is known."""
        known = self._known.get(state)
        if known is not None:
            return known
        relaxed = self._relax(state)
        if relaxed not in self._relaxed and not self._relaxed_ends:
            self._explore(relaxed)
        return self._relaxed.get(relaxed, self._byte_bound(state))

    def _byte_bound(self, state: int) -> int:
        return -(-self._automaton.min_bytes(state) // self._max_token_bytes)

    def _search(self, start: int) -> None:
        travelled = {start: 0}
        came_from: dict[int, tuple[int, int]] = {}  # the set of tokens, and the state before
        queue = [(self._bound(start), 0, start)]
        expansions = 0
        while queue:
            _, negated, state = heappop(queue)
            if state in self._known or self._automaton.is_accepting(state):
                self._record(state, came_from)
                return
            if -negated > travelled[state]:
                continue
            expansions += 1
            if expansions > _MAX_EXPANSIONS:
                raise LimitError(f"no completion was found among {_MAX_EXPANSIONS} states")
            for after, set_id in self._steps(state):
                steps = 1 - negated
                if steps < travelled.get(after, _MAX_EXPANSIONS):
                    travelled[after] = steps
                    came_from[after] = set_id, state
                    heappush(queue, (steps + self._bound(after), -steps, after))
        raise LimitError("no tokens of the vocabulary spell a completion")

    def _steps(self, state: int) -> Iterator[tuple[int, int]]:
        lifted = self._lifter.lift(state)
        return zip(lifted.destinations.tolist(), lifted.sets.tolist(), strict=True)

    def _record(self, goal: int, came_from: dict[int, tuple[int, int]]) -> None:
        distance = self._known.setdefault(goal, 0)
        state = goal
        while state in came_from:
            set_id, before = came_from[state]
            distance += 1
            self._known[before] = distance
            self._best[before] = set_id, state
            state = before

    def _explore(self, start: int) -> None:
        """Bounds for all that follows `start` in the relaxed graph.

        They are exact there unless the limit ends the exploration, as recursion can make it.
        """
        before: dict[int, list[int]] = defaultdict(list)
        seen, queue = {start}, deque([start])
        expanded = 0
        while queue and expanded < _MAX_RELAXED:
            state = queue.popleft()
            if self._automaton.is_accepting(state) or state in self._relaxed:
                continue
            expanded += 1
            for after in {self._relax(after) for after, _ in self._steps(state)}:
                before[after].append(state)
                if after not in seen:
                    seen.add(after)
                    queue.append(after)
        self._relaxed_ends = self._relaxed_ends or bool(queue)
        self._spread(seen, set(queue), before)

    def _spread(self, seen: set[int], frontier: set[int], before: dict[int, list[int]]) -> None:
        """Dijkstra backwards from the accepting states and from those not looked at."""
        ends = {s: 0 for s in seen if self._automaton.is_accepting(s)}
        ends |= {s: self._relaxed[s] for s in seen if s in self._relaxed}
        ends |= {s: self._byte_bound(s) for s in frontier if s not in ends}
        queue = [(distance, state) for state, distance in ends.items()]
        heapify(queue)
        settled: dict[int, int] = {}
        while queue:
            distance, state = heappop(queue)
            if state not in settled:
                settled[state] = distance
                for previous in before[state]:
                    heappush(queue, (distance + 1, previous))
        # Nothing that the vocabulary spells completes the others.
        self._relaxed |= dict.fromkeys(seen, _MAX_EXPANSIONS) | settled

    def _relax(self, state: int) -> int:
        """The state without upper ends on the loops it is in."""
        relaxed = self._relaxed_states.get(state)
        if relaxed is None:
            stacks = self._automaton.stacks_of(state)
            relaxed = self._automaton.state_of_stacks(frozenset(map(self._relax_stack, stacks)))
            self._relaxed_states[state] = relaxed
        return relaxed

    def _relax_stack(self, stack: int) -> int:
        stacks = self._automaton.stacks
        terms = list(stacks.terms_above(stack, 0))
        return stacks.push(tuple(self._relax_terms(terms)), 0)

    def _relax_terms(self, terms: Iterable[int]) -> Iterator[int]:
        table = self._automaton.stacks.terms
        for term in terms:
            match table.shapes[term]:
                case Loop(item, least, most) if most is not None:
                    yield table.loop(item, least, None)
                case Cross(included, excluded):
                    wider = Cross(frozenset(map(self._relax, included)), excluded)
                    yield self._automaton.products.measured(wider)
                case _:
                    yield term
