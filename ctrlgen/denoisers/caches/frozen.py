"""FreeCache (FlashDLM, arXiv:2505.21467)."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlgen.denoisers.caches.base import BlockRule, Mask, Step


@dataclass
class FrozenCache(BlockRule):
    """Everything once; then the active block and all that follows it.

    A finished block stays as it is for good. Its last tokens are computed once more before, since
    what was stored for them are the keys and values of masks.

    Args:
        block_length: Positions of a block.
    """

    block_length: int = 32

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again."""
        new = self.block.start < 0
        self.block.entered(step)
        return step.all() if new else step.span(self.block.start)
