"""Sequential Monte Carlo over canvases: particles that turn out unlikely make way for others.

Every step commits tokens drawn from (model x constraint), where the model believes its positions to
be independent. The next forward pass knows better. With Z the probability of a valid completion
(the partition sum of the posterior), a particle's weight is multiplied by

    Z(canvas, as the model sees it now) / Z(same canvas, as it saw it before)

so that weighted particles follow the model's own chain given that it ends validly, instead of a
chain that is pushed into validity step by step. That is exact where the scheduler chooses positions
without regard to what was drawn there, and for gaps that keep their length. A check, or a score
with exp(score) as its factor, bends the target further; before the end it is estimated on draws
from the posterior, which cost no forward pass. Particles are drawn anew when the effective number
of them falls below a share (arXiv:2306.03081 does so for causal models, token by token).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.parts import OPEN
from ctrlgen.constraints.atoms import Floats
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.controllers.constraint import rows_of_gaps
from ctrlgen.loop import Look, Seat, advance, fill, look_at
from ctrlgen.run import Engine, Limits, Run
from ctrlgen.search.population import Judge, Population, draft_is_whole, note, population


@dataclass(eq=False)
class Particle:
    """A canvas with its weight.

    Args:
        seat: The run.
        log_weight: Of the path so far, without the potential.
        log_potential: Of the check and the score, estimated until the run is at its end.
        seen: log Z of each gap by the last look, as far as it is committed now; by serial.
        look: The look that it has not followed yet.
        posteriors: Of its open gaps in that look, by serial.
        ended: Whether the potential is final.
    """

    seat: Seat
    log_weight: float = 0.0
    log_potential: float = 0.0
    seen: dict[int, float] = field(default_factory=dict)
    look: Look | None = None
    posteriors: dict[int, Posterior] = field(default_factory=dict)
    ended: bool = False

    @property
    def total(self) -> float:
        """Log-weight with the potential."""
        return self.log_weight + self.log_potential

    def copy(self, rng: np.random.Generator) -> Particle:
        """Another particle in the same state."""
        seat = Seat(self.seat.engine, self.seat.run.copy(rng), self.seat.limits, self.seat.ends)
        look = None if self.look is None else self.look.of(seat.run.canvas)
        return Particle(
            seat, self.log_weight, self.log_potential, dict(self.seen), look,
            dict(self.posteriors), self.ended,
        )  # fmt: skip

    def weigh(self, look: Look) -> None:
        """Take in a look: what it says about the gaps against what was said before."""
        self.look, self.posteriors = look, _posteriors(self.seat, look)
        now = {serial: p.log_partition for serial, p in self.posteriors.items()}
        self.log_weight += sum(now.values()) - sum(self.seen.values())
        self.seen = now

    def follow(self) -> None:
        """Commit; what was drawn, and where, leaves the weight as it is."""
        assert self.look is not None
        before = [(place.gap, place.gap.serial) for place in self.look.places]
        advance(self.seat, self.look)
        open_ = {gap.serial: gap for gap in self.seat.run.canvas.gaps() if not gap.settled}
        for gap, serial in before:
            if gap.serial != serial or not (gap.settled or serial in open_):
                # Laid out anew, or dropped: what was thought of it counts no more.
                self.log_weight -= self.posteriors[serial].log_partition
        self.seen = {
            serial: Posterior(p.graph, p.log_probs, open_[serial].committed).log_partition
            for serial, p in self.posteriors.items()
            if serial in open_
        }
        self.look, self.posteriors = None, {}


def smc(
    engine: Engine, runs: Sequence[Run], limits: Limits, judge: Judge, rng: np.random.Generator,
    *, ess: float, draws: int,
) -> Population:  # fmt: skip
    """Denoise all runs as particles of one population.

    Args:
        engine: What drives them; its temperature is above 0.
        runs: Fresh runs of the same prompt.
        limits: When each is to stop.
        judge: What is thought of an answer; its score is a log-potential.
        rng: What particles are drawn anew with.
        ess: Effective share of the particles below which they are.
        draws: From the posterior, to estimate the potential of an open canvas; 0: none.
    """
    particles, passes = [Particle(Seat.of(engine, run, limits)) for run in runs], 0
    while active := [p for p in particles if not _finish(p, judge)]:
        for particle, look in zip(active, look_at([p.seat for p in active]), strict=True):
            particle.weigh(look)
        passes += len(active)
        _estimate(active, judge, draws)
        particles, told = _resampled(particles, ess, rng)
        for particle in particles:
            if particle.look is not None:
                particle.follow()
                note(particle.seat.run, told)
    return population([(p.seat.run, p.total) for p in particles], judge, passes)


def _finish(particle: Particle, judge: Judge) -> bool:
    """Whether a particle is at its end; then its potential is no estimate any more."""
    if particle.ended or not particle.seat.finish():
        return particle.ended
    run = particle.seat.run
    fill(run)
    particle.ended, particle.log_potential = True, judge(run.canvas.text()).score
    return True


def _posteriors(seat: Seat, look: Look) -> dict[int, Posterior]:
    """Of all open gaps, at the temperature of the draws; those out of reach are left out."""
    gaps = [place.gap for place in look.places]
    open_ = np.concatenate([gap.committed == OPEN for gap in gaps]).nonzero()[0]
    rows = look.log_probs.tempered(seat.engine.temperature, open_)
    parts = rows_of_gaps(look.places, rows)
    found = seat.engine.constraint.posteriors(seat.run.canvas, gaps, parts)
    return {
        gap.serial: posterior
        for gap, posterior in zip(gaps, found, strict=True)
        if posterior is not None
    }


def _estimate(active: Sequence[Particle], judge: Judge, draws: int) -> None:
    """The mean potential of some draws, drawn towards that of all particles: none is hopeless."""
    means = [_log_mean(particle, judge, draws) for particle in active]
    known = [mean for mean in means if mean is not None]
    overall = _log_mean_exp(known) if known else 0.0
    if overall == -np.inf:
        overall, means = 0.0, [None] * len(means)
    for particle, mean in zip(active, means, strict=True):
        scores = [overall] if mean is None else [overall, *[mean] * draws]
        particle.log_potential = _log_mean_exp(scores)


def _log_mean(particle: Particle, judge: Judge, draws: int) -> float | None:
    """Log of the mean of exp(score) over draws; None where they would not be whole answers."""
    run = particle.seat.run
    if not draws or not draft_is_whole(run.canvas):
        return None
    texts = [_drawn(run.canvas, particle.posteriors, run.rng) for _ in range(draws)]
    return _log_mean_exp([judge(text).score for text in texts])


def _log_mean_exp(values: Sequence[float]) -> float:
    return float(np.logaddexp.reduce(values) - np.log(len(values)))


def _drawn(canvas: Canvas, posteriors: dict[int, Posterior], rng: np.random.Generator) -> str:
    """The answer with a draw in every open gap; the canvas stays as it is."""
    draft = canvas.copy()
    for gap in draft.gaps():
        if gap.serial in posteriors:
            gap.witness = posteriors[gap.serial].sample(rng)
    return draft.text()


def _resampled(
    particles: list[Particle], ess: float, rng: np.random.Generator
) -> tuple[list[Particle], str]:
    """Particles in proportion to their weights, where few of them carry most; and what to say."""
    totals, count = np.array([p.total for p in particles]), len(particles)
    weights = _normalised(totals)
    size = 1 / float((weights**2).sum())
    told = f"effective number of particles {size:.1f} of {count}"
    if size >= ess * count:
        return particles, told
    level = float(np.logaddexp.reduce(totals) - np.log(count))
    points = (rng.random() + np.arange(count)) / count  # systematic resampling
    out: list[Particle] = []
    for i in np.searchsorted(np.cumsum(weights), points).clip(max=count - 1).tolist():
        particle = particles[i]
        if any(particle is other for other in out):
            (own,) = rng.spawn(1)
            particle = particle.copy(own)
        out.append(particle)
    for particle in out:
        particle.log_weight = level - particle.log_potential
    return out, f"{told}: drawn anew"


def _normalised(totals: Floats) -> Floats:
    """Weights that sum to one; all alike where none is possible."""
    peak = totals.max()
    if not np.isfinite(peak):
        return np.full(len(totals), 1 / len(totals))
    mass = np.exp(totals - peak)
    return np.asarray(mass / mass.sum())
