"""Heads with other counters, between which a head lies: few of them serve all its counters.

A token takes few copies of a loop, so most masks do not depend on how many copies are left. Where
loops stand inside each other or in an intersection, whether they do is not plain to see. But more
copies never allow less: a head reads all that the head with lower upper bounds reads, and no more
than the one without upper bounds. Where those two agree, nothing else needs to be looked at.
"""

from __future__ import annotations

from math import inf

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.heads import Head
from ctrlgen.constraints.stacks import END
from ctrlgen.constraints.terms import Cross, Loop

# Copies of single bytes, and of longer items, of which few tokens take more.
_BYTES, _LONGER = (64, 32, 24), (64, 32, 16, 8, 4)


class Clipping:
    """Lowers and lifts the upper bounds of loops in heads.

    Args:
        automaton: The automaton of the heads.
        reach: Bytes of the longest token.
    """

    def __init__(self, automaton: ByteAutomaton, reach: int) -> None:
        self._automaton = automaton
        self._terms = automaton.stacks.terms
        self._reach = reach
        self._clipped: dict[tuple[int, bool, int], int] = {}

    def between(self, head: Head, shortest: int = 1) -> tuple[Head, Head] | None:
        """A head that reads no more and one that reads no less; None for one without counters.

        Args:
            head: The head.
            shortest: Only loops whose items have as many bytes are changed.
        """
        lower, upper = (self._head(head, lift, shortest) for lift in (False, True))
        return None if lower.terms == head.terms else (lower, upper)

    def _head(self, head: Head, lift: bool, shortest: int) -> Head:
        clipped = [self._term(term, lift, shortest) for term in head.terms]
        if head.copies:
            clipped[-1] = head.terms[-1]  # its copies are noted by token
        return Head(tuple(clipped), head.sealed, head.copies)

    def _term(self, term: int, lift: bool, shortest: int) -> int:
        place = term, lift, shortest
        if place not in self._clipped:
            shape = self._terms.shapes[term]
            clipped = term
            if isinstance(shape, Loop):
                clipped = self._loop(term, shape, lift, shortest)
            elif isinstance(shape, Cross):
                included = frozenset(self._state(s, lift, shortest) for s in shape.included)
                if included != shape.included:
                    cross = Cross(included, shape.excluded)
                    clipped = self._automaton.products.measured(cross)
            self._clipped[place] = clipped
        return self._clipped[place]

    def _loop(self, term: int, loop: Loop, lift: bool, shortest: int) -> int:
        length = self._terms.minimum[loop.item]
        if loop.most is None or not shortest <= length < inf:
            return term
        # No token takes more copies than the first level.
        levels = (int(self._reach / length) + 2, *(_BYTES if length == 1 else _LONGER))
        found = (level for level in levels if max(loop.least, 1) < level <= loop.most)
        level = next(found, None)
        if level is None:
            return term
        return self._terms.loop(loop.item, loop.least, None if lift else level)

    def _state(self, state: int, lift: bool, shortest: int) -> int:
        stacks = self._automaton.stacks
        found = set()
        for stack in self._automaton.stacks_of(state):
            terms = stacks.terms_above(stack, END)
            clipped = tuple(self._term(term, lift, shortest) for term in terms)
            found.add(stacks.push(clipped, END))
        return self._automaton.state_of_stacks(frozenset(found))
