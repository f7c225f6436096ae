"""Delayed caching, decode variant (dKV-Cache, arXiv:2505.15781)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctrlgen.denoisers.caches.base import ActiveBlock, Mask, Rule, Step


@dataclass
class DelayedCache(Rule):
    """A token is stored one step after it was decoded, since its keys jump when it stops being one.

    Masks and what was just decoded are computed in each step; everything in the first two steps of
    a block, and every `refresh` steps.

    Args:
        refresh: Steps from one computation of everything to the next.
        block_length: Positions of a block; None: the whole canvas is one.
    """

    refresh: int = 8
    block_length: int | None = None
    block: ActiveBlock = field(init=False)
    steps: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.block = ActiveBlock(self.block_length)

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again; `changed` adds what was just decoded."""
        self.steps = 0 if self.block.entered(step) else self.steps + 1
        if self.steps < 2 or self.steps % self.refresh == 0:
            return step.all()
        return step.open
