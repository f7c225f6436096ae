"""Fast-dLLM's factor rule: the more commit together, the surer each must be (arXiv:2505.22618)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrlgen.ranges import not_negative
from ctrlgen.schedulers.base import Mask, Proposal, Scheduler, most_confident


@dataclass(frozen=True)
class Factor(Scheduler):
    """Commit the largest n with (n + 1)(1 - c_n) <= factor, c_n the n-th highest confidence.

    The rule as the paper states it; the published code takes one too many where all are sure.

    Args:
        factor: Bound on the product.
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        not_negative(factor=self.factor)

    def select(self, proposal: Proposal) -> Mask:
        """The n most confident positions, and as many as a limited run needs."""
        sure = np.sort(proposal.confidence)[::-1]
        ranks = np.arange(1, len(sure) + 1)
        fits = np.flatnonzero((ranks + 1) * (1 - sure) <= self.factor)
        count = int(fits[-1]) + 1 if len(fits) else 1
        return most_confident(proposal, max(count, proposal.quota()))
