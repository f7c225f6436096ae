"""The denoising loop: denoiser, controllers and scheduler over a batch of canvases.

    1 view       ids of prompt and canvas, up to what is still undecided
    2 logits     one forward pass for all canvases
    3 control    guidance and other soft controllers
    4 posterior  per gap, exact: witness, constrained marginals, closing mass
    5 schedule   which witness tokens commit
    6 commit     and forced tokens for free; grow slots, collapse forks
    7 stop       nothing open, or budget spent: the witness fills the rest

Whatever ends the loop, the canvas holds a complete valid answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.canvas import Place, View
from ctrlgen.canvas.parts import OPEN, Gap
from ctrlgen.constraints.atoms import Floats
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.controllers import ConstraintController, Controller
from ctrlgen.controllers.constraint import propose, wants_room
from ctrlgen.denoisers.base import Denoiser
from ctrlgen.errors import LimitError, NonFiniteLogitsError
from ctrlgen.interrupts import deferred_interrupt
from ctrlgen.result import FinishReason, StepEvent, Usage
from ctrlgen.schedulers import Proposal, Scheduler

UNLIKELY = 1e4
"""No possible token counts as less likely than exp(-UNLIKELY) times the likeliest one."""


@dataclass(frozen=True)
class Limits:
    """When to stop.

    Args:
        steps: Forward passes per object; None for as many as needed.
        deadline: Seconds for the whole batch; None for no limit.
    """

    steps: int | None = None
    deadline: float | None = None


@dataclass(eq=False)
class Run:
    """One canvas on its way through the loop."""

    prompt: list[int]
    canvas: Canvas
    rng: np.random.Generator
    usage: Usage = field(default_factory=Usage)
    finish_reason: FinishReason | None = None
    trace: list[StepEvent] = field(default_factory=list)
    earlier_passes: int = 0

    @property
    def passes(self) -> int:
        """Forward passes of this attempt."""
        return self.usage.forward_passes - self.earlier_passes

    def restart(self, canvas: Canvas) -> None:
        """Begin another attempt on a fresh canvas; usage and trace go on."""
        self.canvas, self.finish_reason = canvas, None
        self.earlier_passes = self.usage.forward_passes

    @property
    def open(self) -> bool:
        """Whether any position is still undecided."""
        return any(not gap.settled for gap in self.canvas.gaps())


@dataclass(frozen=True)
class Engine:
    """What every run of a loop shares."""

    denoiser: Denoiser
    constraint: ConstraintController
    scheduler: Scheduler
    temperature: float = 0.0
    controllers: tuple[Controller, ...] = ()


def denoise(engine: Engine, runs: Sequence[Run], limits: Limits) -> Iterator[Run]:
    """Denoise all runs to the end; yields a run after each of its steps.

    Raises:
        NonFiniteLogitsError: If the denoiser returns NaN or nothing finite at an open position.
    """
    ends = None if limits.deadline is None else time.monotonic() + limits.deadline
    try:
        while active := [run for run in runs if run.finish_reason is None]:
            for run in active:
                run.finish_reason = _finished(run, limits, ends)
            active = [run for run in active if run.finish_reason is None]
            if active:
                yield from _step(engine, active, limits)
    except KeyboardInterrupt:
        for run in runs:
            run.finish_reason = run.finish_reason or "interrupt"
    with deferred_interrupt():
        for run in runs:
            _fill(run)


def _finished(run: Run, limits: Limits, ends: float | None) -> FinishReason | None:
    if not run.open:
        return "stop"
    if limits.steps is not None and run.passes >= limits.steps:
        return "steps"
    return "deadline" if ends is not None and time.monotonic() >= ends else None


def _step(engine: Engine, active: list[Run], limits: Limits) -> Iterator[Run]:
    """One forward pass for all active runs, and what follows from it for each."""
    views = [run.canvas.view() for run in active]
    wanted = [_open_places(view) for view in views]
    sequences = [run.prompt + view.ids for run, view in zip(active, views, strict=True)]
    positions = [
        [len(run.prompt) + p for place in places for p in _positions(place)]
        for run, places in zip(active, wanted, strict=True)
    ]
    logits = engine.denoiser(sequences, positions)
    for run, places, rows in zip(active, wanted, logits, strict=True):
        with deferred_interrupt():
            run.usage.forward_passes += 1
            _advance(engine, run, places, rows, limits)
            run.trace.append(_event(run))
        yield run


def _open_places(view: View) -> list[Place]:
    return [place for place in view.places if not place.gap.settled]


def _positions(place: Place) -> range:
    return range(place.offset, place.offset + place.gap.length)


def _advance(engine: Engine, run: Run, places: list[Place], logits: Floats, limits: Limits) -> None:
    """Control, posterior, schedule and commit for one canvas."""
    for controller in engine.controllers:
        logits = controller(run.canvas, logits)
    log_probs = _log_softmax(logits, engine.denoiser.mask_token_id)
    left = None if limits.steps is None else limits.steps - run.passes + 1
    posteriors: list[tuple[Gap, Posterior]] = []
    start = 0
    for place in places:
        gap, rows = place.gap, log_probs[start : start + place.gap.length]
        start += gap.length
        try:
            posterior = engine.constraint.posterior(run.canvas, gap, rows)
        except LimitError:
            # The search is out of its depth; the witness is valid all the same.
            run.usage.committed_tokens += run.canvas.commit(gap, np.ones(gap.length, dtype=bool))
            continue
        if left != 1 and wants_room(gap, posterior) and run.canvas.grow(gap, 2 * gap.length):
            continue
        propose(gap, posterior, engine.temperature, run.rng)
        posteriors.append((gap, posterior))
    _commit(engine.scheduler, run, posteriors, left)
    for gap in [place.gap for place in places if place.gap.is_fork and place.gap.settled]:
        run.canvas.collapse(gap)


def _commit(
    scheduler: Scheduler, run: Run, posteriors: list[tuple[Gap, Posterior]], left: int | None
) -> None:
    """Forced positions and whole forks at once; of the rest, what the scheduler picks."""
    for gap, posterior in posteriors:
        run.usage.forced_tokens += run.canvas.commit(gap, posterior.support <= 1)
        if gap.is_fork:
            run.usage.committed_tokens += run.canvas.commit(gap, np.ones(gap.length, dtype=bool))
    free = [gap.committed == OPEN for gap, _ in posteriors]
    if not any(mask.any() for mask in free):
        return

    def entropy() -> Floats:
        return np.concatenate([p.entropy[m] for (_, p), m in zip(posteriors, free, strict=True)])

    confidence = [gap.confidence[m] for (gap, _), m in zip(posteriors, free, strict=True)]
    proposal = Proposal(np.concatenate(confidence), entropy, left)
    chosen = scheduler.select(proposal)
    start = 0
    for (gap, _), mask in zip(posteriors, free, strict=True):
        picked = np.zeros(gap.length, dtype=bool)
        count = int(mask.sum())
        picked[mask] = chosen[start : start + count]
        start += count
        run.usage.committed_tokens += run.canvas.commit(gap, picked)


def _log_softmax(logits: Floats, mask_token_id: int) -> Floats:
    """Log-probabilities without the mask token, which is never an answer; (positions, vocab).

    Finite ones are at least `-UNLIKELY`: sums of huge logits would drown all differences.
    """
    out = np.array(logits, dtype=np.float64)
    out[:, mask_token_id] = -np.inf
    for row in out:  # one at a time: a row fits the processor's cache
        peak = row.max()
        if not np.isfinite(peak):
            raise NonFiniteLogitsError(
                "the denoiser returned NaN, infinite or no finite logits at an open position",
                hint="check the checkpoint's dtype and weights",
            )
        row -= peak
        np.maximum(row, -UNLIKELY, out=row, where=row > -np.inf)
        row -= np.log(np.exp(row).sum())
    return out


def _event(run: Run) -> StepEvent:
    passes = run.usage.forward_passes
    return StepEvent(passes, passes, run.canvas.cells(), run.canvas.text())


def _fill(run: Run) -> None:
    """Commit the witness wherever something is still open."""
    for gap in run.canvas.gaps():
        run.usage.committed_tokens += run.canvas.commit(gap, np.ones(gap.length, dtype=bool))
    run.usage.canvas_tokens = run.canvas.size()
    run.usage.prompt_tokens = len(run.prompt)
