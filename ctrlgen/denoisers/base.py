"""The protocol of denoisers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike

from ctrlgen.constraints.array_log_probs import ArrayLogProbs
from ctrlgen.constraints.log_probs import LogProbs, Reals
from ctrlgen.constraints.vocabulary import Vocabulary


class KeptLogits(Protocol):
    """Logits that stay where they are; `np.asarray` makes an array of them."""

    @property
    def shape(self) -> tuple[int, int]:
        """(positions, vocab)."""
        ...

    def __len__(self) -> int:
        """How many positions there are."""
        ...

    def __getitem__(self, positions: slice) -> KeptLogits:
        """Some of the rows."""
        ...

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Reals:
        """All rows."""
        ...

    def log_probs(self, never: int | None = None) -> LogProbs:
        """Their log-softmax, without a token that is no answer."""
        ...


Logits = Reals | KeptLogits
"""What a denoiser returns of one sequence, (positions, vocab)."""


def log_probs_of(logits: Logits, never: int | None) -> LogProbs:
    """The log-softmax of logits, without a token that is no answer, if there is one."""
    if isinstance(logits, np.ndarray):
        return ArrayLogProbs(logits, never)
    return logits.log_probs(never)


class Denoiser(Protocol):
    """A model that predicts the tokens under the masks of a sequence."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The bytes of its tokens."""
        ...

    @property
    def mask_token_id(self) -> int:
        """What open positions hold."""
        ...

    @property
    def fill_token_id(self) -> int:
        """What stands behind the end of a value and is deleted from the answer."""
        ...

    @property
    def max_length(self) -> int:
        """Most tokens of prompt and canvas together."""
        ...

    def encode(self, text: str) -> list[int]:
        """The model's own tokens of a piece of text, without special tokens."""
        ...

    def prompt(self, messages: Sequence[dict[str, str]], tools: Sequence[str]) -> list[int]:
        """Tokens that go before the canvas.

        Args:
            messages: Chat messages with `role` and `content`.
            tools: Names of the tools on offer.
        """
        ...

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> Sequence[Logits]:
        """Logits at the asked positions of each sequence.

        Returns:
            One (positions, vocab) array a sequence, or what `np.asarray` makes one of where they
            are kept elsewhere; row j predicts the token at positions[j].
        """
        ...


@runtime_checkable
class RescoringDenoiser(Denoiser, Protocol):
    """A denoiser that can also predict a token that is there as if it were not."""

    def leave_one_out(
        self, sequences: list[list[int]], positions: list[list[int]]
    ) -> Sequence[Logits]:
        """As a call, but a token at an asked position is not seen by its own prediction.

        Returns:
            One (positions, vocab) array a sequence; at masked positions the same as a call.
        """
        ...
