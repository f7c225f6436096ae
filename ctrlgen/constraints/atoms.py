"""Atoms: the coarsest partition of the vocabulary in which every arc of a gap takes whole blocks.

The model's rows are reduced to atoms once per step; what follows costs arcs, not vocabulary. Rows
are reduced one at a time, in a buffer that stays in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ctrlgen.constraints.vocabulary import Vocabulary

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
NEVER = -np.inf

UNDERFLOW = -600.0
"""Sums of probabilities above exp(UNDERFLOW) need no shift."""

CANCELLED = 1e-6
"""A mass below this is added up, not taken as what is left of one: too few digits remain."""


@dataclass(frozen=True, eq=False)
class Atoms:
    """A partition of the vocabulary.

    Args:
        of_token: Atom of each token, -1: in none; (vocab,).
        order: Token ids sorted by atom, those in none left out.
        offsets: Where each atom begins in `order`, and its end; (atoms + 1,).
        of_set: The atoms of each token set.
    """

    of_token: Ints
    order: Ints
    offsets: Ints
    of_set: dict[int, list[int]]

    @cached_property
    def _largest(self) -> tuple[int, Ints, Ints]:
        """An atom with most of the vocabulary (-1: none), the others, and all tokens outside it.

        Those in no atom come last.
        """
        if not self.count or 2 * self.sizes.max() <= len(self.of_token):
            return -1, np.arange(self.count), self.order
        largest = int(self.sizes.argmax())
        others = np.delete(np.arange(self.count), largest)
        none = np.flatnonzero(self.of_token < 0)
        inside = slice(self.offsets[largest], self.offsets[largest + 1])
        rest = np.concatenate([np.delete(self.order, inside), none])
        return largest, others, rest

    @property
    def count(self) -> int:
        """How many atoms there are."""
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Ints:
        """Tokens of each atom, (atoms,)."""
        return np.diff(self.offsets)

    def members(self, atom: int) -> Ints:
        """The token ids of one atom."""
        return self.order[self.offsets[atom] : self.offsets[atom + 1]]

    def best_token(self, atom: int, row: Floats) -> int:
        """The atom's most probable token."""
        top = int(row.argmax())
        if self.of_token[top] == atom:
            return top
        members = self.members(atom)
        return int(members[row[members].argmax()])

    def reduce(self, row: Floats) -> tuple[Floats, Floats]:
        """Log-sum and maximum over each atom of a row of log-probabilities, both (atoms,).

        The row sums to one: what the others leave is the mass of an atom too large to add up.
        """
        largest, others, rest = self._largest
        if largest < 0:
            return _sums(row[self.order], self.offsets[:-1], self.sizes)
        total, best = np.empty(self.count), np.empty(self.count)
        ordered = row[rest]
        inside = np.concatenate([[0], np.cumsum(self.sizes[others])])
        total[others], best[others] = _sums(ordered[: inside[-1]], inside[:-1], self.sizes[others])
        inside = row.copy()  # a copy with holes is cheaper than gathering nearly all of the row
        inside[rest] = NEVER
        best[largest] = inside.max()
        left = 1.0 - np.exp(ordered).sum()
        if left < CANCELLED:
            left = np.exp(inside - best[largest]).sum() * np.exp(best[largest])
        total[largest] = np.log(left) if left > 0 else NEVER
        return total, best

    def entropies(self, row: Floats) -> Floats:
        """Entropy in nats of the row's distribution inside each atom, (atoms,)."""
        ordered, starts = row[self.order], self.offsets[:-1]
        if not len(starts):
            return np.zeros(0)
        best = np.maximum.reduceat(ordered, starts)
        ordered -= np.repeat(np.where(np.isfinite(best), best, 0.0), self.sizes)
        np.maximum(ordered, UNDERFLOW, out=ordered)  # 0 log 0 = 0
        mass = np.exp(ordered)
        total = np.add.reduceat(mass, starts)
        ordered *= mass
        return np.asarray(np.log(total) - np.add.reduceat(ordered, starts) / total)


def _sums(ordered: Floats, starts: Ints, sizes: Ints) -> tuple[Floats, Floats]:
    """Log-sum and maximum of runs of log-probabilities."""
    if not len(starts):
        return np.zeros(0), np.zeros(0)
    best = np.maximum.reduceat(ordered, starts)
    finite = np.isfinite(best)
    if (best[finite] > UNDERFLOW).all():
        shift = np.zeros(1)
        exponentials = np.exp(ordered)
    else:
        shift = np.where(finite, best, 0.0)
        exponentials = np.exp(ordered - np.repeat(shift, sizes))
    with np.errstate(divide="ignore"):
        return np.log(np.add.reduceat(exponentials, starts)) + shift, best


@lru_cache(maxsize=256)
def atoms_of(vocabulary: Vocabulary, sets: tuple[int, ...], fill_token_id: int | None) -> Atoms:
    """The coarsest partition that cuts none of the token sets; fill, if any, is the last atom."""
    # Tokens in the same sets share an atom: a random 64-bit word per set, summed per token, tells
    # them apart (wrap-around is wanted; n sets collide with probability below n^2 / 2^64).
    words = np.random.default_rng(0).integers(1, 2**63, size=len(sets), dtype=np.uint64)
    signature = np.zeros(vocabulary.size, dtype=np.uint64)
    members = [vocabulary.token_sets[s] for s in sets]
    for word, ids in zip(words, members, strict=True):
        signature[ids] += word
    values, of_token = np.unique(signature, return_inverse=True)
    of_token = of_token.astype(np.int64)
    count = len(values)
    if count and values[0] == 0:
        of_token -= 1
        count -= 1
    of_set = {s: np.unique(of_token[ids]).tolist() for s, ids in zip(sets, members, strict=True)}
    if fill_token_id is not None:
        of_token[fill_token_id] = count
        count += 1
    order = np.argsort(of_token, kind="stable")
    offsets = np.searchsorted(of_token[order], np.arange(count + 1))
    return Atoms(of_token, order[offsets[0] :].copy(), offsets - offsets[0], of_set)
