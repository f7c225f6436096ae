"""Dual cache (Fast-dLLM, arXiv:2505.22618)."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlgen.denoisers.caches.base import BlockRule, Mask, Step


@dataclass
class DualCache(BlockRule):
    """Everything when a block begins; from then on the block alone.

    Args:
        block_length: Positions of a block.
    """

    block_length: int = 32

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again."""
        if self.block.entered(step):
            return step.all()
        return step.span(self.block.start, self.block.end)
