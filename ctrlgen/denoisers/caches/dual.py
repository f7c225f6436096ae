"""Dual cache (Fast-dLLM, arXiv:2505.22618)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctrlgen.denoisers.caches.base import ActiveBlock, Mask, Rule, Step


@dataclass
class DualCache(Rule):
    """Everything when a block begins; from then on the block alone.

    Args:
        block_length: Positions of a block.
    """

    block_length: int = 32
    block: ActiveBlock = field(init=False)

    def __post_init__(self) -> None:
        self.block = ActiveBlock(self.block_length)

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again."""
        if self.block.entered(step):
            return step.all()
        return step.span(self.block.start, self.block.end)
