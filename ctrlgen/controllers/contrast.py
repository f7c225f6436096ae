"""Guidance by contrast: the logits move away from those of a second, poorer look at the canvas.

    logits + scale * (logits - poorer)

which is D-CFG (arXiv:2412.10193) with gamma = scale + 1. When guided and unguided logits decide
alike for a while, the second look is not worth its forward pass and is left out, after Adaptive
Guidance (arXiv:2312.12487). It is taken up again when a gap is laid out, grows or shrinks.

They decide alike when both have the same best token at the surest open positions, those about to
commit. The distance of the distributions, which diffusion of images goes by, does not serve here:
what is still open is what the model is least sure of, and extrapolation itself keeps guided from
unguided apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers.base import Forward
from ctrlgen.controllers.fields import Region, regions
from ctrlgen.errors import OptionError

RULED_OUT = -1e30
"""Models say "never" with the least number of their precision, too."""

SURE = 0.9
"""Positions with a token as probable as this have to agree: they are about to commit."""

DECISIVE = 4
"""And at least so many of the surest positions."""


class PoorerLook(Protocol):
    """What the model is shown for contrast."""

    def __call__(self, canvas: Canvas) -> list[int] | None:
        """Prompt and canvas with something hidden, equally long; None: there is nothing to hide."""
        ...


@dataclass
class _Agreement:
    """For how many steps guided and unguided have agreed on one canvas, and on which gaps."""

    steps: int = 0
    gaps: set[int] = field(default_factory=set)


class Contrast:
    """Moves logits away from those of a poorer look.

    Args:
        denoiser: The model's forward pass.
        look: What it is shown for contrast.
        scale: How far; 0 leaves the logits as they are.
        skip: Whether the second look is ever left out.
        patience: Steps of agreement in a row after which it is.

    Attributes:
        passes: Second looks so far, over all canvases; `Usage.forward_passes` holds the first.
        skipped: Second looks that were left out.
    """

    def __init__(
        self,
        denoiser: Forward,
        look: PoorerLook,
        scale: float,
        skip: bool,
        patience: int,
    ) -> None:
        if patience < 1:
            raise OptionError(f"patience must be 1 or more, not {patience}")
        self.denoiser, self.look, self.scale = denoiser, look, scale
        self.skip, self.patience = skip, patience
        self.passes = self.skipped = 0
        self._agreement: WeakKeyDictionary[Canvas, _Agreement] = WeakKeyDictionary()

    def __call__(self, canvas: Canvas, logits: Floats) -> Floats:
        """Guided logits of one canvas."""
        return self.batch([canvas], [logits])[0]

    def batch(self, canvases: Sequence[Canvas], logits: Sequence[Floats]) -> list[Floats]:
        """Guided logits of several canvases, with one forward pass for all second looks."""
        out, second = list(logits), []
        for i, canvas in enumerate(canvases):
            found = regions(canvas) if self.scale != 0 else []
            poorer = self.look(canvas) if found else None
            if poorer is None:
                continue
            if self._wanted(canvas):
                second.append((i, found[0], poorer))
            else:
                self.skipped += 1
        if not second:
            return out
        sequences = [poorer for _, _, poorer in second]
        positions = [_positions(canvases[i], region) for i, region, _ in second]
        self.passes += len(second)
        for (i, region, _), rows in zip(second, self.denoiser(sequences, positions), strict=True):
            out[i] = _extrapolate(logits[i], np.asarray(rows, dtype=np.float64), self.scale)
            chosen = region.rows[region.open]
            self._note(canvases[i], out[i][chosen], logits[i][chosen])
        return out

    def _wanted(self, canvas: Canvas) -> bool:
        state = self._agreement.setdefault(canvas, _Agreement())
        gaps = {gap.serial for gap in canvas.gaps() if not gap.settled}
        if not gaps <= state.gaps:
            state.steps = 0
        state.gaps |= gaps
        return not self.skip or state.steps < self.patience

    def _note(self, canvas: Canvas, guided: Floats, unguided: Floats) -> None:
        state = self._agreement[canvas]
        agree = _decide_alike(guided, unguided, canvas.mask)
        state.steps = state.steps + 1 if agree else 0


def _positions(canvas: Canvas, region: Region) -> list[int]:
    """Where the rows of the logits lie in prompt and canvas."""
    inside = np.flatnonzero(region.rows >= 0)
    return [len(canvas.prompt) + int(i) for i in inside]


def _extrapolate(logits: Floats, poorer: Floats, scale: float) -> Floats:
    """What either look rules out is left as the first one has it."""
    both = (logits > RULED_OUT) & (poorer > RULED_OUT)
    step = np.zeros_like(logits)
    np.subtract(logits, poorer, out=step, where=both)
    return logits + scale * step


def _decide_alike(guided: Floats, unguided: Floats, mask_token_id: int) -> bool:
    """Whether positions about to commit, by the guided logits, have the same best token in both."""
    rows = _log_softmax(guided, mask_token_id)
    sure = rows.max(axis=1)
    count = max(DECISIVE, int((sure >= np.log(SURE)).sum()))
    decisive = np.argsort(-sure, kind="stable")[:count]
    other = np.array(unguided[decisive])
    other[:, mask_token_id] = -np.inf
    return bool((rows[decisive].argmax(axis=1) == other.argmax(axis=1)).all())


def _log_softmax(rows: Floats, mask_token_id: int) -> Floats:
    """Log-probabilities without the mask token; rows with nothing finite stay as they are."""
    out = np.array(rows, dtype=np.float64)
    out[:, mask_token_id] = -np.inf
    peak = out.max(axis=1, keepdims=True)
    out -= np.where(np.isfinite(peak), peak, 0.0)
    total = np.exp(out).sum(axis=1, keepdims=True)
    return out - np.log(np.where(total > 0, total, 1.0))
