"""The protocol of classifiers that can guide."""

from __future__ import annotations

from typing import Protocol

import torch


class Classifier(Protocol):
    """Says how likely each label is for a text given as token embeddings.

    Guidance differentiates it by the embeddings and asks it about single tokens.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """What it tells apart."""
        ...

    @property
    def embeddings(self) -> torch.Tensor:
        """Its embedding of every token of the denoiser's vocabulary, (vocab, hidden)."""
        ...

    @property
    def noise_aware(self) -> bool:
        """Whether it was trained on unfinished canvases, with mask and fill tokens in the text.

        One that was not sees, where the canvas is open, the mean embedding under the model's
        distribution, and no fill at all.
        """
        ...

    def check(self, fingerprint: str) -> None:
        """Raise ModelError if it was made for another vocabulary than that of this fingerprint."""
        ...

    def __call__(self, embedded: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the labels, at most 0; (batch, labels).

        Args:
            embedded: (batch, length, hidden).
            seen: False at positions that are not there, (batch, length).
        """
        ...
