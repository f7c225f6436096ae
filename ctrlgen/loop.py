"""The denoising loop: denoiser, controllers and scheduler over a batch of canvases.

    1 view       ids of prompt and canvas, up to what is still undecided
    2 logits     one forward pass for all canvases
    3 control    guidance and other soft controllers change the logits
    4-7          what follows from them for each canvas: `step.py`
    8 stop       nothing open, or budget spent: the witness fills the rest

Whatever ends the loop, the canvas holds a complete valid answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ctrlgen.canvas.canvas import Canvas, Place, View
from ctrlgen.constraints.log_probs import LogProbs
from ctrlgen.controllers.base import control
from ctrlgen.controllers.lengths import LengthSource, Row, open_places
from ctrlgen.denoisers.base import Logits, RescoringDenoiser, log_probs_of
from ctrlgen.interrupts import deferred_interrupt
from ctrlgen.result import FinishReason, StepEvent
from ctrlgen.run import Engine, Limits, Run
from ctrlgen.step import step


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
    limits, run = seat.limits, seat.run
    steps = limits.steps is not None and run.passes >= limits.steps
    deadline = seat.ends is not None and time.monotonic() >= seat.ends
    if not run.open and (steps or deadline or not _goes_on(seat)):
        return "stop"
    return "steps" if steps else "deadline" if deadline else None


def _goes_on(seat: Seat) -> bool:
    """Whether a finished canvas is looked at again, for the sake of its scheduler."""
    again = seat.engine.scheduler.goes_on(seat.run.memory)
    return again and any(gap.revisable.any() for gap in seat.run.canvas.gaps())


@dataclass(frozen=True, eq=False)
class Look:
    """What a forward pass showed of one canvas.

    Args:
        places: Its open gaps.
        checked: Settled gaps whose tokens were predicted again, without themselves.
        log_probs: At the positions of both, in order, controlled in open gaps; (positions, vocab).
        rows: Sequences that the denoiser looked at.
    """

    places: list[Place]
    checked: list[Place]
    log_probs: LogProbs
    rows: int = 1

    def of(self, canvas: Canvas) -> Look:
        """The same look for a copy of the canvas."""
        own = {gap.serial: gap for gap in canvas.gaps()}
        places, checked = (
            [Place(own[place.gap.serial], place.offset) for place in found]
            for found in (self.places, self.checked)
        )
        return Look(places, checked, self.log_probs)


def look_at(active: Sequence[Seat]) -> list[Look]:
    """One forward pass over all canvases, and what controllers make of it; nothing commits."""
    plans = [_plan(seat) for seat in active]
    sequences = [
        seat.run.prompt + row.ids for seat, p in zip(active, plans, strict=True) for row in p.rows
    ]
    positions = [
        [len(seat.run.prompt) + i for i in row.positions]
        for seat, plan in zip(active, plans, strict=True)
        for row in plan.rows
    ]
    denoiser = active[0].engine.denoiser
    schedulers = [seat.engine.scheduler for seat in active]
    if any(scheduler.rescores and scheduler.hides for scheduler in schedulers):
        assert isinstance(denoiser, RescoringDenoiser)
        found = iter(denoiser.leave_one_out(sequences, positions))
    else:
        found = iter(denoiser(sequences, positions))
    logits = [
        _read(s, p, [next(found) for _ in p.rows]) for s, p in zip(active, plans, strict=True)
    ]
    wanted = [
        plan.places if plan.measured is None else open_places(seat.run.canvas)
        for seat, plan in zip(active, plans, strict=True)
    ]
    logits = _controlled(active, wanted, logits)
    log_probs = [log_probs_of(rows, denoiser.mask_token_id) for rows in logits]
    return [
        Look(places, plan.checked, rows, len(plan.rows))
        for places, plan, rows in zip(wanted, plans, log_probs, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _Plan:
    """What a forward pass is to look at for one canvas.

    Args:
        rows: Its sequences.
        places: Its open gaps, as they lie before.
        checked: Settled gaps whose tokens are to be predicted again.
        measured: What reads the rows where they are not just the canvas.
    """

    rows: list[Row]
    places: list[Place]
    checked: list[Place]
    measured: LengthSource | None = None


def _plan(seat: Seat) -> _Plan:
    lengths, canvas = seat.engine.lengths, seat.run.canvas
    measured = lengths is not None and lengths.measures(canvas)  # which may change the canvas
    view = canvas.view()
    places = [place for place in view.places if not place.gap.settled]
    if lengths is not None and measured:
        return _Plan(lengths.rows(canvas), places, [], lengths)
    checked = _checked_places(seat, view)
    row = Row(view.ids, [p for place in places + checked for p in _positions(place)])
    return _Plan([row], places, checked)


def _read(seat: Seat, plan: _Plan, logits: list[Logits]) -> Logits:
    """Logits at the open gaps, and at the checked ones."""
    lengths = plan.measured or seat.engine.lengths
    if lengths is None:
        return logits[0]
    rows = [np.asarray(each, dtype=np.float64) for each in logits]
    if plan.measured is not None:
        return lengths.read(seat.run.canvas, plan.rows, rows)
    return lengths.plain(seat.run.canvas, rows[0])


def _controlled(
    active: Sequence[Seat], wanted: Sequence[list[Place]], logits: Sequence[Logits]
) -> list[Logits]:
    """The logits, those of open gaps after the controllers of each seat that has any."""
    out = list(logits)
    steered = [i for i, seat in enumerate(active) if seat.engine.controllers]
    counts = [sum(place.gap.length for place in wanted[i]) for i in steered]
    changed = control(
        [active[i].engine.controllers for i in steered],
        [active[i].run.canvas for i in steered],
        [logits[i][:count] for i, count in zip(steered, counts, strict=True)],
    )
    for i, new, count in zip(steered, changed, counts, strict=True):
        behind = logits[i][count:]
        out[i] = np.concatenate([new, np.asarray(behind)]) if len(behind) else new
    return out


def advance(seat: Seat, look: Look) -> None:
    """What follows from a forward pass for one canvas."""
    with deferred_interrupt():
        seat.run.usage.forward_passes += 1
        seat.run.usage.forward_rows += look.rows
        left = None if seat.limits.steps is None else seat.limits.steps - seat.run.passes + 1
        if look.places or look.checked:
            step(seat.engine, seat.run, look.places, look.checked, look.log_probs, left)
        if seat.engine.lengths is not None:
            seat.engine.lengths.settle(seat.run.canvas)
            seat.run.usage.committed_tokens += seat.run.canvas.aside
            seat.run.canvas.aside = 0
        seat.run.trace.append(_event(seat.run))


def _checked_places(seat: Seat, view: View) -> list[Place]:
    if not seat.engine.scheduler.rescores:
        return []
    return [p for p in view.places if p.gap.settled and p.gap.revisable.any()]


def _positions(place: Place) -> range:
    return range(place.offset, place.offset + place.gap.length)


def _event(run: Run) -> StepEvent:
    canvas, passes = run.canvas, run.usage.forward_passes
    window, decided = frozenset(run.window), tuple(canvas.decisions)
    run.window = ()
    canvas.decisions.clear()
    return StepEvent(len(run.trace) + 1, passes, canvas.copy(), window=window, decided=decided)


def fill(run: Run) -> None:
    """Commit the witness wherever something is still open."""
    for gap in run.canvas.gaps():
        run.settle(gap)
    run.usage.canvas_tokens = run.canvas.size()
    run.usage.prompt_tokens = len(run.prompt)
