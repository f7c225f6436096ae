"""No blocks: the scaffold holds the canvas together, so every slot may denoise at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrlgen.schedulers.base import Mask, Proposal


@dataclass(frozen=True)
class WholeCanvas:
    """Tokens may commit anywhere."""

    def window(self, proposal: Proposal) -> Mask:
        """Every open position."""
        return np.ones(len(proposal.confidence), dtype=bool)
