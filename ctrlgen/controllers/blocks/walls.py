"""Blocks with the walls of the schema: one or more whole slots at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrlgen.ranges import at_least_one
from ctrlgen.schedulers.base import Mask, Proposal


@dataclass(frozen=True)
class SchemaWalls:
    """The first slots that are still open; a value is finished before the next one begins.

    Args:
        slots: How many of them.
    """

    slots: int = 1

    def __post_init__(self) -> None:
        at_least_one(slots=self.slots)

    def window(self, proposal: Proposal) -> Mask:
        """The open positions of those slots."""
        window: Mask = np.isin(proposal.gaps, np.unique(proposal.gaps)[: self.slots])
        return window
