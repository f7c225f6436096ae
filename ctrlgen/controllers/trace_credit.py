"""CreditDecoding: what the model keeps predicting counts for more (arXiv:2510.06133).

    C <- beta C,  C[i, argmax] += max(p[i]) ** gamma,  l' = l + alpha log(1 + C)

for every open position i in every step: a token that has been the best one for some steps passes a
scheduler's threshold before the model alone is sure of it. Credit is sparse: few tokens are ever
best at a position. A gap that is laid out anew, grows or shrinks starts without any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.parts import OPEN, Gap
from ctrlgen.constraints.atoms import Floats
from ctrlgen.errors import OptionError

Credit = dict[tuple[int, int], dict[int, float]]
"""Credit of the tokens seen at a position; by serial of its gap and offset in it."""


@dataclass(frozen=True, eq=False)
class TraceCredit:
    """A controller that adds credit for earlier predictions to the logits.

    Stands first among controllers: it reads the model's own distribution. Use it with a scheduler
    that commits by confidence, such as `Threshold`.

    Args:
        alpha: Weight of the credit.
        beta: Share of the credit that is left after a step, 0 to 1.
        gamma: Exponent of the probability; below 1, unsure predictions earn credit too.

    Raises:
        OptionError: If a number makes no sense.
    """

    alpha: float = 0.7
    beta: float = 0.8
    gamma: float = 0.2
    _credit: WeakKeyDictionary[Canvas, Credit] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.alpha < 0 or not 0 <= self.beta <= 1 or self.gamma < 0:
            raise OptionError("alpha and gamma must not be negative, beta must lie in 0 to 1")

    def __call__(self, canvas: Canvas, logits: Floats) -> Floats:
        """The logits with credit, (positions, vocab)."""
        before, now, out = self._credit.get(canvas, {}), Credit(), logits.copy()
        gaps = [gap for gap in _shown(canvas) if not gap.settled]
        cuts = np.cumsum([gap.length for gap in gaps])[:-1]
        for gap, rows in zip(gaps, np.split(out, cuts), strict=True):
            for i in np.flatnonzero(gap.committed == OPEN).tolist():
                credit = now[gap.serial, i] = self._earned(
                    before.get((gap.serial, i), {}), rows[i], canvas.mask
                )
                tokens = list(credit)
                rows[i, tokens] += self.alpha * np.log1p([credit[token] for token in tokens])
        self._credit[canvas] = now
        return out

    def _earned(
        self, before: dict[int, float], row: Floats, mask_token_id: int
    ) -> dict[int, float]:
        """Credit at a position after this step."""
        credit = {token: self.beta * value for token, value in before.items()}
        shown = row.copy()
        shown[mask_token_id] = -np.inf
        best = int(shown.argmax())
        if np.isfinite(shown[best]):
            probability = 1 / np.exp(shown - shown[best]).sum()
            credit[best] = credit.get(best, 0.0) + float(probability**self.gamma)
        return credit


def _shown(canvas: Canvas) -> list[Gap]:
    """The gaps that the model sees, in canvas order."""
    return [place.gap for place in canvas.view().places]
