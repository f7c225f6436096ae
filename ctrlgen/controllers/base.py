"""The protocol of soft controllers: guidance, penalties, user callbacks."""

from __future__ import annotations

from typing import Protocol

from ctrlgen.canvas import Canvas
from ctrlgen.constraints.atoms import Floats


class Controller(Protocol):
    """Changes logits before the hard constraint sees them, so it can never break it."""

    def __call__(self, canvas: Canvas, logits: Floats) -> Floats:
        """Logits of the open positions, (positions, vocab) in canvas order, changed or not."""
        ...
