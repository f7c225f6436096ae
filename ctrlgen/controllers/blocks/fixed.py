"""Fixed blocks from left to right, as LLaDA's semi-autoregressive decoding (arXiv:2502.09992)."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlgen.ranges import at_least_one
from ctrlgen.schedulers.base import Mask, Proposal


@dataclass(frozen=True)
class FixedBlocks:
    """Blocks of so many canvas positions, pinned ones included; each is finished before the next.

    Args:
        length: Positions of a block.
    """

    length: int = 32

    def __post_init__(self) -> None:
        at_least_one(length=self.length)

    def window(self, proposal: Proposal) -> Mask:
        """The open positions of the first block that has any."""
        block = proposal.offsets // self.length
        window: Mask = block == block.min()
        return window
