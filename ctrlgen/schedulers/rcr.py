"""Running confidence remasking: write all, keep the surest (MDPO, arXiv:2508.13148)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ctrlgen.ranges import at_least_one
from ctrlgen.schedulers.base import Committed, Mask, Proposal, Scheduler


@dataclass(frozen=True)
class RunningConfidence(Scheduler):
    """Write every open position in every step, then take back the least sure ones of the canvas.

    What was written early and less sure than what came later is taken back. A confidence is the one
    at the time of writing; it is not measured again. The number that stays grows linearly.

    Args:
        steps: Steps until everything stays, in a run without a limit of its own.
    """

    steps: int = 8

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps)

    def select(self, proposal: Proposal) -> Mask:
        """Every open position."""
        proposal.memory["step"] = proposal.memory.get("step", 0) + 1
        return np.ones(len(proposal.confidence), dtype=bool)

    def revise(self, committed: Committed) -> Mask:
        """The least sure positions, so many that the steps that are left can fill them."""
        step: int = committed.memory.get("step", 0)
        left = committed.steps_left
        if left is None:
            left = self.steps - step
        share = max(0, left) / (max(0, left) + step) if step else 0.0
        return committed.lowest(committed.written, math.floor(share * len(committed.written)))
