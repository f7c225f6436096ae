"""Atoms: the coarsest partition of the vocabulary in which every arc of a gap takes whole blocks.

The model's rows are reduced to atoms once per step (`log_probs.py`); what follows costs arcs, not
vocabulary.
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


@dataclass(frozen=True, eq=False)
class Blocks:
    """The atoms, and the tokens in none, laid out for a reduction.

    The largest block is reduced in place, with holes where the others are; they are gathered.

    Args:
        largest: An atom, or the number of atoms: the tokens in none.
        gathered: All other tokens, block by block.
        numbers: Which block each run of them is, (runs,).
        starts: Where each run begins, (runs,).
        run: The run of each gathered token, (gathered,).
        only: The token of a block that has no other, else -1; (blocks,).
    """

    largest: int
    gathered: Ints
    numbers: Ints
    starts: Ints
    run: Ints
    only: Ints


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

    @property
    def count(self) -> int:
        """How many atoms there are."""
        return len(self.offsets) - 1

    @cached_property
    def sizes(self) -> Ints:
        """Tokens of each atom, (atoms,)."""
        return np.diff(self.offsets)

    def members(self, atom: int) -> Ints:
        """The token ids of one atom."""
        return self.order[self.offsets[atom] : self.offsets[atom + 1]]

    @cached_property
    def blocks(self) -> Blocks:
        """The layout for a reduction."""
        none = np.flatnonzero(self.of_token < 0)
        sizes = np.append(self.sizes, len(none))
        largest = int(sizes.argmax())
        numbers = np.flatnonzero(sizes)
        numbers = numbers[numbers != largest]
        members = [none if n == self.count else self.members(n) for n in numbers.tolist()]
        gathered = np.concatenate([np.zeros(0, dtype=np.int64), *members])
        starts = np.cumsum(sizes[numbers]) - sizes[numbers]
        run = np.repeat(np.arange(len(numbers)), sizes[numbers])
        only = np.full(len(sizes), -1)
        only[numbers[sizes[numbers] == 1]] = gathered[starts[sizes[numbers] == 1]]
        return Blocks(largest, gathered, numbers, starts, run, only)


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
