"""The protocol of denoisers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ctrlgen.constraints.atoms import Floats
from ctrlgen.constraints.vocabulary import Vocabulary


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

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        """Logits at the asked positions of each sequence.

        Returns:
            One (positions, vocab) array a sequence; row j predicts the token at positions[j].
        """
        ...


@runtime_checkable
class RescoringDenoiser(Denoiser, Protocol):
    """A denoiser that can also predict a token that is there as if it were not."""

    def leave_one_out(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        """As a call, but a token at an asked position is not seen by its own prediction.

        Returns:
            One (positions, vocab) array a sequence; at masked positions the same as a call.
        """
        ...
