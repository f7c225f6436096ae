"""Delayed caching, greedy variant (dKV-Cache, arXiv:2505.15781)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrlgen.constraints.atoms import Ints
from ctrlgen.denoisers.caches.base import Mask, RefreshRule, Step


@dataclass
class GreedyCache(RefreshRule):
    """As delayed caching, but of the masks only those near to what was just decoded are computed.

    The published variant knows the order of decoding beforehand and computes the positions of this
    step. A scheduler decides later; its likely positions are the window itself, and where that is
    empty the first open position and its neighbours.

    Args:
        window: Open neighbours of a decoded position, half of them on each side.
        refresh: Steps from one computation of everything to the next.
        block_length: Positions of a block; None: the whole canvas is one.
    """

    window: int = 4
    refresh: int = 2
    block_length: int | None = None

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again."""
        if self.due(step):
            return step.all()
        decoded = step.changed | step.before
        near = self._near(np.flatnonzero(decoded & ~step.open), step)
        if not near.any():
            near = self._near(np.array([step.first_open]), step)
        return near | decoded

    def _near(self, centres: Ints, step: Step) -> Mask:
        """Open positions next to the centres, and open centres."""
        out, where = step.span(0, 0), np.flatnonzero(step.open)
        half = self.window // 2
        for left, right in zip(
            np.searchsorted(where, centres), np.searchsorted(where, centres, "right"), strict=True
        ):
            out[where[max(left - self.window + half, 0) : right + half]] = True
        return out
