"""AdaBlock: a block ends where the model is sure to write a delimiter (arXiv:2509.26432)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrlgen.controllers.blocks.base import kept
from ctrlgen.ranges import at_least_one
from ctrlgen.schedulers.base import Mask, Proposal


@dataclass(frozen=True)
class AdaBlock:
    """Blocks that end at a delimiter, or after `length` open positions where none is sure.

    Args:
        delimiters: Texts that end a block; a token counts when it ends with one.
        sure: Confidence that a delimiter must have.
        length: Open positions of a block without one.
        reach: Share of the open positions that is searched for a delimiter.
    """

    delimiters: tuple[bytes, ...] = (b"\n", b",", b"}", b"]", b'"')
    sure: float = 0.3
    length: int = 16
    reach: float = 0.25

    def __post_init__(self) -> None:
        at_least_one(length=self.length)

    def window(self, proposal: Proposal) -> Mask:
        """The open positions of the current block."""
        return kept(proposal, self._draw)

    def _draw(self, proposal: Proposal) -> Mask:
        open_ = len(proposal.confidence)
        near = max(1, int(self.reach * (open_ + proposal.committed)))
        ends = np.array([piece.endswith(self.delimiters) for piece in proposal.pieces[:near]])
        score = np.where(ends, proposal.confidence[:near], 0.0)
        best = int(score.argmax())
        size = best + 1 if score[best] >= self.sure else self.length
        return np.arange(open_) < size
