"""Deferred commitment: a window that slides with what commits (arXiv:2601.02076)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrlgen.ranges import at_least_one
from ctrlgen.schedulers.base import Mask, Proposal


@dataclass(frozen=True)
class DeferredWindow:
    """The first open positions, without walls that a block would have.

    Args:
        open: Most open positions in the window.
        span: Most canvas positions in the window, committed and pinned ones included.
    """

    open: int = 16
    span: int = 128

    def __post_init__(self) -> None:
        at_least_one(open=self.open, span=self.span)

    def window(self, proposal: Proposal) -> Mask:
        """The first `open` open positions within `span` of the first of them."""
        near = proposal.offsets - proposal.offsets[0] < self.span
        window: Mask = near & (np.arange(len(near)) < self.open)
        return window
