"""The protocol of block controllers: where tokens may commit in this step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from ctrlgen.schedulers.base import Mask, Proposal


class Block(Protocol):
    """Opens a window on the canvas; what it has to remember goes into the proposal's memory."""

    def window(self, proposal: Proposal) -> Mask:
        """The open positions that may commit now, (positions,); at least one."""
        ...


def kept(proposal: Proposal, draw: Callable[[Proposal], Mask]) -> Mask:
    """The block drawn earlier, for as long as anything in it is open; then one drawn anew."""
    window: Mask = np.isin(proposal.keys, proposal.memory.get("block", ()))
    if not window.any():
        window = draw(proposal)
        proposal.memory["block"] = proposal.keys[window]
        proposal.memory["blocks"] = proposal.memory.get("blocks", 0) + 1
    return window
