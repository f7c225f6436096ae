"""Open end: what is right of a slot stays masked, so that its value may end where it likes.

Every slot of unknown length has a row of its own, all in one batch: what is known, wherever it
stands, then its key, and then nothing but masks. Nothing there says how long the value is to be.
The row's own prediction of what follows (a comma, a brace) says where the value ends, and is
spelled as fill:

    fill at i is worth log S(i) - log S(i + 1),  S(i) = P(what follows begins at i)

so that a value of t tokens counts P(its tokens) x S(t): the product telescopes. A slot that may be
absent is so with P(null) in front of S.

A slot whose length that leaves in doubt is held until the next pass, which shows the whole canvas
once a length (`second_look.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.excerpt import END, excerpt, following, has_key
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.atoms import Floats, Ints
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.controllers.constraint import ConstraintController, wants_room
from ctrlgen.controllers.lengths import second_look
from ctrlgen.controllers.lengths.base import (
    ExactSlots,
    Row,
    fix,
    log_softmax,
    null_is_value,
    open_places,
    take_exact,
    without_fill,
)
from ctrlgen.controllers.lengths.scores import SECOND_LOOK, LengthScore
from ctrlgen.errors import LimitError

LEAST = -30.0
"""No end is less likely than exp(LEAST)."""


@dataclass(frozen=True)
class OpenEnd(ExactSlots):
    """Lengths from rows with an open end.

    Args:
        sure: Probability of its length at which a slot takes it.
        score: Compares lengths in a second look at what is not sure; None: the slot looks at an
            open end again once others have settled, and no more rows are needed.
        most: Lengths that the second look takes from the first.
        looks: After so many looks a slot takes its most probable length anyway.
        tail: Most masks behind a slot.
        others: Masks that stand for every other slot of unknown length, in front of it; with 0 they
            and their keys are left out. Few masks say little of a length, but the keys tell the
            model what else is asked for.
    """

    sure: float = 0.97
    score: LengthScore | None = field(default_factory=lambda: LengthScore(SECOND_LOOK))
    most: int = 4
    looks: int = 3
    tail: int = 48
    others: int = 4

    def measures(self, canvas: Canvas) -> bool:
        """While the length of an open slot is unknown, or waits for a second look."""
        return super().measures(canvas) or bool(_guessed(canvas))

    def rows(self, canvas: Canvas) -> list[Row]:
        """One for all slots of known length, one for each other, some for each in doubt."""
        unknown, known = _parted(canvas)
        guessed, out = _guessed(canvas), []
        if known:
            laid = excerpt(canvas, left_out=unknown + guessed)
            spans = [range(laid.offsets[g], laid.offsets[g] + g.length) for g in known]
            out.append(Row(laid.ids, [i for span in spans for i in span]))
        out += [self.row(canvas, gap, unknown + guessed) for gap in unknown]
        return out + second_look.rows(canvas, guessed, unknown)

    def row(self, canvas: Canvas, gap: Gap, unknown: Sequence[Gap]) -> Row:
        """A row that ends with a gap of unknown length, and masks behind it.

        Args:
            canvas: Where it lies.
            gap: The gap.
            unknown: All gaps of unknown length; the others are not shown.
        """
        others = [g for g in unknown if g is not gap]
        laid = (
            excerpt(canvas, lengths={g: min(self.others, g.length) for g in others}, until=gap)
            if self.others
            else excerpt(canvas, left_out=others, until=gap)
        )
        start, room = laid.offsets[gap], canvas.budget - len(laid.ids)
        tail = max(0, min(self.tail, room))
        asked = range(start, start + gap.length + min(1, tail))
        return Row(laid.ids + [canvas.mask] * tail, list(asked))

    def read(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        """Known slots as they are, the others with fill that tells where they end."""
        unknown, known = _parted(canvas)
        guessed, given = _guessed(canvas), list(logits)
        found: dict[Gap, Floats] = {}
        if known:
            at = np.cumsum([gap.length for gap in known])[:-1]
            cuts = np.split(given.pop(0), at)
            found |= {
                g: without_fill(cut, canvas.scaffold.fill)
                for g, cut in zip(known, cuts, strict=True)
            }
        found |= self._first_look(canvas, unknown, given[: len(unknown)])
        if guessed and self.score is not None:
            found |= second_look.settle(canvas, guessed, given[len(unknown) :], self.score)
        left = [found[place.gap] for place in open_places(canvas)]
        return np.concatenate(left) if left else logits[0][:0]

    def _first_look(
        self, canvas: Canvas, gaps: list[Gap], logits: Sequence[Floats]
    ) -> dict[Gap, Floats]:
        """Rows of slots with an open end; they take their length or, in doubt, are held."""
        found: dict[Gap, Floats] = {}
        weights = [with_ends(canvas, g, r) for g, r in zip(gaps, logits, strict=True)]
        posteriors = [length_of(canvas, g, w) for g, w in zip(gaps, weights, strict=True)]
        waiting = _twins(gaps, posteriors, canvas.scaffold.fill)
        for gap, rows, posterior in zip(gaps, weights, posteriors, strict=True):
            found[gap] = rows
            if posterior is None or gap.is_fork or wants_room(canvas, gap, posterior):
                continue
            gap.looks += 1
            mass = posterior.length_posterior()
            if gap not in waiting and mass.max() >= self.sure:
                found[gap] = fix(canvas, gap, int(mass.argmax()), rows)
            elif self.score is not None and gap.untouched:
                gap.guess = second_look.guess(canvas, gap, posterior, self.most)
                gap.held, gap.seen, gap.witness = True, True, posterior.best()
        return found

    def settle(self, canvas: Canvas) -> None:
        """Slots that have begun, or have been looked at enough, take the length of their witness.

        The witness is the proposer's, who may know better than the sum over all fillings.
        """
        for gap in [g for g in canvas.gaps() if not (g.exact or g.is_fork or g.held)]:
            if gap.settled or (gap.looks and (not gap.untouched or gap.looks >= self.looks)):
                take_exact(canvas, gap)


def _twins(gaps: list[Gap], posteriors: list[Posterior | None], fill: int) -> set[Gap]:
    """Slots whose likeliest text stands in another one that is surer of it.

    Each row knows nothing of the others; these look again once the others are there to be seen.
    """
    holders: dict[tuple[int, ...], list[tuple[float, int, Gap]]] = {}
    for i, (gap, posterior) in enumerate(zip(gaps, posteriors, strict=True)):
        if posterior is not None and not gap.is_fork:
            best = posterior.best()
            text = tuple(best[best != fill].tolist())
            if len(text) > 1:
                sure = float(posterior.confidence(best).min())
                holders.setdefault(text, []).append((-sure, i, gap))
    return {gap for twins in holders.values() for _, _, gap in sorted(twins)[1:]}


def _guessed(canvas: Canvas) -> list[Gap]:
    """Gaps that are held for a second look."""
    return [place.gap for place in canvas.view().places if place.gap.guess is not None]


def _parted(canvas: Canvas) -> tuple[list[Gap], list[Gap]]:
    """Open gaps of unknown and of known length."""
    gaps = [place.gap for place in open_places(canvas)]
    return [g for g in gaps if not g.exact], [g for g in gaps if g.exact]


def length_of(canvas: Canvas, gap: Gap, weights: Floats) -> Posterior | None:
    """The posterior of a gap by itself, None where its grammar is too large to search."""
    try:
        return ConstraintController().posterior(canvas, gap, weights)
    except LimitError:
        return None


def with_ends(canvas: Canvas, gap: Gap, logits: Floats) -> Floats:
    """Rows of a slot, its fill set to tell where the value ends.

    Args:
        canvas: Where the gap lies.
        gap: A gap of unknown length.
        logits: At its positions, and at the one behind it if there is one, (length or + 1, vocab).

    Returns:
        Log-weights, (length, vocab).
    """
    scaffold, length = canvas.scaffold, gap.length
    out = log_softmax(logits, canvas.mask)
    ends = ends_of(canvas, gap, out)
    # What does not end inside the slot is not asked whether it ends at its edge.
    worth = ends[:length] - np.append(ends[1:length], 0.0)
    if gap.slack.absent and has_key(canvas, gap):
        null = scaffold.encode("null")[:length]
        absent = 3 * LEAST
        if not null_is_value(canvas, gap):
            absent = float(out[np.arange(len(null)), null].sum()) + float(ends[len(null)])
        worth[0] = max(absent, 3 * LEAST) - (float(ends[1]) if length > 1 else 0.0)
    out = out[:length]
    out[:, scaffold.fill] = worth
    return out


def ends_of(canvas: Canvas, gap: Gap, log_probs: Floats) -> Floats:
    """Log-probability that what follows a gap begins at each position, (length + 1,)."""
    starts = _starts(canvas, gap)
    with np.errstate(divide="ignore"):
        found = np.log(np.exp(log_probs[:, starts]).sum(axis=1))
    if not len(starts):
        found = np.zeros(len(log_probs))
    missing = np.zeros(max(0, gap.length + 1 - len(found)))
    return np.asarray(np.maximum(np.append(found, missing), LEAST))


def _starts(canvas: Canvas, gap: Gap) -> Ints:
    """Tokens that what follows a gap may begin with; none where it may begin with anything."""
    firsts = following(canvas, gap)
    table = _first_bytes(canvas.scaffold.constraint.vocabulary)
    tokens = np.flatnonzero(np.isin(table, [b for b in firsts if b != END]))
    return np.append(tokens, canvas.scaffold.fill) if END in firsts else tokens


@lru_cache(maxsize=8)
def _first_bytes(vocabulary: Vocabulary) -> Ints:
    """The first byte of each token, -2 for those that spell nothing; (vocab,)."""
    return np.array([piece[0] if piece else -2 for piece in vocabulary.tokens], dtype=np.int64)
