"""The protocol of soft controllers: guidance, penalties, user callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ctrlgen.canvas import Canvas
from ctrlgen.constraints.atoms import Floats

Forward = Callable[[list[list[int]], list[list[int]]], list[Floats]]
"""What a denoiser does: token sequences and positions to logits at those positions."""


class Controller(Protocol):
    """Changes logits before the hard constraint sees them, so it can never break it.

    Any function `(canvas, logits) -> logits` is one. Rows belong to the positions of all gaps that
    are not settled, in canvas order; a gap's committed positions have rows too, which count for
    nothing. `ctrlgen.controllers.regions` tells which row belongs to which position.
    """

    def __call__(self, canvas: Canvas, logits: Floats) -> Floats:
        """Logits of the open positions, (positions, vocab) in canvas order, changed or not."""
        ...
