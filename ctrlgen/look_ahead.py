"""What the model would make of the rest, were some tokens committed: the same step, tried out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ctrlgen.canvas.canvas import Place, View
from ctrlgen.canvas.parts import OPEN, Gap
from ctrlgen.constraints.atoms import Floats, Ints
from ctrlgen.constraints.log_probs import LogProbs
from ctrlgen.controllers.constraint import rows_of_gaps
from ctrlgen.denoisers.base import log_probs_of
from ctrlgen.errors import LimitError
from ctrlgen.run import Engine, Run
from ctrlgen.schedulers.base import Mask


def mean_entropies(
    engine: Engine, run: Run, gaps: Sequence[Gap], actions: Sequence[Sequence[Mask]]
) -> list[float]:
    """Mean entropy of what stays open after each action, from one batch of forward passes.

    Entropies are those of the constrained marginals, in nats; positions with one possible token are
    left out of the mean. Controllers have no part in it.

    Args:
        engine: Its denoiser looks, its constraint computes the posteriors.
        run: The canvas; stays as it is, but the passes are put on its bill.
        gaps: The gaps that actions are about.
        actions: By action and gap: which positions get the witness' tokens, (length,).
    """
    view, taken = run.canvas.view(), [_committed(gaps, action) for action in actions]
    places = [place for place in view.places if not place.gap.settled]
    sequences = [run.prompt + _ids(view, committed, run.canvas.mask) for committed in taken]
    inside = [len(run.prompt) + i for place in places for i in _span(place)]
    logits = engine.denoiser(sequences, [inside] * len(sequences))
    run.usage.forward_passes += len(sequences)
    out = []
    for committed, rows in zip(taken, logits, strict=True):
        log_probs = log_probs_of(rows, engine.denoiser.mask_token_id)
        found = list(_entropies(engine, run, places, committed, log_probs))
        out.append(float(np.concatenate(found).mean()) if found else 0.0)
    return out


def _committed(gaps: Sequence[Gap], action: Sequence[Mask]) -> dict[int, Ints]:
    """Tokens of the gaps after an action, by serial."""
    return {
        gap.serial: np.where(mask, gap.witness, gap.committed)
        for gap, mask in zip(gaps, action, strict=True)
    }


def _tokens(gap: Gap, committed: dict[int, Ints]) -> Ints:
    return committed.get(gap.serial, gap.committed)


def _ids(view: View, committed: dict[int, Ints], mask: int) -> list[int]:
    ids = np.array(view.ids, dtype=np.int64)
    for place in view.places:
        tokens = _tokens(place.gap, committed)
        ids[list(_span(place))] = np.where(tokens == OPEN, mask, tokens)
    return [int(token) for token in ids]


def _span(place: Place) -> range:
    return range(place.offset, place.offset + place.gap.length)


def _entropies(
    engine: Engine, run: Run, places: list[Place], committed: dict[int, Ints], log_probs: LogProbs
) -> Iterator[Floats]:
    """Of the open positions of each gap that more than one token could fill, (some,)."""
    for place, rows in zip(places, rows_of_gaps(places, log_probs), strict=True):
        tokens = _tokens(place.gap, committed)
        try:
            posterior = engine.constraint.posterior(run.canvas, place.gap, rows, tokens)
        except LimitError:
            continue
        free = (tokens == OPEN) & (posterior.support > 1)
        if free.any():
            yield posterior.entropy[free]
