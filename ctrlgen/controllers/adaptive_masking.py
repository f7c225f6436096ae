"""A-CFG: away from what the model would write without the tokens that it was least sure of.

Adaptive classifier-free guidance by dynamic low-confidence masking (arXiv:2505.20199): the second
look keeps the prompt and hides, of the tokens that have been committed by choice, the share with
the lowest confidence at the time. Before anything has been committed there is no second look.
"""

from __future__ import annotations

import math

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.parts import OPEN
from ctrlgen.controllers.base import Forward
from ctrlgen.controllers.contrast import Contrast
from ctrlgen.errors import OptionError


class AdaptiveMasking(Contrast):
    """Strengthens what has been decided with doubt. Stands first among controllers.

    Args:
        denoiser: The model's denoiser.
        scale: How much; 0 leaves the logits as they are.
        share: Of the committed tokens, how many are hidden (rho); above 0, at most 1.
        skip: As in `ClassifierFree`.
        patience: As in `ClassifierFree`.
    """

    def __init__(
        self,
        denoiser: Forward,
        *,
        scale: float = 1.0,
        share: float = 0.5,
        skip: bool = True,
        patience: int = 2,
    ) -> None:
        if not 0 < share <= 1:
            raise OptionError(f"share must be above 0 and at most 1, not {share}")
        self.share = share
        super().__init__(denoiser, self._without_doubtful, scale, skip, patience)

    def _without_doubtful(self, canvas: Canvas) -> list[int] | None:
        view = canvas.view()
        decided = [
            (float(place.gap.written[i]), place.offset + int(i))
            for place in view.places
            for i in np.flatnonzero((place.gap.committed != OPEN) & ~place.gap.forced)
        ]
        if not decided:
            return None
        ids = list(view.ids)
        for _, position in sorted(decided)[: math.ceil(self.share * len(decided))]:
            ids[position] = canvas.mask
        return list(canvas.prompt) + ids
