"""Beam over canvases: several ways to go on from each, the best drafts stay.

Inference-time scaling of diffusion by search over paths (arXiv:2501.09732). The witness is a draft
of the whole answer at every step, so a verifier can judge canvases long before they are done; and
ways to go on differ in what they draw from the same posterior, so they share one forward pass. The
draft of the step before is always one of them: what the verifier has once accepted is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.parts import OPEN
from ctrlgen.controllers.constraint import take
from ctrlgen.controllers.proposer import Posteriors, propose_each
from ctrlgen.loop import Look, Seat, advance, fill, look_at
from ctrlgen.run import Engine, Limits, Run
from ctrlgen.search.population import Judge, Population, draft_is_whole, note, population

Rank = tuple[int, float, float]
"""Refused, undecided or accepted; the verifier's score; how sure the model is of the draft."""


@dataclass(frozen=True, eq=False)
class Path:
    """A canvas with what is thought of its draft."""

    seat: Seat
    rank: Rank


def beam(
    engine: Engine, fresh: Callable[[], Run], limits: Limits, judge: Judge,
    *, width: int, branch: int, attempts: int,
) -> Population:  # fmt: skip
    """Denoise a run in several ways at once; where all are refused, again at twice the temperature.

    Args:
        engine: What drives it; its temperature, above 0, is that of the first draw, twice that of
            the second, and so on.
        fresh: Makes a run.
        limits: When each path is to stop.
        judge: What is thought of a draft.
        width: Most paths that stay after a step.
        branch: Most ways to go on from each.
        attempts: Most times to begin.

    Raises:
        OutputValidationError: If all paths of all attempts are refused.
    """
    seat, passes = Seat.of(engine, fresh(), limits), 0
    for attempt in range(attempts):
        warm = replace(engine, temperature=engine.temperature * 2**attempt)
        paths, taken = _paths(replace(seat, engine=warm, run=fresh()), judge, width, branch)
        passes += taken
        if any(path.rank[0] for path in paths) or attempt + 1 == attempts:
            break
    return population([(path.seat.run, path.rank[1]) for path in paths], judge, passes)


def _paths(seat: Seat, judge: Judge, width: int, branch: int) -> tuple[list[Path], int]:
    """The paths that are left at the end, the best first, and the forward passes it took."""
    paths, passes = [Path(seat, (1, 0.0, 0.0))], 0
    while active := [path for path in paths if not path.seat.finish()]:
        looks = look_at([path.seat for path in active])
        passes += len(active)
        children = [path for path in paths if path not in active]
        for path, look in zip(active, looks, strict=True):
            children += _children(path.seat, look, judge, branch)
        paths = sorted(_different(children), key=lambda path: path.rank, reverse=True)[:width]
        accepted = sum(path.rank[0] == 2 for path in children)
        for path in paths:
            note(path.seat.run, f"{len(children)} paths, {accepted} accepted, {len(paths)} kept")
    for path in paths:
        fill(path.seat.run)
    return paths, passes


def _children(seat: Seat, look: Look, judge: Judge, branch: int) -> Iterator[Path]:
    """The ways to go on from a canvas."""
    for engine in _ways(seat.engine, look, branch):
        (own,) = seat.run.rng.spawn(1)
        child = Seat(engine, seat.run.copy(own), seat.limits, seat.ends)
        advance(child, look.of(child.run.canvas))
        child = replace(child, engine=seat.engine)
        yield Path(child, _rank(child.run.canvas, judge))


def _ways(engine: Engine, look: Look, branch: int) -> list[Engine]:
    """The likeliest filling, the draft of the step before, and draws, ever wilder ones."""
    ways = [replace(engine, temperature=0.0)]
    if all(place.gap.seen for place in look.places):
        ways.append(replace(engine, temperature=0.0, proposer=keep_draft))
    warmths = (engine.temperature * 2**i for i in itertools.count())
    while len(ways) < branch:
        ways.append(replace(engine, temperature=next(warmths)))
    return ways[:branch]


def keep_draft(
    canvas: Canvas, posteriors: Posteriors, temperature: float, rng: np.random.Generator
) -> None:
    """A proposer: what was proposed before, where it was; it agrees with all that is committed."""
    propose_each(canvas, [pair for pair in posteriors if not pair[0].seen], temperature, rng)
    for gap, posterior in posteriors:
        take(gap, posterior, gap.witness)


def _rank(canvas: Canvas, judge: Judge) -> Rank:
    sure = [np.where(gap.committed == OPEN, gap.confidence, gap.written) for gap in canvas.gaps()]
    likely = float(np.log(np.maximum(np.concatenate([*sure, np.ones(1)]), 1e-300)).mean())
    if not draft_is_whole(canvas):
        return 1, 0.0, likely
    verdict = judge(canvas.text())
    return (2 if verdict.refusal is None else 0), verdict.score, likely


def _different(paths: Sequence[Path]) -> list[Path]:
    """One path of each draft and state."""
    found: dict[tuple[str, tuple[int, ...]], Path] = {}
    for path in paths:
        canvas = path.seat.run.canvas
        found.setdefault((canvas.text(), tuple(canvas.view().ids)), path)
    return list(found.values())
