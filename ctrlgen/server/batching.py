"""One thread, one denoiser, one batch: requests of different Specs join and leave between steps.

1 admit     waiting jobs become seats, as far as the batch has room
2 leave     jobs that are done, due or abandoned
3 look      one forward pass over all canvases
4 advance   each canvas by itself; what fails there fails its own job only
5 tell      committed prefixes to those who listen
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ctrlgen.canvas import Cell
from ctrlgen.canvas.committed import committed_text
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.constraints.time_limit import time_limit
from ctrlgen.errors import GenerationError
from ctrlgen.generator import Generator, Model
from ctrlgen.loop import Look, Seat, advance, fill, look_at
from ctrlgen.result import Result
from ctrlgen.server.metrics import Metrics
from ctrlgen.server.settings import Settings
from ctrlgen.spec import Spec

_log = logging.getLogger("ctrlgen.server")


@dataclass(frozen=True)
class Progress:
    """What a job tells while it runs.

    Args:
        text: The committed prefix.
        cells: The canvas, where that is asked for.
        forward_passes: So far.
        result: The end of the job.
        tokens: Tokens of the result's text.
        error: The other end of the job.
    """

    text: str = ""
    cells: tuple[Cell, ...] | None = None
    forward_passes: int = 0
    result: Result | None = None
    tokens: int = 0
    error: Exception | None = None


@dataclass(eq=False)
class Job:
    """One request for the batch.

    Args:
        key: Names the spec's language; jobs of one key share a constraint.
        spec: What may be written.
        grammar: The spec, lowered.
        messages: The prompt.
        options: `ctrlgen.Options` of this job.
        ends: The moment of its deadline, by `time.monotonic()`.
        tell: Called, on the thread of the batch, with all that happens.
        streams: Whether it wants to hear of every step.
        previews: Whether it wants to see the canvas then.
        abandoned: Set by whoever no longer wants the answer.
    """

    key: str
    spec: Spec
    grammar: Grammar
    messages: list[dict[str, str]]
    options: dict[str, Any]
    ends: float
    tell: Callable[[Progress], None]
    streams: bool = False
    previews: bool = False
    abandoned: threading.Event = field(default_factory=threading.Event)


class Batcher:
    """Runs jobs on a thread of its own.

    Args:
        model: Used on that thread only.
        settings: How many jobs run at once, and how many constraints are kept.
        metrics: Told of every step.
    """

    def __init__(self, model: Model, settings: Settings, metrics: Metrics) -> None:
        self._model, self._settings, self._metrics = model, settings, metrics
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._active: dict[Job, Seat] = {}
        self._generators: OrderedDict[str, Generator] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="ctrlgen-batch", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the current step; unfinished jobs end with what their witness says."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self.alive:
            self._thread.join()

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                while not (self._waiting or self._active or self._closed):
                    self._changed.wait()
            try:
                self._turn()
            except Exception as error:  # a fault of ours must not end the thread
                _log.exception("a turn of the batch failed")
                for job in list(self._active):
                    self._fail(job, error)
        for job, seat in list(self._active.items()):
            seat.run.finish_reason = "interrupt"
            self._end(job, seat)
        for job in self._waiting:
            job.tell(Progress(error=GenerationError("the server is shutting down")))

    def _turn(self) -> None:
        self._admit()
        self._leave()
        if self._active:
            self._step()
        self._metrics.jobs(len(self._active), len(self._waiting))

    def _admit(self) -> None:
        while len(self._active) < self._settings.max_batch and self._waiting:
            with self._changed:
                job = self._waiting.popleft()
            if job.abandoned.is_set():
                continue
            try:
                with time_limit(self._settings.compile_seconds):
                    seat = self._generator(job).seat(job.messages, **job.options)
            except Exception as error:  # a job that cannot begin must not stop the others
                job.tell(Progress(error=error))
                continue
            self._active[job] = Seat(seat.engine, seat.run, seat.limits, job.ends)
            self._tell(job, seat)

    def _generator(self, job: Job) -> Generator:
        if job.key not in self._generators:
            made = Generator(self._model, job.spec, grammar=job.grammar)
            self._generators[job.key] = made
            while len(self._generators) > self._settings.kept:
                self._generators.popitem(last=False)
        self._generators.move_to_end(job.key)
        return self._generators[job.key]

    def _leave(self) -> None:
        for job, seat in list(self._active.items()):
            if job.abandoned.is_set():
                del self._active[job]
            elif seat.finish():
                self._end(job, seat)

    def _end(self, job: Job, seat: Seat) -> None:
        del self._active[job]
        try:
            fill(seat.run)
            text = seat.run.canvas.text()
            usage, reason = seat.run.usage, seat.run.finish_reason
            assert reason is not None
            result = Result(job.spec.parse(text), text, reason, usage)
            tokens = len(self._model.denoiser.encode(text))
            job.tell(Progress(text, self._cells(job, seat), usage.forward_passes, result, tokens))
        except Exception as error:  # as above
            job.tell(Progress(error=error))

    def _step(self) -> None:
        started = time.perf_counter()
        for job, look in self._looks():
            seat = self._active[job]
            seconds = max(0.0, min(self._settings.step_seconds, job.ends - time.monotonic()))
            try:
                with time_limit(seconds):
                    advance(seat, look)
            except Exception as error:  # as above
                self._fail(job, error)
                continue
            seat.run.trace.clear()  # nobody reads it
            if job.streams:
                self._tell(job, seat)
        self._metrics.step(len(self._active), time.perf_counter() - started)

    def _looks(self) -> list[tuple[Job, Look]]:
        """One forward pass for all; if it fails, one for each, to find who is to blame."""
        jobs = list(self._active)
        try:
            looks = look_at([self._active[job] for job in jobs])
            return list(zip(jobs, looks, strict=True))
        except Exception as error:  # whatever a model raises
            if len(jobs) == 1:
                self._fail(jobs[0], error)
                return []
        found = []
        for job in jobs:
            try:
                found.append((job, look_at([self._active[job]])[0]))
            except Exception as error:  # as above
                self._fail(job, error)
        return found

    def _fail(self, job: Job, error: Exception) -> None:
        del self._active[job]
        job.tell(Progress(error=error))

    def _tell(self, job: Job, seat: Seat) -> None:
        text = committed_text(seat.run.canvas) if job.streams else ""
        passes = seat.run.usage.forward_passes
        job.tell(Progress(text, self._cells(job, seat), passes))

    def _cells(self, job: Job, seat: Seat) -> tuple[Cell, ...] | None:
        return seat.run.canvas.cells() if job.previews else None
