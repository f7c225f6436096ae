"""A denoiser whose conditionals are those of a known distribution of words: brute force is easy."""

from __future__ import annotations

import itertools

import numpy as np

from ctrlgen.constraints.atoms import Floats
from ctrlgen.schedulers import Proposal, Scheduler
from ctrlgen.schedulers.base import Mask
from ctrlgen.testing import ScriptedDenoiser

LETTERS = "abc"


class Words(ScriptedDenoiser):
    """Predicts each letter of a word by the joint distribution, given the letters that are there.

    Args:
        length: Letters of a word.
        seed: Of the joint.
        sharpness: How far it is from all words being alike.
    """

    def __init__(self, length: int, seed: int, sharpness: float = 1.5) -> None:
        super().__init__(lambda rng, shape: np.zeros(shape), longer=())
        self.length, self.looked = length, 0
        words = ["".join(word) for word in itertools.product(LETTERS, repeat=length)]
        mass = np.exp(np.random.default_rng(seed).normal(size=len(words)) * sharpness)
        self.joint = dict(zip(words, (mass / mass.sum()).tolist(), strict=True))

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        """The exact conditionals; behind the word there is fill."""
        self.looked += len(sequences)
        return [self._rows(s, asked) for s, asked in zip(sequences, positions, strict=True)]

    def _rows(self, sequence: list[int], asked: list[int]) -> Floats:
        """The prompt is empty: position i is letter i."""
        rows = np.full((len(asked), self.vocabulary.size), -80.0)
        for row, i in zip(rows, asked, strict=True):
            if i >= self.length:
                row[self.fill_token_id] = 0.0
                continue
            seen = {j: sequence[j] for j in range(self.length) if j != i}
            for letter in LETTERS:
                row[ord(letter)] = np.log(self.mass({**seen, i: ord(letter)}) + 1e-30)
        return rows

    def mass(self, seen: dict[int, int]) -> float:
        """Probability of the words with some letters; masks fit any."""
        return sum(
            p
            for word, p in self.joint.items()
            if all(token in (self.mask_token_id, ord(word[j])) for j, token in seen.items())
        )


class OneByOne(Scheduler):
    """From left to right, whatever was drawn."""

    def select(self, proposal: Proposal) -> Mask:
        """The first open position."""
        return np.arange(len(proposal.confidence)) == 0


def distance(p: dict[str, float], q: dict[str, float]) -> float:
    """Total variation."""
    return sum(abs(p.get(word, 0.0) - q.get(word, 0.0)) for word in {*p, *q}) / 2
