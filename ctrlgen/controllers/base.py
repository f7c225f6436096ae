"""The protocol of soft controllers: guidance, penalties, user callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.constraints.atoms import Floats
from ctrlgen.denoisers.base import Logits
from ctrlgen.errors import GenerationError

Forward = Callable[[list[list[int]], list[list[int]]], Sequence[Logits]]
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


@runtime_checkable
class BatchController(Controller, Protocol):
    """A controller that is cheaper for several canvases at once, since it runs a model."""

    def batch(self, canvases: Sequence[Canvas], logits: Sequence[Floats]) -> list[Floats]:
        """What a call would return for each canvas."""
        ...


def control(
    chains: Sequence[tuple[Controller, ...]], canvases: Sequence[Canvas], logits: Sequence[Logits]
) -> list[Floats]:
    """Logits of each canvas after the controllers of its chain, in order; (positions, vocab).

    Canvases that share a chain go through it together.

    Raises:
        GenerationError: If a controller returns an array of another shape.
    """
    out = [np.array(rows, dtype=np.float64) for rows in logits]
    for chain in {id(chain): chain for chain in chains}.values():
        members = [i for i, other in enumerate(chains) if other is chain]
        for controller in chain:
            rows = _together(controller, [canvases[i] for i in members], [out[i] for i in members])
            for i, changed in zip(members, rows, strict=True):
                if changed.shape != out[i].shape:
                    raise GenerationError(
                        f"the controller {_name(controller)} made {changed.shape} of logits of "
                        f"shape {out[i].shape}",
                        hint="return an array with a row a position and a column a token",
                    )
                out[i] = changed
    return out


def _together(
    controller: Controller, canvases: list[Canvas], logits: list[Floats]
) -> Sequence[Floats]:
    if isinstance(controller, BatchController):
        return controller.batch(canvases, logits)
    return [controller(canvas, rows) for canvas, rows in zip(canvases, logits, strict=True)]


def _name(controller: Controller) -> str:
    return getattr(controller, "__name__", type(controller).__name__)
