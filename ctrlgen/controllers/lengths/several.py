"""Several lengths in one batch: each row shows every slot of unknown length at one length.

A denoiser that knows no slack is at its surest where a slot is as long as its value. The rows of a
batch are the same canvas with all those slots 1, 2, 3 ... masks long; for each slot the best
filling of each row is scored, and the calibrated score (`scores.py`) picks the length. That a slot
is absent is one of its candidates: `null` in the row where it has that many masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.excerpt import excerpt, has_key
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers.lengths.base import (
    ExactSlots,
    Row,
    fix,
    log_softmax,
    open_places,
    without_fill,
)
from ctrlgen.controllers.lengths.open_end import OpenEnd, with_ends
from ctrlgen.controllers.lengths.scores import SEVERAL, Candidate, LengthScore
from ctrlgen.controllers.lengths.second_look import exact

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24)


@dataclass(frozen=True)
class SeveralLengths(ExactSlots):
    """Lengths from one batch of candidates.

    Args:
        lengths: Lengths to try, rising.
        score: Compares fillings of different lengths.
        forks: How forks are read, whose heads have no length to be found.
    """

    lengths: tuple[int, ...] = LENGTHS
    score: LengthScore = field(default_factory=lambda: LengthScore(SEVERAL))
    forks: OpenEnd = field(default_factory=OpenEnd)

    def rows(self, canvas: Canvas) -> list[Row]:
        """One row a length, or just the canvas once all are known; and one a fork."""
        gaps = _Parted.of(canvas)
        tried = self.tried(canvas, gaps.unknown)
        rows = [
            gaps.row(canvas, {g: _clipped(g, n) for g in gaps.unknown}) for n in tried or [0]
        ] if gaps.known or gaps.unknown else []  # fmt: skip
        loose = gaps.forks + gaps.unknown
        return rows + [self.forks.row(canvas, fork, loose) for fork in gaps.forks]

    def tried(self, canvas: Canvas, unknown: list[Gap]) -> list[int]:
        """Lengths for which all slots together still fit, each row a different one."""
        if not unknown:
            return []
        rest = canvas.size() - sum(gap.length for gap in unknown)
        fits = [
            n for n in self.lengths
            if rest + sum(_clipped(gap, n) for gap in unknown) <= canvas.budget
        ]  # fmt: skip
        return fits or [1]

    def read(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        """The rows of the length that each slot takes, and of the first row for known lengths."""
        gaps, given = _Parted.of(canvas), list(logits)
        tried = self.tried(canvas, gaps.unknown)
        chosen: dict[Gap, Floats] = {}
        for gap in reversed(gaps.forks):
            chosen[gap] = with_ends(canvas, gap, given.pop())
        fill = canvas.scaffold.fill
        shown = [gap for gap in gaps.all if gap not in chosen]
        cut = cut_rows(shown, tried or [0], given)
        for gap in gaps.known:
            chosen[gap] = without_fill(cut[0][gap], fill)
        for gap in gaps.unknown:
            chosen[gap] = self._choose(canvas, gap, [c[gap] for c in cut])
        left = [chosen[place.gap] for place in open_places(canvas)]
        return np.concatenate(left) if left else logits[0][:0]

    def _choose(self, canvas: Canvas, gap: Gap, rows: list[Floats]) -> Floats:
        """Give a gap the length whose best filling has the best score; returns that row."""
        found = candidates(canvas, gap, rows)
        best = found[int(np.argmax(self.score(found)))] if found else None
        row = rows[best.row if best is not None else -1]
        absent = best is not None and best.empty and gap.slack.absent
        return fix(canvas, gap, 0 if absent else len(row), row)

    def settle(self, canvas: Canvas) -> None:
        """As with an open end."""
        self.forks.settle(canvas)


@dataclass(frozen=True)
class _Parted:
    """Open gaps: all in order, forks, values of unknown length, and what has its length."""

    all: list[Gap]
    forks: list[Gap]
    unknown: list[Gap]
    known: list[Gap]

    @classmethod
    def of(cls, canvas: Canvas) -> _Parted:
        gaps = [place.gap for place in open_places(canvas)]
        loose = [gap for gap in gaps if not gap.exact]
        return cls(
            gaps, [g for g in loose if g.is_fork], [g for g in loose if not g.is_fork],
            [g for g in gaps if g.exact],
        )  # fmt: skip

    def row(self, canvas: Canvas, lengths: dict[Gap, int]) -> Row:
        """The canvas without forks, values of unknown length at those given."""
        laid = excerpt(canvas, left_out=self.forks, lengths=lengths)
        asked = [
            i for g in self.all if g not in self.forks
            for i in range(laid.offsets[g], laid.offsets[g] + lengths.get(g, g.length))
        ]  # fmt: skip
        return Row(laid.ids, asked)


def cut_rows(
    gaps: Sequence[Gap], tried: Sequence[int], logits: Sequence[Floats]
) -> list[dict[Gap, Floats]]:
    """The part that each gap has of each row.

    Args:
        gaps: Those that the rows ask for, in order.
        tried: The length of each row.
        logits: Of each row, (positions, vocab).
    """
    out = []
    for n, found in zip(tried, logits, strict=False):
        sizes = [gap.length if gap.exact else _clipped(gap, n) for gap in gaps]
        pieces = np.split(found, np.cumsum(sizes)[:-1])
        out.append(dict(zip(gaps, pieces, strict=True)))
    return out


def candidates(canvas: Canvas, gap: Gap, rows: Sequence[Floats]) -> list[Candidate]:
    """The best exact filling of a gap at each length, and that it is empty.

    Args:
        canvas: Where the gap lies.
        gap: A gap of unknown length.
        rows: Logits at its positions for each length tried, (length, vocab).
    """
    scaffold, out = canvas.scaffold, []
    null, seen = scaffold.encode("null"), set[int]()
    for k, logits in enumerate(rows):
        length = len(logits)
        if length in seen:
            continue
        seen.add(length)
        log_probs = log_softmax(logits, canvas.mask, scaffold.fill)
        posterior = exact(canvas, gap, log_probs)
        if posterior is not None:
            tokens = posterior.best()
            picked = log_probs[np.arange(length), tokens]
            out.append(Candidate(k, length, picked, tokens.tolist() == null))
        if length == len(null) and gap.slack.absent and not (out and out[-1].empty):
            empty = np.zeros(1)
            if has_key(canvas, gap):
                empty = log_probs[np.arange(length), null]
                out.append(Candidate(k, length, empty, True))
    return out


def _clipped(gap: Gap, length: int) -> int:
    return max(length, gap.minimum)
