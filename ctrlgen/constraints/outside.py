"""A language without finitely many words: the keys of an object that it does not declare.

As a product, the words would be compared byte by byte in every object anew. Here a text that has
left the words is in the state that it would be in without them, so every object shares it.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import inf
from typing import Protocol

from ctrlgen.constraints.terms import Outside, Terms

Step = tuple[int, tuple[int, ...]]


class Stepper(Protocol):
    """What reads terms."""

    def steps(self, term: int) -> tuple[Step, ...]:
        """Each set of bytes that a word of `term` may begin with, and what comes after it."""
        ...


class Outsides:
    """The steps and measures of `Outside` terms.

    Args:
        terms: Where they are interned.
        stepper: Knows the steps of any other term.
    """

    def __init__(self, terms: Terms, stepper: Stepper) -> None:
        self._terms = terms
        self._stepper = stepper

    def steps_of(self, outside: Outside) -> list[Step]:
        """Each set of bytes that may come, with what comes after it."""
        found: list[Step] = []
        for members, residual, words in self._next(outside.item, outside.words):
            if words:
                residual = (self.made(self._terms.sequence(residual), words),)
            found.append((members, residual))
        return found

    def made(self, item: int, words: frozenset[bytes]) -> int:
        """The term of `item` without `words`, measured."""
        term = self._terms.intern(Outside(item, words))
        self._terms.minimum[term] = self.measure(item, words)
        return term

    def measure(self, item: int, words: frozenset[bytes]) -> float:
        """The fewest bytes of a word of `item` that is none of `words`."""
        minimum = self._terms.minimum
        if all(len(word) > minimum[item] for word in words):
            return minimum[item]  # the shortest is none of them
        queue: list[tuple[float, int, int, frozenset[bytes]]] = [(minimum[item], 0, item, words)]
        order = 0
        seen = set()
        while queue:
            total, _, item, words = heappop(queue)
            if not words or (not minimum[item] and b"" not in words) or total == inf:
                return total
            if (item, words) in seen:
                continue
            seen.add((item, words))
            # An item that is measured is as far from its end as its first byte says.
            read = total - minimum[item] + 1
            for _, residual, left in self._next(item, words):
                after = self._terms.sequence(residual)
                order += 1
                heappush(queue, (read + minimum[after], order, after, left))
        return inf

    def _next(
        self, item: int, words: frozenset[bytes]
    ) -> Iterator[tuple[int, tuple[int, ...], frozenset[bytes]]]:
        """Bytes that may come, what is left of `item` after them, and of the words."""
        by_first: dict[int, set[bytes]] = {}
        for word in words:
            if word:
                by_first.setdefault(word[0], set()).add(word[1:])
        firsts = sum(1 << byte for byte in by_first)
        for members, residual in self._stepper.steps(item):
            if members & ~firsts:
                yield members & ~firsts, residual, frozenset()
            for byte, rest in by_first.items():
                if members >> byte & 1:
                    yield 1 << byte, residual, frozenset(rest)
