"""WINO: draft boldly, verify with shadows, take back what fails (Wide-In, Narrow-Out)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ctrlgen.ranges import within_one
from ctrlgen.schedulers.base import Committed, Mask, Proposal, Scheduler, most_confident


@dataclass(frozen=True)
class Wino(Scheduler):
    """Commit above a low threshold; take back what falls below a high one without itself.

    Fewer tokens are taken back than were committed in the step before, so that each step gains.

    Args:
        draft: Confidence above which a token is committed.
        keep: Confidence that it must have in later steps.
        share: Largest share of the open positions that is committed at once.
        bounds: Fewest and most positions that this share may come to.
    """

    rescores: ClassVar[bool] = True

    draft: float = 0.6
    keep: float = 0.9
    share: float = 0.7
    bounds: tuple[int, int] = (5, 20)

    def __post_init__(self) -> None:
        within_one(draft=self.draft, keep=self.keep, share=self.share)

    def select(self, proposal: Proposal) -> Mask:
        """The most confident positions above `draft`, up to the cap."""
        cap = int(np.clip(self.share * len(proposal.confidence), *self.bounds))
        count = int((proposal.confidence > self.draft).sum())
        chosen = most_confident(proposal, max(1, min(count, cap), proposal.quota()))
        proposal.memory["gained"] = (proposal.memory.get("gained", (0, 0))[1], int(chosen.sum()))
        return chosen

    def revise(self, committed: Committed) -> Mask:
        """Tokens whose shadow is less sure than `keep`, the least sure first."""
        before, _ = committed.memory.get("gained", (0, 0))
        failing = int((committed.current < self.keep).sum())
        if before <= 1:  # nothing was drafted in parallel
            return committed.none()
        return committed.lowest(committed.current, min(failing, before - 1))
