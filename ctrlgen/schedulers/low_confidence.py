"""LLaDA's low-confidence remasking: a fixed number of positions a step (arXiv:2502.09992)."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlgen.ranges import at_least_one
from ctrlgen.schedulers.base import Mask, Proposal, Scheduler, most_confident


@dataclass(frozen=True)
class LowConfidence(Scheduler):
    """Commit the most confident positions.

    Args:
        tokens_per_step: Positions a step when the number of steps is not limited.
    """

    tokens_per_step: int = 1

    def __post_init__(self) -> None:
        at_least_one(tokens_per_step=self.tokens_per_step)

    def select(self, proposal: Proposal) -> Mask:
        """The `tokens_per_step`, or the quota of a limited run, most confident positions."""
        quota = proposal.quota()
        count = quota if proposal.steps_left is not None else max(quota, self.tokens_per_step)
        return most_confident(proposal, count)
