"""Many rollouts at little cost: those that have chosen alike so far are one canvas.

What follows from a choice is a function of the canvas and its random numbers, so the rollouts of a
prompt are a tree. They share a canvas until they choose differently, and common random numbers take
the noise of the draws out of the comparison.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ctrlgen.constraints.atoms import Floats
from ctrlgen.loop import Look, Seat, advance, fill, look_at

KEPT = 512 << 20
"""Bytes of logits that are kept."""

TOGETHER = 8
"""Sequences a pass; those of like length go together, as padding costs time."""


class Remembering:
    """A denoiser that looks at equal sequences once.

    What is handed out cannot be written to. Passes of caching denoisers depend on the passes
    before, so those are not to be wrapped.

    Args:
        denoiser: Any `Denoiser`; all else that it has is reached through this one.

    Attributes:
        asked: Sequences that were asked about.
        made: Those that the denoiser itself had to look at.
    """

    def __init__(self, denoiser: Any) -> None:
        self.denoiser = denoiser
        self.asked = self.made = self._size = 0
        self._known: OrderedDict[tuple[tuple[int, ...], tuple[int, ...]], Floats] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.denoiser, name)

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        """What the denoiser says, or said."""
        keys = [(tuple(s), tuple(p)) for s, p in zip(sequences, positions, strict=True)]
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        self.asked, self.made = self.asked + len(keys), self.made + len(missing)
        out = {key: self._known[key] for key in keys if key in self._known}
        missing.sort(key=lambda key: len(key[0]))
        for first in range(0, len(missing), TOGETHER):
            part = missing[first : first + TOGETHER]
            found = self.denoiser([list(s) for s, _ in part], [list(p) for _, p in part])
            for key, rows in zip(part, found, strict=True):
                rows.flags.writeable = False
                out[key] = self._known[key] = rows
                self._size += rows.nbytes
        while self._size > KEPT:
            _, rows = self._known.popitem(last=False)
            self._size -= rows.nbytes
        return [out[key] for key in keys]


@dataclass(frozen=True, eq=False)
class Decision:
    """One choice of a policy.

    Args:
        features: Of everything that could be chosen, (choices, features).
        chosen: Which one was.
    """

    features: Floats
    chosen: int


@dataclass(eq=False)
class Chooser:
    """What a policy's scores come to: a given answer, or a draw by their softmax.

    Args:
        rng: What is drawn with.
        answer: What to choose; None to draw.

    Attributes:
        features: Of the last choice, (choices, features); None before one.
        weights: Probability of each, (choices,).
        chosen: Which one it was.
    """

    rng: np.random.Generator
    answer: int | None = None
    features: Floats | None = None
    weights: Floats = field(default_factory=lambda: np.ones(1))
    chosen: int = 0

    def __call__(self, features: Floats, scores: Floats) -> int:
        """The choice."""
        weights = np.exp(scores - scores.max())
        self.features, self.weights = features, weights / weights.sum()
        self.chosen = self.draw() if self.answer is None else self.answer
        return self.chosen

    def draw(self) -> int:
        """A draw of the last choice."""
        return int(self.rng.choice(len(self.weights), p=self.weights))


@dataclass(frozen=True, eq=False)
class Branch:
    """Rollouts of one prompt that have chosen alike so far.

    Args:
        seat: Their canvas; its block asks `chooser`.
        chooser: Shared by all branches of the prompt.
        rollouts: How many there are.
        decisions: What they have chosen.
    """

    seat: Seat
    chooser: Chooser
    rollouts: int = 1
    decisions: tuple[Decision, ...] = ()

    def step(self, look: Look) -> list[Branch]:
        """What follows from a pass: a branch for each of the choices that are made."""
        before = branched(self.seat) if self.rollouts > 1 else self.seat
        chooser = self.chooser
        chooser.answer = chooser.features = None
        advance(self.seat, look)
        if chooser.features is None:
            return [self]
        features, own = chooser.features, chooser.chosen
        drawn = [own, *(chooser.draw() for _ in range(self.rollouts - 1))]
        out = []
        for choice in dict.fromkeys(drawn):
            seat = self.seat
            if choice != own:
                seat, chooser.answer = branched(before), choice
                advance(seat, *look_at([seat]))
            decisions = (*self.decisions, Decision(features, choice))
            out.append(Branch(seat, chooser, drawn.count(choice), decisions))
        return out


def branched(seat: Seat) -> Seat:
    """A seat at the same point, that goes on by itself and with the same random numbers."""
    return replace(seat, run=seat.run.copy(copy.deepcopy(seat.run.rng)))


def play(branches: Sequence[Branch]) -> list[list[Branch]]:
    """Denoise to the end, in shared passes; the ends that each branch came to."""
    growing = [[branch] for branch in branches]
    ended: list[list[Branch]] = [[] for _ in branches]
    while any(growing):
        for own, done in zip(growing, ended, strict=True):
            done += [branch for branch in own if branch.seat.finish()]
            own[:] = [branch for branch in own if branch.seat.run.finish_reason is None]
        active = [branch for own in growing for branch in own]
        if active:
            looks = iter(look_at([branch.seat for branch in active]))
            growing = [[new for b in own for new in b.step(next(looks))] for own in growing]
    for done in ended:
        for branch in done:
            fill(branch.seat.run)
    return ended
