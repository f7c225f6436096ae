"""What one byte leaves of a term, without the steps for all others.

Of a loop that counts, each number of copies is a term of its own. Its steps are those of its item,
which is one term, so they need not be written down for each number.
"""

from __future__ import annotations

from typing import Protocol

from ctrlgen.constraints.terms import EPSILON, Either, Letter, Loop, Pair, Terms

Residual = tuple[int, ...]


class Stepper(Protocol):
    """What reads terms."""

    def steps(self, term: int) -> tuple[tuple[int, Residual], ...]:
        """Each set of bytes that a word of `term` may begin with, and what comes after it."""
        ...


class Derivatives:
    """Derivatives of terms by single bytes.

    Args:
        terms: The terms.
        stepper: Knows the steps of all of them.
    """

    def __init__(self, terms: Terms, stepper: Stepper) -> None:
        self._terms = terms
        self._stepper = stepper
        self._after: dict[tuple[int, int], tuple[Residual, ...]] = {}
        self._first: dict[int, int] = {}

    def after(self, term: int, byte: int) -> tuple[Residual, ...]:
        """The terms that may be left to read of `term` after `byte`."""
        place = term, byte
        found = self._after.get(place)
        if found is None:
            found = self._after[place] = tuple(dict.fromkeys(self._derive(term, byte)))
        return found

    def _derive(self, term: int, byte: int) -> list[Residual]:
        shape = self._terms.shapes[term]
        match shape:
            case Letter(members):
                return [()] if members >> byte & 1 else []
            case Pair():
                return self._of_pair(shape, byte)
            case Either(items):
                return [residual for item in items for residual in self.after(item, byte)]
            case Loop():
                further = self._terms.further(shape)
                end = () if further == EPSILON else (further,)
                return [(*residual, *end) for residual in self.after(shape.item, byte)]
        return [residual for members, residual in self._stepper.steps(term) if members >> byte & 1]

    def _of_pair(self, pair: Pair, byte: int) -> list[Residual]:
        found: list[Residual] = []
        while True:  # a loop, as a sequence of a thousand optional items is a thousand pairs
            found += [(*residual, pair.second) for residual in self.after(pair.first, byte)]
            if self._terms.minimum[pair.first]:
                return found
            second = self._terms.shapes[pair.second]
            if not isinstance(second, Pair):
                return [*found, *self.after(pair.second, byte)]
            pair = second

    def first_bytes(self, term: int) -> int:
        """A 256-bit set of the bytes that a word of `term` may begin with."""
        found = self._first.get(term)
        if found is None:
            found = self._first[term] = self._first_bytes(term)
        return found

    def _first_bytes(self, term: int) -> int:
        shape = self._terms.shapes[term]
        if isinstance(shape, Loop):
            return self.first_bytes(shape.item)
        union = 0
        for members, _ in self._stepper.steps(term):
            union |= members
        return union
