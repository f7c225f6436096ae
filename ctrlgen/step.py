"""What follows from one forward pass for one canvas.

    4 posterior  per gap, exact: witness, constrained marginals, closing mass
    5 schedule   which witness tokens commit, inside the window of the block controller
    6 commit     and forced tokens for free; grow slots, collapse forks
    7 revise     committed tokens that open again

Nothing here can break the answer: the witness is jointly valid, and any subset of it may commit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.canvas import Place
from ctrlgen.canvas.parts import OPEN, Gap
from ctrlgen.constraints.atoms import Floats, Ints
from ctrlgen.constraints.log_probs import LogProbs
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.controllers.constraint import rows_of_gaps, wants_room
from ctrlgen.errors import LimitError
from ctrlgen.look_ahead import mean_entropies
from ctrlgen.run import Engine, Run
from ctrlgen.schedulers import Committed, Proposal, Scheduler
from ctrlgen.schedulers.base import Mask, most_confident


@dataclass(frozen=True, eq=False)
class Candidates:
    """Gaps with their posteriors, and the positions that a scheduler may commit.

    Args:
        places: The gaps and where they lie, in canvas order.
        posteriors: Of their fillings.
        free: Open positions that are not forced, of all gaps; (positions,).
    """

    places: list[Place]
    posteriors: list[Posterior]
    free: Mask

    @property
    def gaps(self) -> list[Gap]:
        """The gaps."""
        return [place.gap for place in self.places]

    def dealt(self, chosen: Mask) -> list[Mask]:
        """What is chosen of the free positions, as a mask for each gap."""
        return _dealt(chosen, self.free, self.gaps)


def step(
    engine: Engine, run: Run, places: list[Place], checked: list[Place], log_probs: LogProbs,
    left: int | None,
) -> None:  # fmt: skip
    """Change the canvas after a forward pass.

    Args:
        engine: What drives the run.
        run: The canvas.
        places: Its open gaps, in canvas order.
        checked: Settled gaps whose tokens are predicted again, without themselves.
        log_probs: At `places`, controlled, then at `checked`; (positions, vocab).
        left: Forward passes allowed, the one just made included; None when unlimited.
    """
    rows = rows_of_gaps(places + checked, log_probs)
    revises = left != 1 and type(engine.scheduler).revise is not Scheduler.revise
    before = {g.serial: g.committed.copy() for g in run.canvas.gaps()} if revises else {}
    current = _rescored(engine, run.canvas, places + checked, rows) if revises else {}
    candidates = _candidates(_proposed(engine, run, places, rows, left), run)
    if candidates.places:
        _commit(engine, run, candidates, left)
    for place in places:
        if place.gap.is_fork and place.gap.settled:
            run.canvas.collapse(place.gap)
    if revises:
        again = zip(places + checked, rows, strict=True)
        seen = {place.gap.serial: log_probs for place, log_probs in again}
        _revise(engine, run, before, current, seen, left)


def _proposed(
    engine: Engine, run: Run, places: list[Place], rows: list[LogProbs], left: int | None
) -> list[tuple[Place, Posterior]]:
    """Propose a filling for every open gap; those that want room and get it wait a step."""
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
        elif (
            left != 1
            and wants_room(run.canvas, gap, posterior)
            and run.canvas.grow(gap, 2 * gap.length)
        ):
            grown, gap.closings = True, (*gap.closings, posterior.closing_mass())
        else:
            found.append((place, posterior))
    posteriors = [(place.gap, posterior) for place, posterior in found]
    engine.proposer(run.canvas, posteriors, engine.temperature, run.rng)
    return found


def _candidates(found: list[tuple[Place, Posterior]], run: Run) -> Candidates:
    """Commit forced positions and whole forks; what is free of the rest."""
    if not found:
        return Candidates([], [], np.zeros(0, dtype=bool))
    lengths = np.array([place.gap.length for place, _ in found])
    starts = np.cumsum(lengths) - lengths
    open_ = np.concatenate([place.gap.committed for place, _ in found]) == OPEN
    forced = open_ & (np.concatenate([posterior.support for _, posterior in found]) <= 1)
    free = open_ & ~forced
    some_forced = np.logical_or.reduceat(forced, starts)
    for (place, _), start, some in zip(found, starts.tolist(), some_forced.tolist(), strict=True):
        gap, own = place.gap, slice(start, start + place.gap.length)
        if some:
            run.usage.forced_tokens += run.canvas.commit(gap, forced[own], forced=True)
        if gap.is_fork:
            run.settle(gap)
            free[own] = False
    kept = np.logical_or.reduceat(free, starts)
    places, posteriors = (
        zip(*itertools.compress(found, kept), strict=True) if kept.any() else ((), ())
    )
    return Candidates(list(places), list(posteriors), free[np.repeat(kept, lengths)])


def _commit(engine: Engine, run: Run, candidates: Candidates, left: int | None) -> None:
    """Commit what the scheduler picks inside the block controller's window."""
    proposal = _proposal(engine, run, candidates, left)
    window = engine.block.window(proposal)
    everything = bool(window.all())
    run.window = [] if everything else [divmod(int(k), 1 << 20) for k in proposal.keys[window]]
    chosen = np.zeros(len(window), dtype=bool)
    chosen[window] = engine.scheduler.select(proposal if everything else proposal.within(window))
    # At least one: a window or scheduler of a user's that picks nothing would never end.
    least = 1 if left is None else proposal.quota()
    if chosen.sum() < least:
        chosen |= most_confident(proposal, least)
    gaps, picked = candidates.gaps, candidates.dealt(chosen)
    for i in np.unique(proposal.gaps[chosen]).tolist():
        run.usage.committed_tokens += run.canvas.commit(gaps[i], picked[i])


def _dealt(chosen: Mask, among: Mask, gaps: Sequence[Gap]) -> list[Mask]:
    """What is chosen of some positions of several gaps, as a mask for each gap.

    Args:
        chosen: (some positions,).
        among: Which positions these are, (positions,).
        gaps: The gaps.
    """
    out = among.copy()
    out[out] = chosen
    ends = np.cumsum([gap.length for gap in gaps]).tolist()
    return [out[end - gap.length : end] for gap, end in zip(gaps, ends, strict=True)]


def _proposal(engine: Engine, run: Run, candidates: Candidates, left: int | None) -> Proposal:
    """All free positions as the scheduler sees them."""
    posteriors, open_, free = candidates.posteriors, candidates.gaps, candidates.free
    confidence = np.concatenate([gap.confidence for gap in open_])[free]

    def entropy() -> Floats:
        found = np.concatenate([p.entropy for p in posteriors])[free]
        return np.asarray(np.maximum(found, _two_way(confidence)))

    def top(k: int) -> tuple[Ints, Floats]:
        tokens, logs = zip(*[p.top(k) for p in posteriors], strict=True)
        return np.concatenate(tokens)[free], np.concatenate(logs)[free]

    def look_ahead(actions: Sequence[Mask]) -> list[float]:
        return mean_entropies(engine, run, open_, [candidates.dealt(a) for a in actions])

    gaps = list(run.canvas.gaps())
    lengths = np.array([gap.length for gap in open_], dtype=np.int64)
    number = np.repeat(np.arange(len(open_)), lengths)
    within = np.arange(len(free)) - (np.cumsum(lengths) - lengths)[number]
    serials = np.array([gap.serial for gap in open_], dtype=np.int64)
    offsets = np.array([place.offset for place in candidates.places], dtype=np.int64)
    committed = np.concatenate([gap.committed for gap in gaps]) != OPEN
    spelled = run.canvas.scaffold.constraint.vocabulary.tokens
    tokens = np.concatenate([gap.witness for gap in open_])[free]
    return Proposal(
        confidence,
        entropy,
        left,
        tokens=tokens,
        pieces=tuple(spelled[token] or b"" for token in tokens.tolist()),
        keys=keys_of(serials[number], within)[free],
        offsets=(offsets[number] + within)[free],
        gaps=number[free],
        measure_top=top,
        committed=int((committed & ~np.concatenate([gap.forced for gap in gaps])).sum()),
        memory=run.memory,
        look_ahead=look_ahead,
        rng=run.rng,
    )


def keys_of(serial: int | Ints, offsets: Ints) -> Ints:
    """Numbers that name positions of a gap for as long as it keeps its length."""
    return np.asarray((serial << 20) + offsets)


def _two_way(confidence: Floats) -> Floats:
    """Entropy of (c, 1 - c): the least that a token of probability c leaves, in nats.

    It exceeds the posterior's only where a proposer trusts its token less than the posterior does.
    """
    c, rest = np.clip(confidence, 1e-300, 1.0), np.clip(1.0 - confidence, 1e-300, 1.0)
    return np.asarray(-c * np.log(c) - rest * np.log(rest))


def _rescored(
    engine: Engine, canvas: Canvas, places: list[Place], rows: list[LogProbs]
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
    engine: Engine, run: Run, before: dict[int, Ints], current: dict[int, Floats],
    seen: dict[int, LogProbs], left: int | None,
) -> None:  # fmt: skip
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
        keys=np.concatenate([keys_of(g.serial, np.flatnonzero(m)) for g, m in pairs]),
        current=np.concatenate([c[m] for c, m in zip(now, masks, strict=True)]),
        open=sum(int((g.committed == OPEN).sum()) for g in run.canvas.gaps()),
        steps_left=None if left is None else left - 1,
        memory=run.memory,
    )
    chosen = engine.scheduler.revise(committed)
    if committed.fresh.any() and chosen[committed.fresh].all():
        chosen = chosen.copy()
        chosen[np.argmax(np.where(committed.fresh, committed.written, -1.0))] = False
    dealt = _dealt(chosen, np.concatenate(masks), gaps)
    for gap, taken, new in zip(gaps, dealt, fresh, strict=True):
        forced = int(gap.forced.sum())
        if opened := run.canvas.reopen(gap, taken, new):
            run.usage.committed_tokens -= opened
            run.usage.forced_tokens -= forced
            run.usage.revised_tokens += int((taken & ~new).sum())
            if engine.scheduler.rescores and gap.serial in seen:
                _rewrite(engine, run, gap, seen[gap.serial], taken & ~new)


def _rewrite(engine: Engine, run: Run, gap: Gap, log_probs: LogProbs, opened: Mask) -> None:
    """Write other tokens over some of those just opened: of one filling, so that all fit."""
    try:
        posterior = engine.constraint.posterior(run.canvas, gap, log_probs)
        filling, chosen = posterior.best(), np.zeros(gap.length, dtype=bool)
        confidence = posterior.confidence(filling)
        chosen[opened] = engine.scheduler.rewrites(confidence[opened])
        if not chosen.any():
            return
        gap.witness, gap.confidence = filling, confidence
        run.usage.committed_tokens += run.canvas.commit(gap, chosen)
        posterior = engine.constraint.posterior(run.canvas, gap, log_probs)
    except LimitError:
        return
    forced = posterior.support <= 1
    run.usage.forced_tokens += run.canvas.commit(gap, forced, forced=True)
