"""What a generation returns: the typed object, its text, what it cost, how it came about."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import asdict, dataclass, field
from functools import cached_property
from html import escape
from typing import Any, Literal, Protocol

from ctrlgen.canvas import Cell, Decision
from ctrlgen.pictures import cells_html

FinishReason = Literal["stop", "steps", "deadline", "interrupt"]


@dataclass
class Usage:
    """What one object cost.

    Args:
        prompt_tokens: Tokens of the prompt.
        forward_passes: Times the denoiser looked at this canvas.
        forward_rows: Sequences it looked at in those passes: more than one a pass where lengths or
            branches are tried side by side.
        canvas_tokens: Positions of the final canvas.
        committed_tokens: Positions that a scheduler, or the end of the budget, committed.
        forced_tokens: Positions that the constraint left no choice about.
        revised_tokens: Times that a committed token was taken back.
    """

    prompt_tokens: int = 0
    forward_passes: int = 0
    forward_rows: int = 0
    canvas_tokens: int = 0
    committed_tokens: int = 0
    forced_tokens: int = 0
    revised_tokens: int = 0


class Shown(Protocol):
    """A canvas, to look at."""

    def cells(self, window: Container[tuple[int, int]] = ()) -> tuple[Cell, ...]:
        """Every position with its state; `window`: what the block controller let commit."""
        ...

    def text(self) -> str:
        """The answer as it stands."""
        ...


@dataclass(frozen=True, eq=False)
class StepEvent:
    """The state of one canvas after a denoising step; spelled out when somebody looks.

    Args:
        step: Number of the step, from 1.
        forward_passes: Forward passes so far.
        canvas: How it stood; it does not change any more.
        result: Set on the last event of a stream.
        window: Gap and place in it of what might commit in this step, where that is not all.
        refused: What the type, or the check, said of the finished text; then the search goes on.
        decided: How the forks went that were settled in this step.
        search: What a search over canvases did in this step, if anything.
    """

    step: int
    forward_passes: int
    canvas: Shown = field(repr=False)
    result: Result | None = None
    window: Container[tuple[int, int]] = field(default=(), repr=False)
    refused: str | None = None
    decided: tuple[Decision, ...] = ()
    search: str | None = None

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every position with its state."""
        return self.canvas.cells(self.window)

    @cached_property
    def text(self) -> str:
        """The witness: a complete valid answer, were the loop to stop here."""
        return self.canvas.text()

    def __getstate__(self) -> dict[str, Any]:
        """Pickles what the canvas shows instead of the canvas, which holds the constraint."""
        return {**self.__dict__, "canvas": None, "cells": self.cells, "text": self.text}

    def as_dict(self) -> dict[str, Any]:
        """The event as JSON data, without the result."""
        return {
            "step": self.step,
            "forward_passes": self.forward_passes,
            "text": self.text,
            **({"refused": self.refused} if self.refused else {}),
            **({"decided": [asdict(each) for each in self.decided]} if self.decided else {}),
            **({"search": self.search} if self.search else {}),
            "cells": [asdict(cell) for cell in self.cells],
        }


@dataclass(frozen=True)
class Result:
    """One generated object.

    Args:
        output: The typed value.
        text: The text it was parsed from.
        finish_reason: `stop` when everything was denoised; otherwise what ended the run early, and
            the rest was filled from the witness.
        usage: What it cost.
        trace: One event per step.
    """

    output: Any
    text: str
    finish_reason: FinishReason
    usage: Usage
    trace: tuple[StepEvent, ...] = field(default=(), repr=False)

    def _repr_html_(self) -> str:
        """Object and canvas, for notebooks."""
        cells = cells_html([asdict(cell) for cell in self.trace[-1].cells]) if self.trace else ""
        cost = f"{self.usage.forward_passes} forward passes, {self.finish_reason}"
        return f"<pre>{escape(repr(self.output))}</pre>{cells}<small>{cost}</small>"
