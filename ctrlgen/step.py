"""What follows from one forward pass for one canvas.

    4 posterior  per gap, exact: witness, constrained marginals, closing mass
    5 schedule   which witness tokens commit, inside the window of the block controller
    6 commit     and forced tokens for free; grow slots, collapse forks
    7 revise     committed tokens that open again

Nothing here can break the answer: the witness is jointly valid, and any subset of it may commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.canvas import Place
from ctrlgen.canvas.parts import OPEN, Gap
from ctrlgen.constraints.atoms import Floats, Ints
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.controllers.constraint import wants_room
from ctrlgen.errors import LimitError, NonFiniteLogitsError
from ctrlgen.look_ahead import mean_entropies
from ctrlgen.run import Engine, Run
from ctrlgen.schedulers import Committed, Proposal, Scheduler
from ctrlgen.schedulers.base import Mask, most_confident

UNLIKELY = 1e4
"""No possible token counts as less likely than exp(-UNLIKELY) times the likeliest one."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A gap with its posterior and the positions that a scheduler may commit.

    Args:
        place: The gap and where it lies.
        posterior: Of its fillings.
        free: Open positions that are not forced, (length,).
    """

    place: Place
    posterior: Posterior
    free: Mask


def step(
    engine: Engine, run: Run, places: list[Place], checked: list[Place], logits: Floats,
    left: int | None,
) -> None:  # fmt: skip
    """Change the canvas after a forward pass.

    Args:
        engine: What drives the run.
        run: The canvas.
        places: Its open gaps, in canvas order.
        checked: Settled gaps whose tokens are predicted again, without themselves.
        logits: Rows of `places`, controlled, then of `checked`; (positions, vocab).
        left: Forward passes allowed, the one just made included; None when unlimited.
    """
    asked = [place.gap.committed == OPEN for place in places + checked]
    needed = np.concatenate(asked) | engine.scheduler.rescores
    log_probs = log_softmax(logits, needed, engine.denoiser.mask_token_id)
    rows = _rows(places + checked, log_probs)
    revises = left != 1 and type(engine.scheduler).revise is not Scheduler.revise
    before = {g.serial: g.committed.copy() for g in run.canvas.gaps()} if revises else {}
    current = _rescored(engine, run.canvas, places + checked, rows) if revises else {}
    candidates = _candidates(engine, run, places, rows, left)
    _commit(engine, run, candidates, left)
    for place in places:
        if place.gap.is_fork and place.gap.settled:
            run.canvas.collapse(place.gap)
    if revises:
        _revise(engine, run, before, current, left)


def _rows(places: list[Place], log_probs: Floats) -> list[Floats]:
    """The rows of each gap, (length, vocab)."""
    cuts = np.cumsum([place.gap.length for place in places])
    return np.split(log_probs, cuts[:-1])


def _candidates(
    engine: Engine, run: Run, places: list[Place], rows: list[Floats], left: int | None
) -> list[Candidate]:
    """Propose a filling for every open gap; forced positions and whole forks commit at once."""
    found: list[tuple[Place, Posterior]] = []
    rows, grown = rows[: len(places)], False
    together = engine.constraint.posteriors(run.canvas, [p.gap for p in places], rows)
    for place, log_probs, posterior in zip(places, rows, together, strict=True):
        gap = place.gap
        if grown and gap.is_fork:  # what its options may cost is less than it was
            (posterior,) = engine.constraint.posteriors(run.canvas, [gap], [log_probs])
        if posterior is None:
            # The search is out of its depth; the witness is valid all the same.
            run.settle(gap)
        elif left != 1 and wants_room(gap, posterior) and run.canvas.grow(gap, 2 * gap.length):
            grown, gap.closings = True, (*gap.closings, posterior.closing_mass())
        else:
            found.append((place, posterior))
    posteriors = [(place.gap, posterior) for place, posterior in found]
    engine.proposer(run.canvas, posteriors, engine.temperature, run.rng)
    out: list[Candidate] = []
    for place, posterior in found:
        gap = place.gap
        run.usage.forced_tokens += run.canvas.commit(gap, posterior.support <= 1, forced=True)
        if gap.is_fork:
            run.settle(gap)
        free = gap.committed == OPEN
        if free.any():
            out.append(Candidate(place, posterior, free))
    return out


def _commit(engine: Engine, run: Run, candidates: list[Candidate], left: int | None) -> None:
    """Commit what the scheduler picks inside the block controller's window."""
    if not candidates:
        return
    proposal = _proposal(engine, run, candidates, left)
    window = engine.block.window(proposal)
    run.window = [] if window.all() else [divmod(int(k), 1 << 20) for k in proposal.keys[window]]
    chosen = np.zeros(len(window), dtype=bool)
    chosen[window] = engine.scheduler.select(proposal.within(window))
    if left is not None and chosen.sum() < proposal.quota():
        chosen |= most_confident(proposal, proposal.quota())
    picked = _dealt(chosen, [candidate.free for candidate in candidates])
    for candidate, mask in zip(candidates, picked, strict=True):
        run.usage.committed_tokens += run.canvas.commit(candidate.place.gap, mask)


def _dealt(chosen: Mask, masks: list[Mask]) -> list[Mask]:
    """What is chosen among the positions of several masks, as a mask for each."""
    out = [mask.copy() for mask in masks]
    parts = np.split(chosen, np.cumsum([mask.sum() for mask in masks])[:-1])
    for new, mask, part in zip(out, masks, parts, strict=True):
        new[mask] = part
    return out


def _proposal(engine: Engine, run: Run, candidates: list[Candidate], left: int | None) -> Proposal:
    """All free positions as the scheduler sees them."""
    confidence = np.concatenate([c.place.gap.confidence[c.free] for c in candidates])

    def entropy() -> Floats:
        found = np.concatenate([c.posterior.entropy[c.free] for c in candidates])
        return np.asarray(np.maximum(found, _two_way(confidence)))

    def top(k: int) -> tuple[Ints, Floats]:
        found = [c.posterior.top(k) for c in candidates]
        tokens = [t[c.free] for c, (t, _) in zip(candidates, found, strict=True)]
        logs = [p[c.free] for c, (_, p) in zip(candidates, found, strict=True)]
        return np.concatenate(tokens), np.concatenate(logs)

    def look_ahead(actions: Sequence[Mask]) -> list[float]:
        gaps, masks = [c.place.gap for c in candidates], [c.free for c in candidates]
        chosen = [_dealt(action, masks) for action in actions]
        return mean_entropies(engine, run, gaps, chosen, log_softmax)

    inside = [np.flatnonzero(c.free) for c in candidates]
    pairs = list(zip(candidates, inside, strict=True))
    gaps = run.canvas.gaps()
    spelled = run.canvas.scaffold.constraint.vocabulary.tokens
    tokens = np.concatenate([c.place.gap.witness[c.free] for c in candidates])
    return Proposal(
        confidence,
        entropy,
        left,
        tokens=tokens,
        pieces=tuple(spelled[token] or b"" for token in tokens.tolist()),
        keys=np.concatenate([keys_of(c.place.gap, at) for c, at in pairs]),
        offsets=np.concatenate([c.place.offset + at for c, at in pairs]),
        gaps=np.concatenate([np.full(len(at), i) for i, (_, at) in enumerate(pairs)]),
        measure_top=top,
        committed=sum(int(((g.committed != OPEN) & ~g.forced).sum()) for g in gaps),
        memory=run.memory,
        look_ahead=look_ahead,
        rng=run.rng,
    )


def keys_of(gap: Gap, offsets: Ints) -> Ints:
    """Numbers that name positions of a gap for as long as it keeps its length."""
    return (gap.serial << 20) + offsets


def _two_way(confidence: Floats) -> Floats:
    """Entropy of (c, 1 - c): the least that a token of probability c leaves, in nats.

    It exceeds the posterior's only where a proposer trusts its token less than the posterior does.
    """
    c, rest = np.clip(confidence, 1e-300, 1.0), np.clip(1.0 - confidence, 1e-300, 1.0)
    return np.asarray(-c * np.log(c) - rest * np.log(rest))


def _rescored(
    engine: Engine, canvas: Canvas, places: list[Place], rows: list[Floats]
) -> dict[int, Floats]:
    """Constrained marginals of committed tokens, predicted without themselves, by gap."""
    if not engine.scheduler.rescores:
        return {}
    out: dict[int, Floats] = {}
    for place, log_probs in zip(places, rows, strict=True):
        gap = place.gap
        if gap.revisable.any():
            chosen = np.where(gap.forced, OPEN, gap.committed)
            try:
                posterior = engine.constraint.posterior(canvas, gap, log_probs, chosen)
            except LimitError:
                continue
            out[gap.serial] = posterior.leave_one_out()
    return out


def _revise(
    engine: Engine, run: Run, before: dict[int, Ints], current: dict[int, Floats], left: int | None
) -> None:
    """Open again what the scheduler takes back; of what is fresh, at least one token stays."""
    gaps = [gap for gap in run.canvas.gaps() if gap.revisable.any()]
    if not gaps:
        return
    masks = [gap.revisable for gap in gaps]
    pairs = list(zip(gaps, masks, strict=True))
    fresh = [m & (before.get(g.serial, np.full(g.length, OPEN)) == OPEN) for g, m in pairs]
    now = [np.where(f, 1.0, current.get(g.serial, np.ones(g.length)))
           for g, f in zip(gaps, fresh, strict=True)]  # fmt: skip
    committed = Committed(
        written=np.concatenate([g.written[m] for g, m in pairs]),
        fresh=np.concatenate([f[m] for f, m in zip(fresh, masks, strict=True)]),
        keys=np.concatenate([keys_of(g, np.flatnonzero(m)) for g, m in pairs]),
        current=np.concatenate([c[m] for c, m in zip(now, masks, strict=True)]),
        open=sum(int((g.committed == OPEN).sum()) for g in run.canvas.gaps()),
        steps_left=None if left is None else left - 1,
        memory=run.memory,
    )
    chosen = engine.scheduler.revise(committed)
    if committed.fresh.any() and chosen[committed.fresh].all():
        chosen = chosen.copy()
        chosen[np.argmax(np.where(committed.fresh, committed.written, -1.0))] = False
    for gap, taken, new in zip(gaps, _dealt(chosen, masks), fresh, strict=True):
        forced = int(gap.forced.sum())
        if opened := run.canvas.reopen(gap, taken, new):
            run.usage.committed_tokens -= opened
            run.usage.forced_tokens -= forced
            run.usage.revised_tokens += int((taken & ~new).sum())


def log_softmax(logits: Floats, needed: Mask, mask_token_id: int) -> Floats:
    """Log-probabilities without the mask token, which is never an answer; (positions, vocab).

    Finite ones are at least `-UNLIKELY`: sums of huge logits would drown all differences. Rows that
    are not needed are zeros, which cost nothing until somebody writes to them.
    """
    out = np.zeros(logits.shape)
    for i in np.flatnonzero(needed):  # one at a time: a row fits the processor's cache
        row = out[i]
        row[:] = logits[i]
        row[mask_token_id] = -np.inf
        peak = row.max()
        if not np.isfinite(peak):
            raise NonFiniteLogitsError(
                "the denoiser returned NaN, infinite or no finite logits at an open position",
                hint="check the checkpoint's dtype and weights",
            )
        row -= peak
        np.maximum(row, -UNLIKELY, out=row, where=row > -np.inf)
        row -= np.log(np.exp(row).sum())
    return out
