"""What a block policy sees: the blocks it may choose, each described by what lies in it.

Every block is a stretch of the open positions in some order, so a choice is a length. Every choice
has the same features, so one small network scores them all, and a menu may change without new
weights. The state of CtrlDiff (arXiv:2505.14455) also holds pooled hidden states of the last
blocks; a `Denoiser` gives none, so what those blocks cost, and whether they were revised, stands
for them here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ctrlgen.schedulers.base import Floats, Ints, Mask, Proposal

Order = Literal["left", "sure"]

FEATURES = (
    "log size", "share", "slots", "ends at a wall", "fill", "log doubt", "log entropy",
    "mean entropy", "largest entropy", "least confidence", "mean confidence", "unsure share",
    "next confidence", "reaches the end", "entropy beyond", "progress", "log open",
    "log to the wall", "log passes", "log last size", "last passes", "reopened share",
    "one over steps left",
)  # fmt: skip
UNSURE = 0.9
"""Positions below this confidence count as unsure."""

LAST, PASSES, PAST = "policy last block", "policy passes", "policy past"


@dataclass(frozen=True, eq=False)
class Line:
    """The open positions in the order that blocks take them.

    Args:
        at: Where each of them stands in the proposal, (positions,).
        sure: Their confidence.
        entropy: In nats.
        fill: Whether fill is proposed.
        ends: Whether a slot ends behind the position.
    """

    at: Ints
    sure: Floats
    entropy: Floats
    fill: Floats
    ends: Mask

    def __len__(self) -> int:
        return len(self.at)

    @property
    def to_the_wall(self) -> int:
        """Positions of the first slot."""
        return int(np.argmax(self.ends)) + 1


def line_up(proposal: Proposal, order: Order) -> Line:
    """All open positions: as they stand (`left`), or slot by slot, the surest first (`sure`).

    A slot is as sure as its least sure position.
    """
    slots, which = np.unique(proposal.gaps, return_inverse=True)
    least = np.full(len(slots), np.inf)
    np.minimum.at(least, which, proposal.confidence)
    at = np.arange(len(which))
    if order == "sure":
        at = np.lexsort((at, which, -least[which]))
    gaps = which[at]
    return Line(
        at,
        proposal.confidence[at],
        np.maximum(proposal.entropy, 0.0)[at],
        np.array([not proposal.pieces[i] for i in at], dtype=float),
        np.concatenate([gaps[1:] != gaps[:-1], [True]]),
    )


@dataclass(frozen=True)
class Choice:
    """One block that may be chosen.

    Args:
        name: The length as the menu has it.
        size: How many positions of the line.
    """

    name: str
    size: int


def choices(line: Line, sizes: tuple[int, ...]) -> list[Choice]:
    """The blocks on offer, shortest first and each length once.

    Those of so many positions, to the next wall, to the last wall but one, and all.
    """
    walls = np.flatnonzero(line.ends) + 1
    named = [(str(size), min(size, len(line))) for size in sizes]
    named += [("wall", int(walls[0]))]
    named += [("all but a slot", int(walls[-2]))] if len(walls) > 1 else []
    names: dict[int, str] = {}
    for name, size in [*named, ("all", len(line))]:
        names[size] = name  # of equals the last: it says more than a number
    return [Choice(names[size], size) for size in sorted(names)]


def describe(proposal: Proposal, line: Line, offered: list[Choice]) -> Floats:
    """The features of every choice, (choices, FEATURES)."""
    sizes = np.array([choice.size for choice in offered])
    around = np.tile(_around(proposal, line), (len(sizes), 1))
    return np.concatenate([_inside(line, sizes), around], axis=1)


def _inside(line: Line, sizes: Ints) -> Floats:
    """What each block holds, (choices, 15)."""
    last, total = sizes - 1, np.cumsum(line.entropy)
    doubt = np.cumsum(-np.log(np.clip(line.sure, 1e-6, 1.0)))
    least = np.minimum.accumulate(line.sure)[last]
    following = np.append(line.sure, 1.0)[sizes]
    columns = [
        np.log1p(sizes),
        sizes / len(line),
        np.log1p(np.cumsum(line.ends)[last]),
        line.ends[last].astype(float),
        np.cumsum(line.fill)[last] / sizes,
        np.log1p(doubt[last]),
        np.log1p(total[last]),
        total[last] / sizes,
        np.maximum.accumulate(line.entropy)[last],
        least,
        np.cumsum(line.sure)[last] / sizes,
        np.cumsum(line.sure < UNSURE)[last] / sizes,
        following,
        (sizes == len(line)).astype(float),
        (total[-1] - total[last]) / np.maximum(1, len(line) - sizes),
    ]
    return np.stack(columns, axis=1)


def _around(proposal: Proposal, line: Line) -> Floats:
    """What is the same for all choices, (8,)."""
    memory = proposal.memory
    last, passes = memory.get(LAST, (0, 0))
    past: Ints = memory.get(PAST, np.zeros(0, dtype=np.int64))
    return np.array(
        [
            proposal.progress,
            np.log1p(len(line)),
            np.log1p(line.to_the_wall),
            np.log1p(memory.get(PASSES, 0)),
            np.log1p(last),
            float(passes),
            float(np.isin(proposal.keys, past).mean()),
            0.0 if proposal.steps_left is None else 1.0 / max(1, proposal.steps_left),
        ]
    )


def note_pass(memory: dict[str, Any]) -> None:
    """One more pass, in this block and in all."""
    memory[PASSES] = memory.get(PASSES, 0) + 1
    size, passes = memory.get(LAST, (0, 0))
    memory[LAST] = (size, passes + 1)


def note_block(memory: dict[str, Any], keys: Ints, open_: Ints) -> None:
    """A block begins; what was committed in earlier ones, and is open later on, was revised.

    Args:
        memory: Of the canvas.
        keys: Positions of the block.
        open_: All open positions.
    """
    done = np.setdiff1d(memory.get("block", ()), open_)
    memory[PAST] = np.union1d(memory.get(PAST, ()), done).astype(np.int64)
    memory[LAST], memory["block"] = (len(keys), 0), keys
