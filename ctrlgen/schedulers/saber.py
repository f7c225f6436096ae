"""Saber: speed up as the canvas grows surer, take back what fell (arXiv:2510.18165)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ctrlgen.ranges import at_least_one
from ctrlgen.schedulers.base import Committed, Floats, Mask, Proposal, Scheduler, most_confident


@dataclass(frozen=True)
class Saber(Scheduler):
    """Commit what is surer than what was committed so far; take back what lost most.

    Measures the committed token's own probability; the published code measures the best token's.

    Args:
        least: Fewest positions a step.
        back: Of so many commits, one is taken back.
    """

    rescores: ClassVar[bool] = True

    least: int = 2
    back: int = 8

    def __post_init__(self) -> None:
        at_least_one(least=self.least, back=self.back)

    def select(self, proposal: Proposal) -> Mask:
        """Positions above the mean confidence of all commits; at first the `least` surest."""
        past: list[float] = proposal.memory.setdefault("confidences", [])
        chosen = most_confident(proposal, max(self.least, proposal.quota()))
        if past:
            chosen |= proposal.confidence > np.mean(past)
        past += proposal.confidence[chosen].tolist()
        proposal.memory["commits"] = int(chosen.sum())
        return chosen

    def revise(self, committed: Committed) -> Mask:
        """The committed tokens whose probability dropped most since they were last measured."""
        last: dict[int, float] = committed.memory.get("last", {})
        before = np.array([last.get(int(k), w) for k, w in _pairs(committed)])
        drop: Floats = np.where(committed.fresh, 0.0, before - committed.current)
        now = np.where(committed.fresh, committed.written, committed.current)
        committed.memory["last"] = dict(zip(committed.keys.tolist(), now.tolist(), strict=True))
        commits: int = committed.memory.get("commits", 0)
        count = min(commits - 1, max(self.least // 2, math.ceil(commits / self.back)))
        return committed.lowest(-drop, count) & (drop > 0)


def _pairs(committed: Committed) -> zip[tuple[int, float]]:
    return zip(committed.keys.tolist(), committed.written.tolist(), strict=True)
