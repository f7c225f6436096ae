"""Prefix cache (Fast-dLLM, arXiv:2505.22618)."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlgen.denoisers.caches.base import BlockRule, Mask, Step


@dataclass
class PrefixCache(BlockRule):
    """Everything when a block begins; from then on the block and all that follows it.

    Args:
        block_length: Positions of a block.
    """

    block_length: int = 32

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again."""
        return step.all() if self.block.entered(step) else step.span(self.block.start)
