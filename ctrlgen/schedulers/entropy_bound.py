"""EB-Sampler: commit as much as a bound on the joint error allows (arXiv:2505.24857)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrlgen.ranges import not_negative
from ctrlgen.schedulers.base import Mask, Proposal, Scheduler, most_confident


@dataclass(frozen=True)
class EntropyBound(Scheduler):
    """Commit the largest set U of lowest entropy with sum(U) - max(U) <= gamma.

    Args:
        gamma: Bound on the joint mutual information of what is committed together, in nats.
    """

    gamma: float = 0.1

    def __post_init__(self) -> None:
        not_negative(gamma=self.gamma)

    def select(self, proposal: Proposal) -> Mask:
        """The low-entropy set, topped up by confidence where a limited run needs more."""
        order = np.argsort(proposal.entropy, kind="stable")
        # Ascending order: the maximum is the last one, so the sum before it is what counts.
        before = np.cumsum(proposal.entropy[order]) - proposal.entropy[order]
        chosen = np.zeros(len(order), dtype=bool)
        chosen[order[before <= self.gamma]] = True
        return chosen | most_confident(proposal, proposal.quota())
