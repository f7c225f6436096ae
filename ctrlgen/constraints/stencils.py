"""Stencils: the masks of heads (`heads.py`), cut once for all automata of a vocabulary."""

from __future__ import annotations

from math import inf

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.trie import Trie

_SMALL = 200
_FEW = 2_000  # tokens that are taken out of a mask faster than it is made
_GREEDY = 400  # tokens that are looked at one by one

Words = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int32]


class Stencil:
    """What a head can read of a vocabulary.

    A head that ends in a counted loop is read without its bounds, and each token noted with the
    copies that it takes: the same stencil then serves all bounds.

    Args:
        n_words: Length of a mask.
        inside: Tokens after which the head goes on, each with the fewest copies that it takes and
            with copies of other loops that suffice to end it, (tokens, 3).
        closing: Tokens that end with the delimiter, copies that they may take, and copies of other
            loops that suffice, (rows, 3).
        leaving: Tokens that go on behind it, likewise.
        exits: What these have left there, by row.
        ambiguous: Whether only the fewest copies are noted where a text may take more or fewer.

    Attributes:
        is_small: Whether the tokens inside are so few that a mask is not worth its memory.
    """

    def __init__(
        self, n_words: int, inside: Ints, closing: Ints, leaving: Ints, exits: Trie, ambiguous: bool
    ) -> None:
        self.exits = exits
        self.ambiguous = ambiguous
        self._closing, self._leaving = closing, leaving
        self._n_words = n_words
        self._words: dict[tuple[float, float], Words] = {}
        self._going: dict[float, Words] = {}
        self._inside = inside[np.argsort(inside[:, 1], kind="stable")]
        rows = np.concatenate([inside, closing, leaving])
        self._most = int(rows[:, 1].max(initial=0))
        self._greedy, self._few = _largest(rows, 32 * n_words)
        kinds = np.repeat(np.arange(3, dtype=np.int32), [len(inside), len(closing), len(leaving)])
        kept = np.isin(rows[:, 0], self._greedy[:, 0]) if len(rows) > _GREEDY else slice(None)
        self._ways = np.stack([rows[:, 0], rows[:, 1], kinds], axis=1)[kept]
        self.is_small = len(inside) <= _SMALL
        if not self._most and not self.is_small:
            self._inside_words(0)
            self._inside = inside[:0]  # as many bytes as 64 masks have

    def clip(self, copies: tuple[int, float] | None) -> tuple[float, float]:
        """Bounds that allow the same tokens, out of few."""
        least, most = copies or (0, inf)
        return min(least, self._most + 1), min(most, self._most)

    def inside(self, most: float) -> Ints:
        """The tokens inside, where there may be so many copies."""
        end = int(np.searchsorted(self._inside[:, 1], most, "right"))
        tokens: Ints = self._inside[:end, 0]
        return tokens

    def words(self, least: float, most: float) -> Words:
        """The tokens inside, and those that close the head, as a mask."""
        place = least, most
        words = self._words.get(place)
        if words is None:
            closing = self.closing(least, most)
            words = self._inside_words(most)
            if len(closing):
                words = words.copy()
                add(words, closing)
            self._words[place] = words
        return words

    def _inside_words(self, most: float) -> Words:
        words = self._going.get(most)
        if words is None:
            tokens = self.inside(most)
            others = self._inside[len(tokens) :, 0]
            if 0 < len(others) <= _FEW:
                words = without(self._inside_words(self._most), others)
            else:
                words = pack(tokens, self._n_words)
            self._going[most] = words
        return words

    def greedy(self, copies: float) -> Ints | None:
        """The tokens for which so many copies of other loops may not suffice; None for many."""
        tokens: Ints = self._greedy[self._greedy[:, 1] > copies, 0]
        return tokens if copies >= self._few else None

    def reads_as(self, other: Stencil, tokens: Ints) -> bool:
        """Whether it reads some greedy tokens in the ways in which `other` does."""
        mine, others = (np.unique(each._ways_of(tokens), axis=0) for each in (self, other))
        return np.array_equal(mine, others)

    def _ways_of(self, tokens: Ints) -> Ints:
        return self._ways[np.isin(self._ways[:, 0], tokens)]

    def closing(self, least: float, most: float) -> Ints:
        """The tokens that close the head."""
        return self._allowed(self._closing, least, most)

    def leaving(self, rows: Ints, least: float, most: float) -> Ints:
        """The tokens that leave the head by these exits."""
        return self._allowed(self._leaving[rows], least, most)

    def _allowed(self, rows: Ints, least: float, most: float) -> Ints:
        tokens: Ints = rows[(rows[:, 1] >= least) & (rows[:, 1] <= most), 0]
        return tokens


def _largest(rows: Ints, n_tokens: int) -> tuple[Ints, int]:
    """The few tokens of the largest numbers, with these, and the next smaller one."""
    if not rows[:, 2].any():
        return rows[:0, ::2], 0
    most = np.zeros(n_tokens, np.int32)
    np.maximum.at(most, rows[:, 0], rows[:, 2])
    bound = int(np.partition(most, -_GREEDY)[-_GREEDY]) if n_tokens > _GREEDY else 0
    tokens = np.flatnonzero(most > bound).astype(np.int32)
    return np.stack([tokens, most[tokens]], axis=1), bound


def add(words: Words, tokens: Ints) -> None:
    """Allows these tokens in a mask."""
    ids = tokens.astype(np.uint32)
    np.bitwise_or.at(words, ids >> np.uint32(5), np.uint32(1) << (ids & np.uint32(31)))


def without(words: Words, tokens: Ints) -> Words:
    """A mask in which these tokens are not allowed."""
    left, ids = words.copy(), tokens.astype(np.uint32)
    np.bitwise_and.at(left, ids >> np.uint32(5), ~(np.uint32(1) << (ids & np.uint32(31))))
    return left


def pack(tokens: Ints, n_words: int) -> Words:
    """Token ids as a bit each."""
    bits = np.zeros(32 * n_words, bool)
    bits[tokens] = True
    return np.packbits(bits, bitorder="little").view(np.uint32)
