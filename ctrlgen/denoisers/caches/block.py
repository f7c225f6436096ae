"""Keys and values of block-causal models: exact (BD3-LM, arXiv:2503.09573; SDAR, 2510.06303)."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlgen.denoisers.caches.base import Mask, Rule, Step


@dataclass
class BlockCache(Rule):
    """From the first block in which a token has changed.

    No position sees a later block, so nothing before it can have changed, finished or not.

    Args:
        block_length: The model's own.
    """

    block_length: int

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again."""
        first = int(step.changed.argmax()) if step.changed.any() else len(step.ids)
        return step.span(first - first % self.block_length)
