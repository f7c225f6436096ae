"""LLaDA2.1's token editing: the model, seeing a token, would write another one there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrlgen.schedulers.base import Committed, Mask, Proposal, Scheduler, most_confident


@dataclass(frozen=True)
class TokenEditing(Scheduler):
    """Commit above a threshold; open what the model, seeing it, gives to other tokens.

    Only for models that were trained to correct visible tokens: others copy what they see. A token
    is opened and written anew in the next step, by way of a mask, so that the constraint and the
    tokens around it have a say; the published decoding puts the other token there at once, and
    goes on editing for up to 16 steps after the last mask.

    Args:
        threshold: Confidence above which a mask is filled.
        edit: Constrained probability of all other tokens above which a token is opened.
    """

    rescores: ClassVar[bool] = True
    hides: ClassVar[bool] = False

    threshold: float = 0.95
    edit: float = 0.9

    def select(self, proposal: Proposal) -> Mask:
        """All sure positions, and the most confident one."""
        return (proposal.confidence >= self.threshold) | most_confident(proposal, proposal.quota())

    def revise(self, committed: Committed) -> Mask:
        """Tokens that are left with less than `1 - edit`."""
        opened: Mask = committed.current < 1 - self.edit
        return opened
