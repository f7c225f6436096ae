"""Prophet: stop early once the answer has converged (arXiv:2508.19982)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ctrlgen.schedulers.base import Mask, Proposal, Scheduler
from ctrlgen.schedulers.threshold import Threshold


@dataclass(frozen=True)
class Prophet(Scheduler):
    """Commit everything when the best token leads the second by enough, on average.

    The open positions are the answer region: the scaffold around them is pinned. The lead is the
    difference of constrained log marginals, in nats.

    Args:
        gaps: Lead that suffices in the first, second and last third of the run.
        base: What commits until then.
    """

    gaps: tuple[float, float, float] = (7.5, 5.0, 2.5)
    base: Scheduler = field(default_factory=Threshold)

    def select(self, proposal: Proposal) -> Mask:
        """All positions once the lead is large enough; before that, what `base` selects."""
        _, logs = proposal.measure_top(2)
        lead = logs[:, 0] - np.maximum(logs[:, -1], -30.0)  # a sole candidate leads by 30 nats
        wanted = self.gaps[min(2, int(3 * proposal.progress))]
        if lead.mean() >= wanted:
            return np.ones(len(proposal.confidence), dtype=bool)
        return self.base.select(proposal)
