"""Heads without their counters, which serve all counters that few tokens exhaust.

A token takes few copies of a loop, so most masks do not depend on how many copies are left. Where
loops stand inside each other or in an intersection, whether they do is not plain to see. But what
the head without upper bounds cannot read, no bound allows; and a token is allowed where there are
as many copies as steps at which the head may begin one, on the token's way and on the shortest way
from there to the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.crossed_copies import counted_loop
from ctrlgen.constraints.heads import Head
from ctrlgen.constraints.stacks import END
from ctrlgen.constraints.terms import Cross, Either, Loop, Meet, Pair

# Fewer copies than these, of a single byte and of longer items, are taken by many tokens.
_FEWEST_BYTES, _FEWEST = 24, 4
_LEVELS = (64, 32, 16, 8, 4, 2, 1)
_DEEPEST = 60  # terms inside each other that are looked into
_WIDEST = 3  # parts of an intersection


@dataclass(frozen=True, slots=True)
class _Bounded:
    """A term or a state with other upper bounds.

    Args:
        number: Of the term, or the state.
        items: Of which it may have another number now.
        most: Copies that all bounds allowed.
    """

    number: int
    items: frozenset[int] = frozenset()
    most: float = inf


class Clipping:
    """Lifts, or lowers, the upper bounds of loops in heads.

    Args:
        automaton: The automaton of the heads.
    """

    def __init__(self, automaton: ByteAutomaton) -> None:
        self._automaton = automaton
        self._terms = automaton.stacks.terms
        self._of_term: dict[tuple[int, int | None], _Bounded] = {}
        self._of_state: dict[tuple[int, int | None], _Bounded] = {}

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

    def _bounded(self, head: Head, level: int | None) -> tuple[_Bounded, tuple[int, ...]]:
        parts = [self._top(term, head.item, level) for term in head.terms]
        if head.copies and head.item is None:
            parts[-1] = _Bounded(head.terms[-1])
        return _joined(END, parts), tuple(part.number for part in parts)

    def counted(self, head: Head) -> Head:
        """The head with copies of the tightest loop of its intersection counted, if it is one."""
        cross = self._cross_of(head.terms[0]) if len(head.terms) == 1 else None
        loops = [(s, counted_loop(self._automaton, s)) for s in cross.included] if cross else []
        bounded = [(loop.most, s, loop) for s, loop in loops if loop and loop.most is not None]
        if cross is None or not bounded:
            return head
        most, counted, loop = min(bounded, key=lambda each: each[:2])
        included = cross.included - {counted} | {self._unbounded(counted, loop)}
        term = self._automaton.products.measured(Cross(included, cross.excluded))
        return Head((term,), head.sealed, (0, most), loop.item)

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

    def _top(self, term: int, counted: int | None, level: int | None) -> _Bounded:
        """A term of a head, which may be an intersection with a loop over `counted`."""
        cross = self._cross_of(term)
        if cross is None:
            return self._term(term, level)
        loops = [(s, counted_loop(self._automaton, s)) for s in cross.included]
        stay = {state for state, loop in loops if loop and loop.item == counted}
        parts = [_Bounded(s) if s in stay else self._state(s, level) for s in cross.included]
        if all(part.most == inf for part in parts):
            return _Bounded(term)
        included = frozenset(part.number for part in parts)
        lifted = self._automaton.products.measured(Cross(included, cross.excluded))
        return _joined(lifted, parts)

    def _state(self, state: int, level: int | None) -> _Bounded:
        found = self._of_state.get((state, level))
        if found is None:
            stacks, lifted, parts = self._automaton.stacks, set(), []
            for stack in self._automaton.stacks_of(state):
                of_stack = [self._term(term, level) for term in stacks.terms_above(stack, END)]
                lifted.add(stacks.push(tuple(part.number for part in of_stack), END))
                parts += of_stack
            found = _Bounded(state)
            if any(part.most < inf for part in parts):
                found = _joined(self._automaton.state_of_stacks(frozenset(lifted)), parts)
            self._of_state[state, level] = found
        return found

    def _term(self, term: int, level: int | None, depth: int = 0) -> _Bounded:
        found = self._of_term.get((term, level))
        if found is None:
            found = self._change(term, level, depth + 1) if depth < _DEEPEST else _Bounded(term)
            self._of_term[term, level] = found
        return found

    def _change(self, term: int, level: int | None, depth: int) -> _Bounded:
        shape = self._terms.shapes[term]
        match shape:
            case Loop():
                return self._loop(shape, level, depth)
            case Either(items):
                parts = [self._term(item, level, depth) for item in items]
                return _joined(self._terms.either(tuple(part.number for part in parts)), parts)
            case Pair():
                parts = []
                while isinstance(shape, Pair):  # a loop, as a pattern may be a long row of them
                    parts.append(self._term(shape.first, level, depth))
                    last = shape.second
                    shape = self._terms.shapes[last]
                parts.append(self._term(last, level, depth))
                return _joined(self._terms.sequence([part.number for part in parts]), parts)
        return _Bounded(term)

    def _loop(self, loop: Loop, level: int | None, depth: int) -> _Bounded:
        length, item = self._terms.minimum[loop.item], self._term(loop.item, level, depth)
        fewest = _FEWEST_BYTES if length == 1 else _FEWEST
        if loop.most is None or not 1 <= length < inf or loop.most < fewest:
            return _joined(self._terms.loop(item.number, loop.least, loop.most), [item])
        most = level if level is None else min(loop.most, max(loop.least, level))
        term = self._terms.loop(item.number, loop.least, most)
        return _Bounded(term, item.items | {item.number}, min(item.most, loop.most))


def _joined(number: int, parts: list[_Bounded]) -> _Bounded:
    items = frozenset[int]().union(*(part.items for part in parts))
    return _Bounded(number, items, min((part.most for part in parts), default=inf))
