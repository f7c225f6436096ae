"""Canvases and classifiers small enough for brute force."""

from __future__ import annotations

import numpy as np
import torch

from ctrlgen.canvas import Canvas, Scaffold
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.testing import ScriptedDenoiser

DENOISER = ScriptedDenoiser(lambda rng, shape: rng.normal(size=shape), longer=("ab", "ba"))
VOCAB = DENOISER.vocabulary.size


def canvas_of(pattern: str, committed: dict[int, int] | None = None, length: int = 6) -> Canvas:
    """A canvas with one gap of `length`, some of its witness or other tokens committed."""
    constraint = Constraint(Grammar(lower_regex(pattern)), DENOISER.vocabulary)
    scaffold = Scaffold(constraint, DENOISER.encode, DENOISER.fill_token_id)
    canvas = Canvas(scaffold, DENOISER.mask_token_id, 60)
    (gap,) = canvas.gaps()
    gap.resize(scaffold.filling(gap, length))
    for position, token in (committed or {}).items():
        gap.committed[position] = gap.witness[position] = token
    return canvas


class Toy:
    """A classifier of two labels that is a function of one-hots and positions.

    Args:
        seed: Of its weights.
        linear: Whether log p of the first label is linear in the one-hots.
        noise_aware: See `Classifier`.
        hidden: Width of the embeddings; one-hot vectors if 0.
    """

    labels = ("wanted", "other")

    def __init__(
        self, seed: int, *, linear: bool = False, noise_aware: bool = True, hidden: int = 0
    ) -> None:
        random = torch.Generator().manual_seed(seed)
        width = hidden or VOCAB
        self.embeddings = torch.eye(VOCAB)
        if hidden:
            self.embeddings = torch.randn(VOCAB, width, generator=random)
        self.weights = torch.rand(200, width, generator=random)
        self.mixing = torch.randn(width, width, generator=random) / 3
        self.linear, self.noise_aware = linear, noise_aware
        self.texts = self.passes = 0

    def check(self, fingerprint: str) -> None:
        assert fingerprint == DENOISER.vocabulary.fingerprint

    def __call__(self, embedded: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        self.texts, self.passes = self.texts + len(embedded), self.passes + 1
        there = embedded * seen[..., None]
        weights = self.weights[: embedded.shape[1]]
        if self.linear:
            score = -(there * weights).sum(dim=(1, 2)) / 5
            return torch.stack([score, torch.zeros_like(score)], dim=1)
        mixed = torch.tanh((there * (weights - 0.5)).sum(dim=1) @ self.mixing) * 3
        return torch.stack([mixed[:, 0] * 2, mixed[:, 1]], dim=1).log_softmax(dim=1)


def brute_force(toy: Toy, ids: list[int], position: int) -> np.ndarray:
    """log p(wanted | ids with v at `position`) - log p(wanted | ids) for all v, (vocab,)."""
    seen = torch.ones(1, len(ids), dtype=torch.bool)
    now = float(toy(toy.embeddings[ids][None], seen)[0, 0])
    out = np.zeros(VOCAB)
    for v in range(VOCAB):
        changed = [*ids[:position], v, *ids[position + 1 :]]
        out[v] = float(toy(toy.embeddings[changed][None], seen)[0, 0]) - now
    return out
