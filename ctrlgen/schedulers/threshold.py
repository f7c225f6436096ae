"""Fast-dLLM's confidence threshold (arXiv:2505.22618)."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlgen.ranges import within_one
from ctrlgen.schedulers.base import Mask, Proposal, Scheduler, most_confident


@dataclass(frozen=True)
class Threshold(Scheduler):
    """Commit every position above a confidence, and always the most confident one.

    Args:
        threshold: Constrained probability above which a token commits.
    """

    threshold: float = 0.9

    def __post_init__(self) -> None:
        within_one(threshold=self.threshold)

    def select(self, proposal: Proposal) -> Mask:
        """All sure positions; the most confident ones where a limited run needs more."""
        return (proposal.confidence >= self.threshold) | most_confident(proposal, proposal.quota())
