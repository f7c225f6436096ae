"""The protocol of length sources, and what they share.

A denoiser that was trained with slack says in one pass where each value ends. Others know no fill:
they write as many tokens as they see masks. For those a length source looks at rows of its own in
the same forward pass, and says what the fill of each slot is worth. Everything after that, the
posterior and its witness, is as ever, so no length can make an answer invalid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.canvas import Place
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers.constraint import ConstraintController

NO_FILL = 1e3
"""How many nats less likely than the best token fill is in a slot whose length is known."""


@dataclass(frozen=True)
class Row:
    """One sequence that the denoiser is to look at.

    Args:
        ids: Canvas ids, without the prompt.
        positions: Where in them logits are wanted.
    """

    ids: list[int]
    positions: list[int]


@runtime_checkable
class LengthSource(Protocol):
    """Finds the lengths of slots for a denoiser that knows no slack."""

    def measures(self, canvas: Canvas) -> bool:
        """Whether the next forward pass needs rows of its own."""
        ...

    def rows(self, canvas: Canvas) -> list[Row]:
        """What it looks at then: one batch, however many rows."""
        ...

    def read(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        """Logits of `open_places(canvas)`, in order; gaps may change their lengths before.

        Args:
            canvas: The canvas.
            rows: What `rows` said.
            logits: Of each, (positions, vocab).
        """
        ...

    def plain(self, canvas: Canvas, logits: Floats) -> Floats:
        """The logits of a pass that needed no rows of its own, (positions, vocab)."""
        ...

    def settle(self, canvas: Canvas) -> None:
        """After a step, fix the lengths that are sure by now."""
        ...


class ExactSlots:
    """What sources share that lay out each slot at its length, without fill."""

    def measures(self, canvas: Canvas) -> bool:
        """While the length of an open slot is unknown."""
        return any(not place.gap.exact for place in open_places(canvas))

    def plain(self, canvas: Canvas, logits: Floats) -> Floats:
        """Rows of slots of known length."""
        return without_fill(logits, canvas.scaffold.fill)


def open_places(canvas: Canvas) -> list[Place]:
    """Open gaps that the denoiser may see, in order; those that wait are left out."""
    return [p for p in canvas.view().places if not (p.gap.settled or p.gap.held)]


def null_is_value(canvas: Canvas, gap: Gap) -> bool:
    """Whether `null` may stand in a gap, so that absence need not be told by it."""
    automaton = canvas.scaffold.constraint.automaton
    return automaton.is_accepting(automaton.run(gap.start, b"null"))


def without_fill(logits: Floats, fill: int) -> Floats:
    """Rows of a slot whose length is known: fill loses to every token that is possible at all."""
    out = np.array(logits, dtype=np.float64)
    out[:, fill] = out.max(axis=1) - NO_FILL
    return out


def log_softmax(logits: Floats, *never: int) -> Floats:
    """Log-probabilities, (rows, vocab), some tokens left out."""
    out = np.array(logits, dtype=np.float64)
    out[:, list(never)] = -np.inf
    with np.errstate(invalid="ignore"):
        out -= out.max(axis=1, keepdims=True)
        out -= np.log(np.exp(out).sum(axis=1, keepdims=True))
    return out


def fix(canvas: Canvas, gap: Gap, length: int, logits: Floats) -> Floats:
    """Give a gap its length, 0 if it is to be absent; what is committed in it stays.

    Args:
        canvas: Where it lies.
        gap: A gap whose committed tokens leave room for a value of that length.
        length: Positions of the value.
        logits: At its positions, (at least length, vocab).

    Returns:
        Its rows from now on: none if it is settled.
    """
    fill = canvas.scaffold.fill
    if length == 0:
        gap.resize(np.full(1, fill))
        canvas.aside += canvas.commit(gap, np.ones(1, dtype=bool))
        return logits[:0]
    rows = without_fill(logits[:length], fill)
    if gap.untouched and length >= gap.minimum:
        gap.resize(canvas.scaffold.filling(gap, length))
    else:  # rare tokens can be shorter than the shortest filling by the model's own
        gap.cut(length)
        gap.witness = ConstraintController().posterior(canvas, gap, rows).best()
    gap.exact = True
    return rows[:0] if gap.settled else rows


def take_exact(canvas: Canvas, gap: Gap) -> None:
    """Cut a gap to the value of its witness, or take it off the canvas if that has none."""
    if gap.is_absent:
        canvas.aside += canvas.commit(gap, np.ones(gap.length, dtype=bool))
        canvas.drop(gap)
    else:
        gap.cut(gap.value_length)


def take_witness(canvas: Canvas, gap: Gap) -> None:
    """Settle a gap with its witness, and cut it to the value of that."""
    canvas.aside += canvas.commit(gap, np.ones(gap.length, dtype=bool))
    take_exact(canvas, gap)
