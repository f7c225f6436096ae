"""Classifier-free guidance: away from what the model would write without the prompt.

As LLaDA does it (arXiv:2502.09992): the second look has masks in the place of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

from ctrlgen.canvas import Canvas
from ctrlgen.controllers.base import Forward
from ctrlgen.controllers.contrast import Contrast


class ClassifierFree(Contrast):
    """Strengthens the prompt. Stands first among controllers: it compares the model's own logits.

    Args:
        denoiser: The model's denoiser.
        scale: How much; 0 leaves the logits as they are.
        instead: Tokens to show in the place of the prompt, a negative prompt for one; they are cut
            or filled up with masks in front to the length of the prompt. None: masks only.
        skip_below: Mean divergence, in nats, of guided from unguided distributions below which
            guidance is on its way out; 0 keeps it on.
        patience: Steps below it after which the second forward pass is left out.
    """

    def __init__(
        self,
        denoiser: Forward,
        *,
        scale: float = 1.0,
        instead: Sequence[int] | None = None,
        skip_below: float = 0.02,
        patience: int = 2,
    ) -> None:
        self.instead = list(instead or [])
        super().__init__(denoiser, self._without_prompt, scale, skip_below, patience)

    def _without_prompt(self, canvas: Canvas) -> list[int] | None:
        length = len(canvas.prompt)
        if not length:
            return None
        shown = self.instead[-length:]
        return [canvas.mask] * (length - len(shown)) + shown + canvas.view().ids
