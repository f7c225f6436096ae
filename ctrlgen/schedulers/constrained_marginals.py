"""Remasking by low constrained marginals: take back what the canvas no longer supports.

Marginals of (model x constraint) as a reason to remask are an idea of arXiv:2607.07026; here they
are those of each committed token predicted without itself, exact within its gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ctrlgen.ranges import within_one
from ctrlgen.schedulers.base import Committed, Mask, Proposal, Scheduler
from ctrlgen.schedulers.threshold import Threshold


@dataclass(frozen=True)
class ConstrainedMarginals(Scheduler):
    """Commit with another scheduler; open again what has become improbable.

    Args:
        below: Constrained marginal below which a committed token opens again.
        base: What commits.
    """

    rescores: ClassVar[bool] = True

    below: float = 0.3
    base: Scheduler = field(default_factory=Threshold)

    def __post_init__(self) -> None:
        within_one(below=self.below)

    def select(self, proposal: Proposal) -> Mask:
        """What `base` selects."""
        return self.base.select(proposal)

    def revise(self, committed: Committed) -> Mask:
        """Tokens whose marginal is low now; not those just committed."""
        return ~committed.fresh & (committed.current < self.below)
