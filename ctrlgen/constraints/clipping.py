"""Heads without their counters, which serve all counters that few tokens exhaust.

A token takes few copies of a loop, so most masks do not depend on how many copies are left. Where
loops stand inside each other or in an intersection, whether they do is not plain to see. But what
the head without upper bounds cannot read, no bound allows; and a token is allowed where there are
as many copies as steps at which the head may begin one, on the token's way and on the shortest way
from there to the end.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.bounds import Bounded, Bounds, joined
from ctrlgen.constraints.crossed_copies import counted_loop
from ctrlgen.constraints.heads import Head
from ctrlgen.constraints.stacks import END
from ctrlgen.constraints.terms import Cross, Loop, Meet

# Fewer copies than these, of a single byte and of longer items, are taken by many tokens.
_FEWEST_BYTES, _FEWEST = 24, 4
_LEVELS = (64, 32, 16, 8, 4, 2, 1)
_WIDEST = 3  # parts of an intersection


class Clipping:
    """Lifts, or lowers, the upper bounds of loops in heads.

    Args:
        automaton: The automaton of the heads.
    """

    def __init__(self, automaton: ByteAutomaton) -> None:
        self._automaton = automaton
        self._terms = automaton.stacks.terms
        self._bounds = Bounds(automaton, _FEWEST_BYTES, _FEWEST)

    def lifted(self, head: Head) -> tuple[Head, float]:
        """A head without upper bounds, and how many copies these allow; inf if it had none.

        A loop whose copies are counted stays as it is.
        """
        found, terms = self._bounded(head, None)
        return replace(head, terms=terms, lifted=tuple(sorted(found.items))), found.most

    def lowered(self, head: Head, most: float) -> Head:
        """A head with lower bounds, the same for most heads that allow `most` copies."""
        level = next(level for level in _LEVELS if level <= most)
        return replace(head, terms=self._bounded(head, level)[1])

    def _bounded(self, head: Head, level: int | None) -> tuple[Bounded, tuple[int, ...]]:
        parts = [self._top(term, head.item, level) for term in head.terms]
        if head.copies and head.item is None:
            parts[-1] = Bounded(head.terms[-1])
        return joined(END, parts), tuple(part.number for part in parts)

    def counted(self, head: Head) -> Head:
        """The head with copies of the tightest loop of its intersection counted, if it is one."""
        cross = self._cross_of(head.terms[0]) if len(head.terms) == 1 else None
        if cross is None:
            return head
        loops = self._loops(cross)
        bounded = [(loop.most, s, loop) for s, loop in loops.items() if loop.most is not None]
        if not bounded:
            return head
        most, counted, loop = min(bounded, key=lambda each: each[:2])
        included = cross.included - {counted} | {self._unbounded(counted, loop)}
        term = self._automaton.products.measured(Cross(included, cross.excluded))
        return Head((term,), head.sealed, (0, most), loop.item)

    def _loops(self, cross: Cross) -> dict[int, Loop]:
        """The loops that parts of an intersection end with."""
        found = ((state, counted_loop(self._automaton, state)) for state in cross.included)
        return {state: loop for state, loop in found if loop}

    def _cross_of(self, term: int) -> Cross | None:
        """The cross that a term is or begins as; None for one of many parts, too dear a product."""
        shape = self._terms.shapes[term]
        if isinstance(shape, Meet):
            shape = self._terms.shapes[self._automaton.products.start(term)]
        if not isinstance(shape, Cross) or len(shape.included) + len(shape.excluded) > _WIDEST:
            return None
        return shape

    def _unbounded(self, state: int, loop: Loop) -> int:
        """The state with copies without end of the loop that it ends with."""
        stacks = self._automaton.stacks
        (stack,) = self._automaton.stacks_of(state)
        terms = stacks.terms_above(stack, END)[:-1]
        endless = self._terms.loop(loop.item, loop.least, None)
        return self._automaton.state_of_stacks(frozenset((stacks.push((*terms, endless), END),)))

    def _top(self, term: int, counted: int | None, level: int | None) -> Bounded:
        """A term of a head, which may be an intersection with a loop over `counted`."""
        cross = self._cross_of(term)
        if cross is None:
            return self._bounds.term(term, level)
        stay = {state for state, loop in self._loops(cross).items() if loop.item == counted}
        parts = [Bounded(s) if s in stay else self._bounds.state(s, level) for s in cross.included]
        if all(part.most == inf for part in parts):
            return Bounded(term)
        included = frozenset(part.number for part in parts)
        lifted = self._automaton.products.measured(Cross(included, cross.excluded))
        return joined(lifted, parts)
