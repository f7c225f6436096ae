"""LLaDA2.1's token editing: the model, seeing a token, would write another one there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ctrlgen.ranges import not_negative, within_one
from ctrlgen.schedulers.base import Committed, Floats, Mask, Proposal, Scheduler, most_confident


@dataclass(frozen=True)
class TokenEditing(Scheduler):
    """Commit above a threshold; overwrite what the model, seeing it, gives to other tokens.

    Only for models that were trained to correct visible tokens: others copy what they see. A token
    is taken back when the constraint and the tokens around it leave it less than `1 - edit`. What
    replaces it comes from the most probable valid filling of its gap, in the same step, if it is
    surer than `edit`; else the position stays open. As in the published decoding, editing goes on
    after the last mask for as long as it changes something.

    Args:
        threshold: Confidence above which a mask is filled.
        edit: Constrained probability above which other tokens, and then one of them, win.
        post_steps: Most forward passes after the last mask.
    """

    rescores: ClassVar[bool] = True
    hides: ClassVar[bool] = False

    threshold: float = 0.95
    edit: float = 0.9
    post_steps: int = 16

    def __post_init__(self) -> None:
        within_one(threshold=self.threshold, edit=self.edit)
        not_negative(post_steps=self.post_steps)

    def select(self, proposal: Proposal) -> Mask:
        """All sure positions, and the most confident one."""
        return (proposal.confidence >= self.threshold) | most_confident(proposal, proposal.quota())

    def revise(self, committed: Committed) -> Mask:
        """Tokens that are left with less than `1 - edit`."""
        memory, opened = committed.memory, committed.current < 1 - self.edit
        # The look that fills the last mask has not seen what it wrote: it counts as a change.
        memory["changed"] = bool((opened | committed.fresh).any())
        if not committed.open:
            memory["finished"] = memory.get("finished", 0) + 1
        done = memory.get("finished", 0) > self.post_steps + 1
        return committed.none() if done else opened

    def rewrites(self, confidence: Floats) -> Mask:
        """Those surer than `edit`."""
        sure: Mask = confidence > self.edit
        return sure

    def goes_on(self, memory: dict[str, Any]) -> bool:
        """While the last look changed something, up to the limit."""
        return bool(memory.get("changed")) and memory.get("finished", 0) <= self.post_steps
