"""EDLM: of several joint draws, one is kept in proportion to exp(-E) (arXiv:2410.21357).

A diffusion model draws the tokens of a step independently of each other; here, jointly valid but
still from a factorised model. The energy of a draw x sets that right:

    E(x) = -log p_AR(text of x) + log q(x)

with p_AR a causal model and q the posterior that x was drawn from, up to a constant. With many
draws the one that is kept is distributed as p_AR restricted to the constraint. The paper gives AR
terms of known tokens no weight; here they count where draws differ to the left of them.
"""

from __future__ import annotations

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.canvas import View
from ctrlgen.canvas.parts import OPEN, Gap
from ctrlgen.constraints.atoms import Floats, Ints
from ctrlgen.constraints.posterior import draw
from ctrlgen.controllers.causal import CausalReader
from ctrlgen.controllers.constraint import take
from ctrlgen.controllers.proposer import Posteriors, propose_each
from ctrlgen.errors import OptionError


class EnergyResampling:
    """A proposer that resamples joint draws by the energy of a causal model.

    Args:
        reader: The causal model.
        draws: How many to choose from (k).
        temperature: Of the weights: exp(-E / temperature).
        window: Shares of open positions, least and most, between which it is at work; outside,
            and with a single draw, each gap is proposed by itself.

    Raises:
        OptionError: If a number makes no sense.
    """

    def __init__(
        self,
        reader: CausalReader,
        *,
        draws: int = 4,
        temperature: float = 1.0,
        window: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        if draws < 1 or temperature <= 0 or not 0 <= window[0] <= window[1] <= 1:
            raise OptionError("draws and temperature must be positive, window within 0 and 1")
        self.reader, self.draws = reader, draws
        self.temperature, self.window = temperature, window

    def __call__(
        self, canvas: Canvas, posteriors: Posteriors, temperature: float, rng: np.random.Generator
    ) -> None:
        """Draw, weigh, keep one. At a temperature of 0 draws are made at 1."""
        gaps = [gap for gap, _ in posteriors]
        if self.draws == 1 or not self.window[0] <= _open_share(gaps) <= self.window[1]:
            propose_each(canvas, posteriors, temperature, rng)
            return
        self.reader.check(canvas)
        warmth = temperature or 1.0
        drawn = [[p.sample(rng, warmth) for _, p in posteriors] for _ in range(self.draws)]
        energy = self.energies(canvas, posteriors, drawn, warmth)
        kept = drawn[draw(-energy / self.temperature, rng)]
        for (gap, posterior), witness in zip(posteriors, kept, strict=True):
            take(gap, posterior, witness)

    def energies(
        self, canvas: Canvas, posteriors: Posteriors, drawn: list[list[Ints]], temperature: float
    ) -> Floats:
        """E of each joint draw, up to a constant that all share; (draws,).

        Args:
            canvas: The canvas.
            posteriors: Its open gaps.
            drawn: A filling for each of them, by draw.
            temperature: That they were drawn at.
        """
        view, gaps = canvas.view(), [gap for gap, _ in posteriors]
        log_q = np.array([_log_q(posteriors, fillings, temperature) for fillings in drawn])
        return log_q - self.reader.score(canvas, [filled(view, gaps, each) for each in drawn])


def filled(view: View, gaps: list[Gap], fillings: list[Ints]) -> Ints:
    """Tokens of the view with `fillings` in `gaps`, and other gaps as their witness has them."""
    ids = np.array(view.ids, dtype=np.int64)
    chosen = {gap.serial: filling for gap, filling in zip(gaps, fillings, strict=True)}
    for place in view.places:
        gap = place.gap
        ids[place.offset : place.offset + gap.length] = chosen.get(gap.serial, gap.witness)
    return ids


def _open_share(gaps: list[Gap]) -> float:
    open_ = np.concatenate([gap.committed == OPEN for gap in gaps] or [np.zeros(1, dtype=bool)])
    return float(open_.mean())


def _log_q(posteriors: Posteriors, fillings: list[Ints], temperature: float) -> float:
    """Log-probability of a joint draw, up to a constant."""
    total = 0.0
    for (gap, posterior), filling in zip(posteriors, fillings, strict=True):
        at = np.flatnonzero(gap.committed == OPEN)
        total += float(posterior.log_probs.at(at, filling[at]).sum())
    return total / temperature
