"""The hard constraint: exact posterior of every gap, its witness and its confidences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctrlgen.canvas.canvas import Canvas, Place
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.array_log_probs import ArrayLogProbs
from ctrlgen.constraints.atoms import Ints
from ctrlgen.constraints.beam import beam_states
from ctrlgen.constraints.gap import GapGraph, reachable
from ctrlgen.constraints.log_probs import LogProbs, Reals
from ctrlgen.constraints.nodes import Bytes
from ctrlgen.constraints.posterior import Posterior, add_up
from ctrlgen.errors import LimitError

ENUMERATED = 400
"""Gaps with more automaton states than this are searched by beam instead of enumerated."""


FITS = 0.1
"""A value that fits its slot with less than this probability wants a longer one.

Even odds would cost 6 % more passes on SNIPS, and no answer more is right.
"""

STUCK, GAIN = 0.1, 0.05
"""A slot that has grown twice grows no more if so much closes, and no more than that is gained."""


class ConstraintController:
    """Posteriors of gaps, with graphs shared between all gaps, steps and canvases of a scaffold."""

    def posterior(
        self, canvas: Canvas, gap: Gap, log_probs: LogProbs | Reals, committed: Ints | None = None
    ) -> Posterior:
        """The posterior of one gap.

        Args:
            canvas: Where the gap lies.
            gap: The gap.
            log_probs: Of the model at its positions, or logits as an array, (length, vocab).
            committed: Instead of what is committed in the gap, (length,).

        Returns:
            A posterior with at least one filling. Where the model gives every valid filling
            probability zero, all tokens count alike.
        """
        if isinstance(log_probs, np.ndarray):
            log_probs = ArrayLogProbs(log_probs)
        return _possible(self._unsolved(canvas, gap, log_probs, committed))

    def posteriors(
        self, canvas: Canvas, gaps: Sequence[Gap], log_probs: Sequence[LogProbs]
    ) -> list[Posterior | None]:
        """The posteriors of several gaps, computed together; None where a search hit its limit."""
        found: list[Posterior | None] = []
        for gap, rows in zip(gaps, log_probs, strict=True):
            try:
                found.append(self._unsolved(canvas, gap, rows, None))
            except LimitError:
                found.append(None)
        add_up([posterior for posterior in found if posterior is not None])
        return [None if posterior is None else _possible(posterior) for posterior in found]

    def _unsolved(
        self, canvas: Canvas, gap: Gap, log_probs: LogProbs, committed: Ints | None
    ) -> Posterior:
        start = self._start(canvas, gap)
        graph = self._graph(canvas, gap, start)
        if graph is None:
            graph = self._beam(canvas, gap, start, log_probs)
        if committed is not None:
            return Posterior(graph, log_probs, committed)
        posterior = Posterior(graph, log_probs, gap.committed)
        gap.trellis = posterior.trellis  # until something commits
        return posterior

    def _start(self, canvas: Canvas, gap: Gap) -> int:
        """The gap's left edge; a fork loses the options that no longer fit the canvas."""
        if not gap.is_fork:
            return gap.start
        options = canvas.affordable(gap)
        if len(options) == len(gap.options):
            return gap.start
        return canvas.scaffold.start_of_options(options)

    def _graph(self, canvas: Canvas, gap: Gap, start: int) -> GapGraph | None:
        key = (start, gap.length, gap.slack)
        graphs = canvas.scaffold.graphs
        if key not in graphs:
            tokens = canvas.scaffold.constraint.tokens
            states = reachable(tokens, start, gap.length, ENUMERATED)
            graph = GapGraph(tokens, states, gap.length, gap.slack) if states else None
            graphs[key] = graph
        return graphs[key]

    def _beam(self, canvas: Canvas, gap: Gap, start: int, log_probs: LogProbs) -> GapGraph:
        tokens = canvas.scaffold.constraint.tokens
        states = beam_states(tokens, start, log_probs, gap.committed, gap.witness, gap.slack)
        return GapGraph(tokens, states, gap.length, gap.slack)


def rows_of_gaps(places: Sequence[Place], log_probs: LogProbs) -> list[LogProbs]:
    """Log-probabilities at the positions of several gaps, gap by gap, (length, vocab)."""
    ends = np.cumsum([place.gap.length for place in places]).tolist()
    return [log_probs[end - p.gap.length : end] for p, end in zip(places, ends, strict=True)]


def _possible(posterior: Posterior) -> Posterior:
    if posterior.feasible:
        return posterior
    flat = ArrayLogProbs(np.broadcast_to(np.float32(0), posterior.log_probs.shape))
    return Posterior(posterior.graph, flat, posterior.committed)


def propose(gap: Gap, posterior: Posterior, temperature: float, rng: np.random.Generator) -> None:
    """Give the gap a new witness from its posterior."""
    take(
        gap, posterior, posterior.sample(rng, temperature) if temperature > 0 else posterior.best()
    )


def take(gap: Gap, posterior: Posterior, witness: Ints) -> None:
    """Make a filling of its posterior the gap's witness."""
    gap.witness, gap.seen = witness, True
    gap.confidence = posterior.confidence(witness)


def wants_room(canvas: Canvas, gap: Gap, posterior: Posterior) -> bool:
    """Whether an untouched value slot is too short for what the model wants to write.

    The closing mass says so, and what the model's calibration makes of it.

    A value that is only too long closes not at all until it fits. Where some of the mass closes and
    growing does not make it more, the model does not know what to write: more room will not help.
    """
    if gap.exact or len(posterior.trellis.open) < gap.length:
        return False
    if gap.is_fork and all(isinstance(option.head, Bytes) for option in gap.options):
        return False
    mass = posterior.closing_mass()
    stuck = len(gap.closings) >= 2 and mass > STUCK and mass < gap.closings[-1] + GAIN
    return not stuck and not _fits(mass, canvas.scaffold.sizes.closing)


def _fits(mass: float, closing: tuple[float, float]) -> bool:
    """Whether it is not plain that a value does not fit."""
    if mass <= 0.0 or mass >= 1.0:
        return mass >= 1.0
    slope, offset = closing
    return bool(slope * np.log(mass / (1 - mass)) + offset >= np.log(FITS / (1 - FITS)))
