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
        skip: Whether the second pass is left out once it no longer changes what is decided.
        patience: Steps in a row that it has to change nothing for that.
    """

    def __init__(
        self,
        denoiser: Forward,
        *,
        scale: float = 1.0,
        instead: Sequence[int] | None = None,
        skip: bool = True,
        patience: int = 2,
    ) -> None:
        self.instead = list(instead or [])
        super().__init__(denoiser, self._without_prompt, scale, skip, patience)

    def _without_prompt(self, canvas: Canvas) -> list[int] | None:
        length = len(canvas.prompt)
        if not length:
            return None
        shown = self.instead[-length:]
        return [canvas.mask] * (length - len(shown)) + shown + canvas.view().ids
