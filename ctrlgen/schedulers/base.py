"""What a scheduler sees and answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Proposal:
    """The open positions of a canvas that more than one token could fill.

    Args:
        confidence: Constrained marginal of the proposed token, (positions,).
        measure_entropy: Computes `entropy`, which not every scheduler asks for.
        steps_left: Forward passes still allowed, this one included; None when unlimited.
    """

    confidence: NDArray[np.float64]
    measure_entropy: Callable[[], NDArray[np.float64]]
    steps_left: int | None = None

    @cached_property
    def entropy(self) -> NDArray[np.float64]:
        """Entropy of the constrained marginals in nats, (positions,)."""
        return self.measure_entropy()

    def quota(self) -> int:
        """Fewest positions to commit now so that the remaining steps suffice; at least one."""
        if self.steps_left is None:
            return 1
        return math.ceil(len(self.confidence) / max(self.steps_left, 1))


class Scheduler(Protocol):
    """Chooses positions; pure, so that one instance serves all canvases."""

    def select(self, proposal: Proposal) -> Mask:
        """Which positions commit now, (positions,); at least `proposal.quota()` of them."""
        ...


def most_confident(proposal: Proposal, count: int) -> Mask:
    """The `count` positions with the highest confidence."""
    chosen = np.zeros(len(proposal.confidence), dtype=bool)
    chosen[np.argsort(-proposal.confidence, kind="stable")[:count]] = True
    return chosen
