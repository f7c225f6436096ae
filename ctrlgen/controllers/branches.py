"""Branches by paired likelihoods: each alternative is written out, and all are scored alike.

A fork, an enum or a boolean has few alternatives. The posterior scores them by one look at masks,
each token by itself. Here they are compared as in Diffusion Classifier (arXiv:2303.16203): the
alternatives stand in the canvas one by one, the same positions are masked in all of them, so that
what the masks cost cancels out, and after each round only the better half goes on. The first round
masks everything, and is one row for all; round r masks every 2^(r-1)-th position, in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.excerpt import excerpt, has_key
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.atoms import Floats
from ctrlgen.constraints.automaton import DEAD
from ctrlgen.controllers.lengths import LengthSource, OpenEnd, Row, open_places
from ctrlgen.controllers.lengths.base import log_softmax
from ctrlgen.controllers.lengths.open_end import ends_of

LONGEST = 200
"""Bytes of an alternative beyond which a slot is not taken for a choice."""


@dataclass
class Trial:
    """Alternatives of a gap and their scores.

    Args:
        words: Tokens of each that is left; those of `null` for an absent one, or none with slack.
        scores: Log-likelihoods by round, (words, rounds).
        round: Number of the round to come, from 1.
        sure: Probability of the best one, once it is decided.
    """

    words: list[list[int]]
    scores: list[list[float]]
    round: int = 1
    sure: float | None = None

    def parts(self) -> int:
        """Patterns of masks in this round."""
        return 1 << (self.round - 1)

    def rows(self) -> int:
        """Rows that this round takes."""
        return 1 if self.round == 1 else self.parts() * len(self.words)


@dataclass(frozen=True)
class PairedBranches:
    """Scores the alternatives of forks, enums and booleans; another source measures the rest.

    Args:
        lengths: That other source; None where the denoiser knows slack.
        most: Slots with more alternatives than this are left to the posterior.
        rounds: Most rounds, each a forward pass.
        lead: So many nats ahead, the best one needs no further round.
    """

    lengths: LengthSource | None = None
    most: int = 32
    rounds: int = 3
    lead: float = 4.0
    open_end: OpenEnd = field(default_factory=OpenEnd)

    def measures(self, canvas: Canvas) -> bool:
        """While there is a choice, and as long as the other source does."""
        self._hold(canvas)
        waiting = bool(_held(canvas))
        return waiting or (self.lengths is not None and self.lengths.measures(canvas))

    def _hold(self, canvas: Canvas) -> None:
        """Begin a trial of every choice that the denoiser may see."""
        for place in open_places(canvas):
            gap = place.gap
            if gap.trial is None and gap.untouched:
                words = list(alternatives(canvas, gap, self.most, null=self.lengths is not None))
                longest = max(map(len, words), default=0)
                room = gap.length + canvas.budget - canvas.size()
                gap.held = 1 < len(words) <= self.most and longest <= room
                gap.trial = Trial(words, [[] for _ in words]) if gap.held else ()
                if gap.held and longest > gap.length:
                    gap.resize(canvas.scaffold.filling(gap, longest))

    def rows(self, canvas: Canvas) -> list[Row]:
        """Rows of everything else, then of each trial."""
        return self._others(canvas) + [
            row for gap in _held(canvas) for row in self._trial_rows(canvas, gap)
        ]

    def _others(self, canvas: Canvas) -> list[Row]:
        if self.lengths is not None and self.lengths.measures(canvas):
            return self.lengths.rows(canvas)
        places = open_places(canvas)
        if not places:
            return []
        spans = [range(p.offset, p.offset + p.gap.length) for p in places]
        return [Row(canvas.view().ids, [i for span in spans for i in span])]

    def _trial_rows(self, canvas: Canvas, gap: Gap) -> Iterator[Row]:
        """The canvas with each alternative in turn, and the masks of this round."""
        trial: Trial = gap.trial
        base = self._base(canvas, gap)
        start = base.positions[0]
        if trial.round == 1:
            yield base
            return
        for word in trial.words:
            for part in range(trial.parts()):
                ids = list(base.ids)
                for i, token in enumerate(self._laid(canvas, gap, word)):
                    ids[start + i] = canvas.mask if i % trial.parts() == part else token
                yield Row(ids, base.positions)

    def _base(self, canvas: Canvas, gap: Gap) -> Row:
        if self.lengths is None:
            laid = excerpt(canvas)
            start = laid.offsets[gap]
            return Row(laid.ids, list(range(start, start + gap.length)))
        unknown = [place.gap for place in open_places(canvas) if not place.gap.exact]
        return self.open_end.row(canvas, gap, unknown)

    def _laid(self, canvas: Canvas, gap: Gap, word: list[int]) -> list[int]:
        """An alternative as it stands in the gap: with slack, fill belongs to it."""
        slack = [canvas.scaffold.fill] * (gap.length - len(word))
        return word + slack if self.lengths is None else word

    def read(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        """Logits of everything else; trials go on, or end and commit."""
        trials = _held(canvas)
        counts = [gap.trial.rows() for gap in trials]
        split = len(logits) - sum(counts)
        out = self._read_others(canvas, rows[:split], logits[:split])
        for gap, count in zip(trials, counts, strict=True):
            self._judge(canvas, gap, logits[split : split + count])
            split += count
        return out

    def _read_others(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        if not logits:
            return np.zeros((0, canvas.scaffold.constraint.vocabulary.size))
        if self.lengths is None:
            return logits[0]
        if self.lengths.measures(canvas):
            return self.lengths.read(canvas, rows, logits)
        return self.lengths.plain(canvas, logits[0])

    def _judge(self, canvas: Canvas, gap: Gap, logits: Sequence[Floats]) -> None:
        """Score a round; keep the better half, or decide."""
        trial: Trial = gap.trial
        log_probs = [log_softmax(rows, canvas.mask) for rows in logits]
        parts = trial.parts()
        for k, (word, scores) in enumerate(zip(trial.words, trial.scores, strict=True)):
            mine = log_probs if trial.round == 1 else log_probs[k * parts : (k + 1) * parts]
            tokens = self._laid(canvas, gap, word)
            total = sum(float(mine[i % parts][i, t]) for i, t in enumerate(tokens))
            if self.lengths is not None:
                total += float(ends_of(canvas, gap, mine[0])[len(word)])
            scores.append(max(total, -1e6))
        means = np.array([np.mean(scores) for scores in trial.scores])
        order = np.argsort(-means, kind="stable")
        gap.witness = self._filling(canvas, gap, trial.words[order[0]])
        ahead = float(means[order[0]] - means[order[1]])
        if trial.round >= self.rounds or ahead >= self.lead:
            trial.sure = float(np.exp(means[order[0]] - np.logaddexp.reduce(means)))
            return
        kept = sorted(order[: max(2, -(-len(order) // 2))].tolist())
        trial.words = [trial.words[k] for k in kept]
        trial.scores = [trial.scores[k] for k in kept]
        trial.round += 1

    def _filling(self, canvas: Canvas, gap: Gap, word: list[int]) -> Any:
        empty = gap.slack.absent and word == canvas.scaffold.encode("null")
        kept = [] if empty and self.lengths is not None and has_key(canvas, gap) else word
        fill = [canvas.scaffold.fill] * (gap.length - len(kept))
        return np.array(kept + fill, dtype=np.int64)

    def plain(self, canvas: Canvas, logits: Floats) -> Floats:
        """As the other source has it."""
        return logits if self.lengths is None else self.lengths.plain(canvas, logits)

    def settle(self, canvas: Canvas) -> None:
        """Commit what is decided, then as the other source does."""
        for gap in _held(canvas):
            if gap.trial.sure is not None:
                gap.held, gap.seen = False, True
                gap.confidence = np.full(gap.length, gap.trial.sure)
                canvas.aside += canvas.commit(gap, np.ones(gap.length, dtype=bool))
                if gap.is_fork:
                    canvas.collapse(gap)
        if self.lengths is not None:
            self.lengths.settle(canvas)


def _held(canvas: Canvas) -> list[Gap]:
    """Gaps on trial."""
    return [place.gap for place in canvas.view().places if place.gap.held and place.gap.trial]


def alternatives(canvas: Canvas, gap: Gap, most: int, *, null: bool) -> Iterator[list[int]]:
    """Tokens of everything that may stand in a gap, if that is little; else too many, or none.

    Args:
        canvas: Where it lies.
        gap: The gap.
        most: How many are too many.
        null: Whether an absent one is told by `null`; otherwise it has no tokens.
    """
    scaffold = canvas.scaffold
    start = gap.start
    if gap.is_fork:
        start = scaffold.start_of_options(canvas.affordable(gap))
    words = _words(canvas, start, most)
    if words is None:
        return
    yield from (scaffold.encode(word.decode()) for word in words if word)
    if gap.slack.absent:
        yield scaffold.encode("null") if null and has_key(canvas, gap) else []


def _words(canvas: Canvas, start: int, most: int) -> list[bytes] | None:
    """All words from a state, None if there are more than `most` or one is very long."""
    automaton = canvas.scaffold.constraint.automaton
    found: list[bytes] = []
    left = [(start, b"")]
    while left:
        state, text = left.pop()
        if automaton.is_accepting(state):
            found.append(text)
        row = automaton.row(state)
        after = np.flatnonzero(row != DEAD)
        if len(found) + len(left) + len(after) > most + 1 or len(text) > LONGEST:
            return None
        left += [(int(row[byte]), text + bytes([byte])) for byte in after[::-1].tolist()]
    return found if len(found) <= most else None
