"""The protocol of proposers: which filling of the posteriors becomes the witness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.posterior import Posterior, be_sure, find_best
from ctrlgen.controllers.constraint import propose

Posteriors = Sequence[tuple[Gap, Posterior]]


class Proposer(Protocol):
    """Gives gaps their witness and says how sure it is of each token.

    A witness comes from its gap's posterior (`best`, `sample`, or `best` of a posterior with more
    tokens committed), which is what makes it valid.
    """

    def __call__(
        self, canvas: Canvas, posteriors: Posteriors, temperature: float, rng: np.random.Generator
    ) -> None:
        """Set `witness`, `confidence` and `seen` of every gap.

        Args:
            canvas: Where the gaps lie.
            posteriors: Open gaps in canvas order, each with its posterior.
            temperature: 0 asks for the most probable filling, above 0 for a draw.
            rng: What to draw with.
        """
        ...


def propose_each(
    canvas: Canvas, posteriors: Posteriors, temperature: float, rng: np.random.Generator
) -> None:
    """The most probable filling, or an exact draw, of each gap by itself."""
    if temperature == 0:
        together = [posterior for _, posterior in posteriors]
        find_best(together)
        be_sure(together)
    for gap, posterior in posteriors:
        propose(gap, posterior, temperature, rng)
