"""Denoisers without a model, to test what is built on ctrlgen.

The vocabulary spells every byte, has a few longer tokens that straddle JSON punctuation, and ends
with a mask and a fill token, which spell nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ctrlgen.constraints.atoms import Floats
from ctrlgen.constraints.vocabulary import Vocabulary

LONGER = (
    '{"', '":', '":"', '","', ',"', '"}', '},{"', '"]', '[{"', "}]", '""', "[]", "{}", "true",
    "false", "null", "the", "er", "10", "20", "00", "kind", "name", "é", "日", "😀", "ab", "abc",
)  # fmt: skip
"""Tokens of more than one byte."""

Rows = Callable[[np.random.Generator, tuple[int, int]], Floats]


class ScriptedDenoiser:
    """A denoiser whose logits are whatever a function says.

    Args:
        rows: From a random generator and (positions, vocab) to logits of that shape.
        seed: Of the generator; the logits of a call depend on it and on the canvas alone.
        longer: Tokens of more than one byte.
        max_length: Most tokens of prompt and canvas together.

    Attributes:
        calls: How many forward passes there have been.
    """

    def __init__(
        self,
        rows: Rows,
        seed: int = 0,
        longer: Sequence[str] = LONGER,
        max_length: int = 512,
    ) -> None:
        spelled = [bytes([byte]) for byte in range(256)] + [word.encode() for word in longer]
        self.vocabulary = Vocabulary([*spelled, None, None])
        self.mask_token_id, self.fill_token_id = len(spelled), len(spelled) + 1
        self.max_length = max_length
        self.rows, self.seed, self.calls = rows, seed, 0
        self._ids = {word: i for i, word in enumerate(spelled)}

    def encode(self, text: str) -> list[int]:
        """The longest token that fits, again and again."""
        left, found = text.encode(), []
        while left:
            sizes = range(self.vocabulary.max_token_bytes, 0, -1)
            size = next(n for n in sizes if left[:n] in self._ids)
            found.append(self._ids[left[:size]])
            left = left[size:]
        return found

    def prompt(self, messages: Sequence[dict[str, str]], tools: Sequence[str]) -> list[int]:
        """The last message."""
        return self.encode(messages[-1]["content"])

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        """What `rows` says for each sequence."""
        self.calls += 1
        shapes = [(len(asked), self.vocabulary.size) for asked in positions]
        return [
            self.rows(np.random.default_rng([self.seed, *sequence]), shape)
            for sequence, shape in zip(sequences, shapes, strict=True)
        ]

    def leave_one_out(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        """The same: what `rows` says does not come from the tokens at the positions."""
        return self(sequences, positions)


class RandomDenoiser(ScriptedDenoiser):
    """A denoiser with normally distributed logits.

    Args:
        seed: The logits depend on it and on the canvas alone.
        scale: Standard deviation of the logits.
        longer: Tokens of more than one byte.
        max_length: Most tokens of prompt and canvas together.
    """

    def __init__(
        self,
        seed: int = 0,
        scale: float = 3.0,
        longer: Sequence[str] = LONGER,
        max_length: int = 512,
    ) -> None:
        rows: Rows = lambda rng, shape: scale * rng.normal(size=shape)  # noqa: E731
        super().__init__(rows, seed, longer, max_length)


def _spikes(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """One token of each row is certain, as far as the model knows."""
    rows = rng.normal(size=shape)
    rows[np.arange(shape[0]), rng.integers(shape[1] - 2, size=shape[0])] = 1e30
    return rows


def _one_finite(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """All tokens but one are impossible."""
    rows = np.full(shape, -np.inf)
    rows[np.arange(shape[0]), rng.integers(shape[1] - 2, size=shape[0])] = 0.0
    return rows


def _always(token_id: int, weight: float) -> Rows:
    """Nearly all mass on one token."""

    def rows(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        logits = rng.normal(size=shape)
        logits[:, token_id] += weight
        return logits

    return rows


def _half_impossible(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Each row rules out most tokens, as `finfo.min` or as infinity."""
    rows = rng.normal(size=shape)
    rows[rng.random(shape) < 0.7] = float(np.finfo(np.float32).min)
    rows[rng.random(shape) < 0.3] = -np.inf
    rows[:, -1] = 0.0  # something has to be finite
    return rows


ADVERSARIES: dict[str, Rows] = {
    "constant": lambda rng, shape: np.zeros(shape),
    "spikes": _spikes,
    "one_finite": _one_finite,
    "half_impossible": _half_impossible,
    "fill": _always(-1, 60.0),
    "mask": _always(-2, 1e4),
    "never_fill": _always(-1, -1e6),
    "letter": _always(ord("a"), 40.0),
    "quote": _always(ord('"'), 40.0),
    "brace": _always(ord("{"), 40.0),
    "bracket": _always(ord("["), 40.0),
    "comma": _always(ord(","), 40.0),
    "digit": _always(ord("7"), 40.0),
    "minus": _always(ord("-"), 40.0),
    "escape": _always(ord("\\"), 40.0),
    "continuation": _always(0x80, 40.0),
    "straddling": _always(256 + LONGER.index('},{"'), 40.0),
}
"""Logits that want anything but a valid answer."""
