"""ReMDM's loop: near the end, rewrite the least sure token again and again (arXiv:2503.00307)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctrlgen.ranges import at_least_one, within_one
from ctrlgen.schedulers.base import Committed, Mask, Proposal, Scheduler
from ctrlgen.schedulers.threshold import Threshold


@dataclass(frozen=True)
class RemaskLoop(Scheduler):
    """Commit with another scheduler; once most is written, rewrite the least sure token each step.

    Args:
        loops: How many tokens are taken back, one a step.
        start: Share of the free positions that is written before the loop begins.
        base: What commits.
    """

    loops: int = 4
    start: float = 0.875
    base: Scheduler = field(default_factory=Threshold)

    def __post_init__(self) -> None:
        at_least_one(loops=self.loops)
        within_one(start=self.start)

    def select(self, proposal: Proposal) -> Mask:
        """What `base` selects."""
        return self.base.select(proposal)

    def revise(self, committed: Committed) -> Mask:
        """The token of lowest confidence when written, while the loop lasts."""
        written = len(committed.written)
        done: int = committed.memory.get("loops", 0)
        late = written >= self.start * (written + committed.open)
        if not written or not late or done >= self.loops or committed.steps_left == 0:
            return committed.none()
        committed.memory["loops"] = done + 1
        return committed.lowest(committed.written, 1)
