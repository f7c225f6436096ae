"""What a scheduler sees and answers."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _no_numbers() -> Ints:
    return np.zeros(0, dtype=np.int64)


def _blind(actions: Sequence[Mask]) -> list[float]:
    return [0.0] * len(actions)


def _no_top(k: int) -> tuple[Ints, Floats]:
    return np.zeros((0, k), dtype=np.int64), np.zeros((0, k))


@dataclass(frozen=True)
class Proposal:
    """The open positions of a canvas that more than one token could fill, in canvas order.

    Args:
        confidence: Constrained marginal of the proposed token, (positions,).
        measure_entropy: Computes `entropy`, which not every scheduler asks for.
        steps_left: Forward passes still allowed, this one included; None when unlimited.
        tokens: The proposed tokens, (positions,).
        pieces: Their bytes; empty for fill.
        keys: A number for each position that stays its own from step to step, (positions,).
        offsets: Where each position lies on the canvas, (positions,).
        gaps: Number of the gap that each position lies in, (positions,).
        measure_top: The k most probable tokens of each constrained marginal and their logs, both
            (positions, k).
        committed: Positions that were committed by choice so far.
        total_open: All open positions of the canvas, where these are only some; None: these.
        memory: What the scheduler noted in earlier steps of this canvas.
        look_ahead: For each of several sets of positions, masks of (positions,): the mean entropy
            of what would stay open were their tokens committed, in nats. Takes a forward pass for
            each set. By default all sets are alike.
        rng: What to draw with.
    """

    confidence: Floats
    measure_entropy: Callable[[], Floats]
    steps_left: int | None = None
    tokens: Ints = field(default_factory=_no_numbers)
    pieces: tuple[bytes, ...] = ()
    keys: Ints = field(default_factory=_no_numbers)
    offsets: Ints = field(default_factory=_no_numbers)
    gaps: Ints = field(default_factory=_no_numbers)
    measure_top: Callable[[int], tuple[Ints, Floats]] = _no_top
    committed: int = 0
    total_open: int | None = None
    memory: dict[str, Any] = field(default_factory=dict)
    look_ahead: Callable[[Sequence[Mask]], list[float]] = _blind
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    @cached_property
    def entropy(self) -> Floats:
        """Entropy of the constrained marginals in nats, (positions,)."""
        return self.measure_entropy()

    @property
    def progress(self) -> float:
        """Share of the canvas' free positions that is committed, 0 to 1."""
        return self.committed / max(1, self.committed + self.open)

    @property
    def open(self) -> int:
        """Open positions of the whole canvas."""
        return len(self.confidence) if self.total_open is None else self.total_open

    def quota(self) -> int:
        """Fewest positions to commit now so that the remaining steps suffice; at least one."""
        if self.steps_left is None:
            return 1
        return math.ceil(self.open / max(self.steps_left, 1))

    def within(self, window: Mask) -> Proposal:
        """The part of the proposal that lies in a window, (positions,)."""
        top, entropy, look = self.measure_top, self.measure_entropy, self.look_ahead

        def some_top(k: int) -> tuple[Ints, Floats]:
            tokens, logs = top(k)
            return tokens[window], logs[window]

        def look_ahead(actions: Sequence[Mask]) -> list[float]:
            whole = np.zeros((len(actions), len(window)), dtype=bool)
            whole[:, window] = actions
            return look(list(whole))

        return replace(
            self,
            confidence=self.confidence[window],
            measure_entropy=lambda: entropy()[window],
            tokens=self.tokens[window],
            pieces=tuple(itertools.compress(self.pieces, window)),
            keys=self.keys[window],
            offsets=self.offsets[window],
            gaps=self.gaps[window],
            measure_top=some_top,
            look_ahead=look_ahead,
            total_open=self.open,
        )


@dataclass(frozen=True)
class Committed:
    """The committed positions of a canvas that may be opened again, in canvas order.

    Args:
        written: Constrained marginal of each token when it was committed, (positions,).
        fresh: Those committed in this step, (positions,).
        keys: As in `Proposal`, (positions,).
        current: Constrained marginal of each token now, predicted without it; 1 where fresh;
            (positions,). Only for schedulers that rescore; else all 1.
        open: Positions of the canvas that are open now.
        steps_left: Forward passes still allowed after this one; None when unlimited.
        memory: As in `Proposal`.
    """

    written: Floats
    fresh: Mask
    keys: Ints
    current: Floats
    open: int
    steps_left: int | None = None
    memory: dict[str, Any] = field(default_factory=dict)

    def none(self) -> Mask:
        """An answer that opens nothing."""
        return np.zeros(len(self.written), dtype=bool)

    def lowest(self, score: Floats, count: int) -> Mask:
        """The `count` positions with the lowest score."""
        chosen = self.none()
        chosen[np.argsort(score, kind="stable")[: max(count, 0)]] = True
        return chosen


class Scheduler(ABC):
    """Chooses positions; what it has to remember goes into `memory`, so it serves all canvases."""

    rescores: ClassVar[bool] = False
    """Whether committed tokens are predicted again in every forward pass."""

    hides: ClassVar[bool] = True
    """Whether they are predicted without themselves."""

    @abstractmethod
    def select(self, proposal: Proposal) -> Mask:
        """Which positions commit now, (positions,); at least one.

        A limited run must end in time: the loop tops up what is less than `proposal.quota()`.
        """

    def revise(self, committed: Committed) -> Mask:
        """Which committed positions open again, (positions,); none unless overridden."""
        return committed.none()

    def rewrites(self, confidence: Floats) -> Mask:
        """Which of the positions just opened get another token in the same step, (positions,).

        None unless overridden. Only where committed tokens are predicted again.

        Args:
            confidence: Constrained marginal of the token that would be written, (positions,).
        """
        return np.zeros(len(confidence), dtype=bool)

    def goes_on(self, memory: dict[str, Any]) -> bool:
        """Whether to look again though nothing is open; not unless overridden."""
        return False


def most_confident(proposal: Proposal, count: int) -> Mask:
    """The `count` positions with the highest confidence."""
    chosen = np.zeros(len(proposal.confidence), dtype=bool)
    chosen[np.argsort(-proposal.confidence, kind="stable")[:count]] = True
    return chosen
