"""Stacks of terms: what is left to read, and how one byte changes it.

These are Antimirov's partial derivatives (doi:10.1016/0304-3975(95)00182-4), with the rest of the
text as an interned linked list, so that a recursive rule simply pushes its continuation.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from math import inf

from ctrlgen.constraints import rolls
from ctrlgen.constraints.derivatives import Derivatives
from ctrlgen.constraints.outside import Outsides
from ctrlgen.constraints.terms import (
    EPSILON,
    Call,
    Cross,
    Either,
    Letter,
    Listing,
    Loop,
    Meet,
    Outside,
    Pair,
    Roll,
    Terms,
    Unmarked,
    Unmarking,
    Word,
)
from ctrlgen.errors import GrammarError

# The bytes of a step as a 256-bit set, and the terms to read after it, first one first.
Step = tuple[int, tuple[int, ...]]

END = 0


class Stacks:
    """Interned stacks. A stack is a small int, `END` the empty one.

    The top of a stack is never a `Pair`, so that equal remainders are mostly equal stacks.

    Args:
        terms: The terms on the stacks.
        cross_steps: The steps of a `Meet` or `Unmarked`, and of what they become.
    """

    def __init__(self, terms: Terms, cross_steps: Callable[[int], tuple[Step, ...]]) -> None:
        self.terms = terms
        self.top: list[int] = [EPSILON]
        self.rest: list[int] = [END]
        self.minimum: list[float] = [0]
        self.outsides = Outsides(terms, weakref.proxy(self))
        self.derivatives = Derivatives(terms, weakref.proxy(self))
        self._cross_steps = cross_steps
        self._ids: dict[tuple[int, int], int] = {}
        self._arcs: dict[int, tuple[tuple[int, int], ...]] = {}
        self._steps: dict[int, tuple[Step, ...]] = {}
        self._open: set[int] = set()

    def push(self, terms: tuple[int, ...], stack: int) -> int:
        """`stack` with `terms` on it, the first one on top."""
        for term in reversed(terms):
            stack = self._cell(term, stack)
        while stack != END:
            shape = self.terms.shapes[self.top[stack]]
            if not isinstance(shape, Pair):
                break
            stack = self._cell(shape.first, self._cell(shape.second, self.rest[stack]))
        return stack

    def _cell(self, term: int, rest: int) -> int:
        if term == EPSILON:
            return self.push((), rest)
        stack = self._ids.get((term, rest))
        if stack is None:
            stack = self._ids[term, rest] = len(self.top)
            self.top.append(term)
            self.rest.append(rest)
            self.minimum.append(self.terms.minimum[term] + self.minimum[rest])
        return stack

    def terms_above(self, stack: int, bottom: int) -> list[int]:
        """The terms of `stack` that lie on `bottom`, the top one first."""
        found = []
        while stack != bottom:
            found.append(self.top[stack])
            stack = self.rest[stack]
        return found

    def arcs(self, stack: int) -> tuple[tuple[int, int], ...]:
        """Each set of bytes that may come next, with the stack after it; only live stacks."""
        found = self._arcs.get(stack)
        if found is None:
            found = self._arcs[stack] = tuple(dict.fromkeys(self._compute_arcs(stack)))
        return found

    def _compute_arcs(self, stack: int) -> list[tuple[int, int]]:
        found = []
        for members, residual, rest in self._steps_of(stack):
            after = self.push(residual, rest)
            if self.minimum[after] < inf:
                found.append((members, after))
        return found

    def _steps_of(self, stack: int) -> Iterator[tuple[int, tuple[int, ...], int]]:
        """Each step that a word of `stack` may begin with, and the stack below it."""
        while stack != END:
            top, rest = self.top[stack], self.rest[stack]
            for members, residual in self.steps(top):
                yield members, residual, rest
            if self.terms.minimum[top]:
                break
            stack = rest

    def after(self, stack: int, byte: int) -> list[int]:
        """The live stacks after one byte: cheaper than `arcs`, where nobody asks for the others."""
        arcs = self._arcs.get(stack)
        if arcs is not None:
            return [after for members, after in arcs if members >> byte & 1]
        found = []
        while stack != END:
            top, rest = self.top[stack], self.rest[stack]
            found += [self.push(residual, rest) for residual in self.derivatives.after(top, byte)]
            if self.terms.minimum[top]:
                break
            stack = rest
        return [after for after in found if self.minimum[after] < inf]

    def first_bytes(self, stack: int) -> int:
        """A 256-bit set of the bytes that may come next, as far as the next step tells."""
        union = 0
        while stack != END:
            top = self.top[stack]
            union |= self.derivatives.first_bytes(top)
            if self.terms.minimum[top]:
                break
            stack = self.rest[stack]
        return union

    def steps(self, term: int) -> tuple[Step, ...]:
        """Each set of bytes that a word of `term` may begin with, and what comes after it."""
        found = self._steps.get(term)
        if found is None:
            found = self._steps[term] = tuple(self._compute_steps(term))
        return found

    def _compute_steps(self, term: int) -> list[Step]:
        shape = self.terms.shapes[term]
        match shape:
            case Letter(members):
                return [(members, ())]
            case Word(data):
                return [(1 << data[0], (self.terms.word(data[1:]),))] if data else []
            case Pair():
                return self._pair_steps(term)
            case Either(items):
                return list(dict.fromkeys(step for item in items for step in self.steps(item)))
            case Loop():
                return self._loop_steps(shape)
            case Listing():
                return self._listing_steps(shape)
            case Roll():
                return self._roll_steps(shape)
            case Outside():
                return self.outsides.steps_of(shape)
            case Call(name):
                return self._call_steps(term, name)
            case Meet() | Cross() | Unmarked() | Unmarking():
                return list(self._cross_steps(term))

    def _pair_steps(self, term: int) -> list[Step]:
        found: list[Step] = []
        shape = self.terms.shapes[term]
        # A loop, not a recursion: a sequence of a thousand optional items is a thousand pairs.
        while isinstance(shape, Pair):
            for members, residual in self.steps(shape.first):
                found.append((members, (*residual, shape.second)))
            if self.terms.minimum[shape.first]:
                return found
            term = shape.second
            shape = self.terms.shapes[term]
        return [*found, *self.steps(term)]

    def _loop_steps(self, loop: Loop) -> list[Step]:
        after = self.terms.further(loop)
        return [
            (members, residual if after == EPSILON else (*residual, after))
            for members, residual in self.steps(loop.item)
        ]

    def _listing_steps(self, listing: Listing) -> list[Step]:
        members = self.terms.members[listing.members]
        due = Listing(listing.members, listing.index, due=True)
        if listing.begun:
            if members.separator == EPSILON:
                return list(self.steps(self.terms.intern(due)))
            after = self.terms.intern(due)
            return [
                (first, (*residual, after)) for first, residual in self.steps(members.separator)
            ]
        found: list[Step] = []
        for index in range(listing.index, len(members.items)):
            after = self.terms.intern(Listing(listing.members, index + 1, begun=True))
            if self.terms.minimum[after] < inf:
                for first, residual in self.steps(members.items[index]):
                    found.append((first, (*residual, after)))
            if members.required[index]:
                break
        return found

    def _roll_steps(self, roll: Roll) -> list[Step]:
        roster = self.terms.rosters[roll.roster]
        if roll.begun and roster.separator != EPSILON:
            after = self.terms.intern(rolls.separated(roll))
            return [(first, (*residual, after)) for first, residual in self.steps(roster.separator)]
        found: list[Step] = []
        for index in rolls.open_items(roster, roll):
            after = self.terms.intern(rolls.taken(roster, roll, index))
            if self.terms.minimum[after] < inf:
                for first, residual in self.steps(roster.items[index]):
                    found.append((first, (*residual, after)))
        return found

    def _call_steps(self, term: int, name: str) -> list[Step]:
        if term in self._open:
            raise GrammarError(f"rule {name!r} is left-recursive")
        self._open.add(term)
        try:
            return list(self.steps(self.terms.rules[name]))
        finally:
            self._open.discard(term)
