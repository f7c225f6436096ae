"""Prefix cache (Fast-dLLM, arXiv:2505.22618)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctrlgen.denoisers.caches.base import ActiveBlock, Mask, Rule, Step


@dataclass
class PrefixCache(Rule):
    """Everything when a block begins; from then on the block and all that follows it.

    Args:
        block_length: Positions of a block.
    """

    block_length: int = 32
    block: ActiveBlock = field(init=False)

    def __post_init__(self) -> None:
        self.block = ActiveBlock(self.block_length)

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again."""
        return step.all() if self.block.entered(step) else step.span(self.block.start)
