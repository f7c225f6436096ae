"""What a generation returns: the typed object, its text, what it cost, how it came about."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any, Literal

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


@dataclass(frozen=True)
class StepEvent:
    """The state of one canvas after a denoising step.

    Args:
        step: Number of the step, from 1.
        forward_passes: Forward passes so far.
        cells: Every position with its state.
        text: The witness: a complete valid answer, were the loop to stop here.
        result: Set on the last event of a stream.
        refused: What the type, or the check, said of the finished text; then the search goes on.
        decided: How the forks went that were settled in this step.
        search: What a search over canvases did in this step, if anything.
    """

    step: int
    forward_passes: int
    cells: tuple[Cell, ...]
    text: str
    result: Result | None = None
    refused: str | None = None
    decided: tuple[Decision, ...] = ()
    search: str | None = None

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
