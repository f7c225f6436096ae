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


@dataclass(frozen=True, eq=False)
class Seat:
    """A run with the engine and limits of its own, so that unlike runs share forward passes.

    Args:
        engine: Its denoiser is that of all runs beside it.
        run: The canvas.
        limits: When to stop.
        ends: The moment of `limits.deadline`, by `time.monotonic()`.
    """

    engine: Engine
    run: Run
    limits: Limits
    ends: float | None = None

    @classmethod
    def of(cls, engine: Engine, run: Run, limits: Limits) -> Seat:
        """A seat whose time begins now."""
        ends = None if limits.deadline is None else time.monotonic() + limits.deadline
        return cls(engine, run, limits, ends)

    def finish(self) -> bool:
        """Whether the run is at its end; if so, its finish reason says why."""
        self.run.finish_reason = self.run.finish_reason or _finished(self)
        return self.run.finish_reason is not None


def denoise(engine: Engine, runs: Sequence[Run], limits: Limits) -> Iterator[Run]:
    """Denoise all runs to the end; yields a run after each of its steps.

    Raises:
        NonFiniteLogitsError: If the denoiser returns NaN or nothing finite at an open position.
    """
    seats = [Seat.of(engine, run, limits) for run in runs]
    try:
        while active := [seat for seat in seats if not seat.finish()]:
            for seat, look in zip(active, look_at(active), strict=True):
                advance(seat, look)
                yield seat.run
    except KeyboardInterrupt:
        for run in runs:
            run.finish_reason = run.finish_reason or "interrupt"
    with deferred_interrupt():
        for run in runs:
            fill(run)


def _finished(seat: Seat) -> FinishReason | None:
    limits = seat.limits
    if not seat.run.open:
        return "stop"
    if limits.steps is not None and seat.run.passes >= limits.steps:
        return "steps"
    return "deadline" if seat.ends is not None and time.monotonic() >= seat.ends else None


@dataclass(frozen=True, eq=False)
class Look:
    """What a forward pass showed of one canvas.

    Args:
        places: Its open gaps.
        logits: At their positions, in order; (positions, vocab).
    """

    places: list[Place]
    logits: Floats


def look_at(active: Sequence[Seat]) -> list[Look]:
    """One forward pass over all canvases; nothing of them changes."""
    runs = [seat.run for seat in active]
    views = [run.canvas.view() for run in runs]
    wanted = [_open_places(view) for view in views]
    sequences = [run.prompt + view.ids for run, view in zip(runs, views, strict=True)]
    positions = [
        [len(run.prompt) + p for place in places for p in _positions(place)]
        for run, places in zip(runs, wanted, strict=True)
    ]
    logits = active[0].engine.denoiser(sequences, positions)
    return [Look(places, rows) for places, rows in zip(wanted, logits, strict=True)]


def advance(seat: Seat, look: Look) -> None:
    """What follows from a forward pass for one canvas."""
    with deferred_interrupt():
        seat.run.usage.forward_passes += 1
        _advance(seat.engine, seat.run, look.places, look.logits, seat.limits)
        seat.run.trace.append(_event(seat.run))


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


def fill(run: Run) -> None:
    """Commit the witness wherever something is still open."""
    for gap in run.canvas.gaps():
        run.usage.committed_tokens += run.canvas.commit(gap, np.ones(gap.length, dtype=bool))
    run.usage.canvas_tokens = run.canvas.size()
    run.usage.prompt_tokens = len(run.prompt)
