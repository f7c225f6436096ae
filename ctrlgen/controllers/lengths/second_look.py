"""A second look: what an open end left in doubt is shown at each length that it may have.

With an open end each token of a long name is predicted by itself, so that the length is off by one
or two, and each slot decides by itself whether it has a value. So the second pass shows the whole
canvas once a length: the slot that is in doubt as so many masks, all others as what they hold, or
are likeliest to hold. Lengths come from the open end's posterior and from phrases of the prompt.
The best filling of each row, its likeliest phrase, and `null` where the slot may be absent are
candidates, and a fitted score (`scores.py`) compares them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.excerpt import excerpt, has_key
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.atoms import Floats, Ints
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.controllers.constraint import ConstraintController
from ctrlgen.controllers.grounding import phrases_in
from ctrlgen.controllers.lengths.base import (
    Row,
    fix,
    log_softmax,
    null_is_value,
    take_witness,
    without_fill,
)
from ctrlgen.controllers.lengths.scores import Candidate, LengthScore
from ctrlgen.errors import LimitError

LEAST_MASS = 1e-3
"""Lengths less likely than this are not looked at."""
NEAREST, REACH = 3, 20.0
"""So many phrases give their length, if no more than so many nats less likely than the best."""
TRIES = 5
"""So many phrases of a length are tried against the grammar."""


@dataclass(frozen=True, eq=False)
class Guess:
    """What an open end says of a slot.

    Args:
        lengths: Those to be looked at.
        mass: Log-probability of every length, (slot + 1,); 0 is absence.
        tokens: The likeliest value at the likeliest length; none: absent.
    """

    lengths: tuple[int, ...]
    mass: Floats
    tokens: tuple[int, ...]

    def within(self, room: int) -> tuple[int, ...]:
        """Those lengths that a slot of so many positions has room for."""
        return tuple(length for length in self.lengths if length <= room)

    @property
    def sure(self) -> float:
        """Log-probability of its length."""
        return float(self.mass.max())


def guess(canvas: Canvas, gap: Gap, posterior: Posterior, most: int) -> Guess:
    """What is to be looked at again.

    Args:
        canvas: Where the gap lies.
        gap: A gap of unknown length.
        posterior: Of its fillings, with an open end.
        most: Lengths of the posterior that are looked at.
    """
    rows = np.asarray(posterior.log_probs, dtype=np.float64)
    mass = posterior.length_posterior()
    order = np.argsort(-mass, kind="stable")
    lengths = {int(k) for k in order[:most] if k and mass[k] > LEAST_MASS}
    null = canvas.scaffold.encode("null")
    if gap.slack.absent and has_key(canvas, gap):
        lengths.add(len(null))
    fillings = phrases_in(canvas).fillings(gap)
    if gap.kind != "text" and len(fillings):
        at = np.arange(gap.length)
        scores, best = rows[at, fillings].sum(axis=1), rows[at, posterior.best()].sum()
        for k in np.argsort(-scores, kind="stable")[:NEAREST]:
            if scores[k] > best - REACH:
                lengths.add(int((fillings[k] != canvas.scaffold.fill).sum()))
    likeliest = int(order[0])
    found = exact(canvas, gap, rows[:likeliest]) if likeliest else None
    tokens = () if found is None else tuple(found.best().tolist())
    with np.errstate(divide="ignore"):
        return Guess(tuple(sorted(lengths)), np.log(mass), tokens)


def exact(canvas: Canvas, gap: Gap, logits: Floats) -> Posterior | None:
    """Fillings of an untouched gap that take all positions, None if there are none.

    Args:
        canvas: Where the gap lies; it stays as it is.
        gap: A gap of unknown length.
        logits: At so many positions as it is to have, (length, vocab).
    """
    fill = canvas.scaffold.fill
    probe = gap.copy()
    probe.resize(canvas.scaffold.filling(gap, len(logits)))
    if probe.length != len(logits):  # shorter than any value
        return None
    try:
        posterior = ConstraintController().posterior(canvas, probe, without_fill(logits, fill))
    except LimitError:
        return None
    return None if (posterior.best() == fill).any() else posterior


def rows(canvas: Canvas, guessed: Sequence[Gap], left_out: Sequence[Gap]) -> list[Row]:
    """A row for each length of each gap in doubt.

    Args:
        canvas: Where the gaps lie.
        guessed: Those in doubt.
        left_out: Gaps of which nothing is known.
    """
    likely = {g: list(g.guess.tokens) for g in guessed if 0 < len(g.guess.tokens) <= g.length}
    empty = [g for g in guessed if g not in likely]
    out = []
    for gap in guessed:
        hidden = [*left_out, *(g for g in empty if g is not gap)]
        shown = {g: tokens for g, tokens in likely.items() if g is not gap}
        for length in gap.guess.within(gap.length):
            laid = excerpt(canvas, hidden, {**{g: len(t) for g, t in shown.items()}, gap: length})
            for other, tokens in shown.items():
                if (start := laid.offsets.get(other)) is not None:
                    laid.ids[start : start + len(tokens)] = tokens
            start = laid.offsets[gap]
            out.append(Row(laid.ids, list(range(start, start + length))))
    return out


def settle(
    canvas: Canvas, gaps: Sequence[Gap], logits: Sequence[Floats], score: LengthScore
) -> dict[Gap, Floats]:
    """Give gaps in doubt the length of their best candidate.

    Args:
        canvas: Where they lie.
        gaps: Those in doubt.
        logits: Of their rows, in order.
        score: Compares candidates.

    Returns:
        Rows of each gap from now on.
    """
    given, found = list(logits), list[tuple[list[Floats], list[Candidate]]]()
    for gap in gaps:
        mine = given[: len(gap.guess.within(gap.length))]
        del given[: len(mine)]
        found.append((mine, candidates(canvas, gap, mine)))
    texts = _texts(canvas)
    found = [(mine, _marked(canvas, g, t, texts)) for g, (mine, t) in zip(gaps, found, strict=True)]
    out: dict[Gap, Floats] = {}
    for gap, (mine, tries) in zip(gaps, found, strict=True):
        gap.held, gap.guess = False, None
        if not tries:
            take_witness(canvas, gap)
            continue
        best = tries[decided(tries, score(tries))]
        out[gap] = fix(canvas, gap, 0 if best.empty else best.length, mine[best.row])
    return out


def candidates(canvas: Canvas, gap: Gap, logits: Sequence[Floats]) -> list[Candidate]:
    """Of each row the best filling, the likeliest phrase, and `null` where it is that long."""
    scaffold, out = canvas.scaffold, list[Candidate]()
    null = scaffold.encode("null")
    absent = gap.slack.absent and not null_is_value(canvas, gap)
    told = absent and has_key(canvas, gap)
    prompt = _spelled(canvas, canvas.prompt)
    for k, rows_of in enumerate(logits):
        length = len(rows_of)
        log_probs = log_softmax(rows_of, canvas.mask, scaffold.fill)
        for tokens in _values(canvas, gap, log_probs):
            picked = log_probs[np.arange(length), list(tokens)]
            phrase = _stands_in(prompt, _spelled(canvas, tokens).strip('"'))
            open_ = _open(gap, length)
            out.append(Candidate(k, length, picked, False, open_, phrase, tokens=tokens))
        if told and length == len(null):
            picked = log_probs[np.arange(length), null]
            out.append(Candidate(k, length, picked, True, _open(gap, 0)))
    if absent and not told:
        out.append(Candidate(0, 1, np.zeros(1), True, _open(gap, 0)))
    return out


def _stands_in(prompt: str, text: str) -> bool:
    """Whether a text is whole words of the prompt, in small letters or capitals."""
    return bool(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", prompt, re.IGNORECASE))


def _values(canvas: Canvas, gap: Gap, log_probs: Floats) -> list[tuple[int, ...]]:
    """The best filling that takes all positions, and the likeliest phrase that may stand there."""
    posterior = exact(canvas, gap, log_probs)
    if posterior is None:
        return []
    out = [tuple(posterior.best().tolist())]
    fillings: Ints = phrases_in(canvas).of_length(len(log_probs))
    scores = log_probs[np.arange(len(log_probs)), fillings].sum(axis=1)
    for k in np.argsort(-scores, kind="stable")[:TRIES]:
        if (
            np.isfinite(scores[k])
            and Posterior(posterior.graph, posterior.log_probs, fillings[k]).feasible
        ):
            out.append(tuple(fillings[k].tolist()))
            break
    return list(dict.fromkeys(out))


def decided(tries: Sequence[Candidate], scores: Floats) -> int:
    """The best candidate, once all of them have said whether there is a value at all."""
    empty = np.array([c.empty for c in tries])
    absent = np.exp(scores[empty]).sum() > 0.5
    return int(np.argmax(np.where(empty == absent, scores, -np.inf)))


def _open(gap: Gap, length: int) -> float:
    mass: Floats = gap.guess.mass
    return float(mass[length]) if length < len(mass) else -np.inf


def _texts(canvas: Canvas) -> dict[Gap, tuple[str, float]]:
    """What each value slot holds, or is likeliest to, and how sure of it it is."""
    out: dict[Gap, tuple[str, float]] = {}
    for gap in canvas.gaps():
        if gap.guess is not None:
            out[gap] = (_spelled(canvas, gap.guess.tokens), gap.guess.sure)
        elif gap.exact or gap.settled:  # also what is sure by now, and only waits for its tokens
            out[gap] = (canvas.spell(gap).decode(errors="replace"), 0.0)
    return {gap: held for gap, held in out.items() if held[0] and not gap.is_fork}


def _marked(
    canvas: Canvas, gap: Gap, tries: list[Candidate], texts: dict[Gap, tuple[str, float]]
) -> list[Candidate]:
    """The candidates, told whether their text stands in another slot."""
    out = []
    for each in tries:
        text = _spelled(canvas, each.tokens)
        sure = [s for other, (held, s) in texts.items() if other is not gap and held == text]
        before = bool(sure) and max(sure) > gap.guess.sure
        out.append(replace(each, taken=bool(sure), before=before))
    return out


def _spelled(canvas: Canvas, tokens: Sequence[int]) -> str:
    pieces = canvas.scaffold.constraint.vocabulary.tokens
    return b"".join(pieces[t] or b"" for t in tokens).decode(errors="replace")
