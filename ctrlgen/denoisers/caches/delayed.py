"""Delayed caching, decode variant (dKV-Cache, arXiv:2505.15781)."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlgen.denoisers.caches.base import Mask, RefreshRule, Step


@dataclass
class DelayedCache(RefreshRule):
    """A token is stored one step after it was decoded, since its keys jump when it stops being one.

    Masks and what was just decoded are computed in each step; everything in the first two steps of
    a block, and every `refresh` steps.

    Args:
        refresh: Steps from one computation of everything to the next.
        block_length: Positions of a block; None: the whole canvas is one.
    """

    refresh: int = 8
    block_length: int | None = None

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again; `changed` adds what was just decoded."""
        return step.all() if self.due(step) else step.open
