"""The protocol of block controllers: where tokens may commit in this step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from ctrlgen.errors import OptionError
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


def at_least_one(**numbers: int) -> None:
    """Refuse a length or number that leaves a window empty.

    Raises:
        OptionError: If one is no whole number of 1 or more.
    """
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise OptionError(f"{name} must be a whole number of 1 or more, not {value!r}")
