"""Info-Gain against a brute-force reading of its objective, and what its looks cost."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

import ctrlgen
from ctrlgen.canvas.parts import OPEN
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers import ConstraintController
from ctrlgen.controllers.blocks import FixedBlocks
from ctrlgen.controllers.proposer import propose_each
from ctrlgen.denoisers.base import log_probs_of
from ctrlgen.look_ahead import mean_entropies
from ctrlgen.run import Engine, Run
from ctrlgen.schedulers import EntropyBound, InfoGain, Proposal
from ctrlgen.schedulers.base import Mask
from ctrlgen.testing import RandomDenoiser, ScriptedDenoiser
from tests.controllers.toys import DENOISER, VOCAB, canvas_of

A = ord("a")


def proposal(look: object, count: int = 6, seed: int = 0, **more: object) -> Proposal:
    rng = np.random.default_rng(seed)
    confidence, entropy = rng.uniform(0.1, 0.7, count), rng.uniform(0.1, 2.0, count)
    settings: dict = {"look_ahead": look, "rng": rng, **more}
    return Proposal(confidence, lambda: entropy, **settings)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 2])
def test_the_set_with_the_best_objective_commits(seed: int, size: int) -> None:
    """With candidates enough to meet all sets, it is the best of all sets."""
    weights = np.random.default_rng(seed + 100).uniform(0, 3, 5)

    def look(actions: Sequence[Mask]) -> list[float]:
        return [float(weights[~action].mean()) for action in actions]

    asked = proposal(look, 5, seed)
    chosen = InfoGain(400, position_temperature=5.0, tokens_per_step=size).select(asked)
    sets = [np.isin(np.arange(5), [i, j]) for i in range(5) for j in range(i + 1, 5)]
    if size == 1:
        sets = list(np.eye(5, dtype=bool))
    objective = [-asked.entropy[a].sum() - weights[~a].mean() for a in sets]
    assert chosen.tolist() == sets[int(np.argmax(objective))].tolist()


def never(actions: Sequence[Mask]) -> list[float]:
    raise AssertionError("looked ahead")


def test_what_is_sure_commits_without_a_look() -> None:
    asked = Proposal(np.array([0.3, 0.85, 0.9]), lambda: np.ones(3), look_ahead=never)
    assert InfoGain(sure=0.8).select(asked).tolist() == [False, True, True]


def test_nothing_is_looked_at_where_there_is_no_choice_or_no_pass_left() -> None:
    assert InfoGain().select(proposal(never, 1)).all()
    assert InfoGain(candidates=8).select(proposal(never, 6, steps_left=8)).sum() == 1
    assert InfoGain(candidates=1).select(proposal(never, 6)).sum() == 1


def test_a_look_is_the_entropy_of_the_next_step() -> None:
    """Brute force: commit by hand, ask the denoiser, add up the posterior."""
    canvas = canvas_of("[ab]{1,3}c?")
    canvas.prompt = [7, 8]
    (gap,) = canvas.gaps()
    constraint, rng = ConstraintController(), np.random.default_rng(0)
    rows = log_probs_of(rng.normal(size=(6, VOCAB)), canvas.mask)
    propose_each(canvas, [(gap, constraint.posterior(canvas, gap, rows))], 0.0, rng)
    run = Run([7, 8], canvas, rng)
    engine = Engine(DENOISER, constraint, InfoGain())
    actions = [np.isin(np.arange(6), [i]) for i in range(3)]
    found = mean_entropies(engine, run, [gap], [[a] for a in actions])
    assert run.usage.forward_passes == 3
    assert (gap.committed == OPEN).all()
    for action, mean in zip(actions, found, strict=True):
        tokens = np.where(action, gap.witness, OPEN)
        ids = [7, 8, *np.where(action, gap.witness, canvas.mask).tolist()]
        (logits,) = DENOISER([ids], [list(range(2, 8))])
        posterior = constraint.posterior(canvas, gap, log_probs_of(logits, canvas.mask), tokens)
        p = np.exp(posterior.log_marginals)
        entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1)
        free = ~action & ((p > 0).sum(axis=1) > 1)
        assert mean == pytest.approx(entropy[free].mean())


class Counting(RandomDenoiser):
    """Counts sequences, which is what a forward pass of one canvas is."""

    looked = 0

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        self.looked += len(sequences)
        return super().__call__(sequences, positions)


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "n": {"type": "integer"}},
    "required": ["name"],
}


@pytest.mark.parametrize("steps", [None, 3, 30])
@pytest.mark.parametrize("windowed", [False, True])
def test_every_look_is_counted(steps: int | None, windowed: bool) -> None:
    denoiser = Counting(seed=1, scale=1.0)
    generator = ctrlgen.Generator(ctrlgen.Model(denoiser), SCHEMA, scheduler=InfoGain(4))
    more = {"block": FixedBlocks(4)} if windowed else {}
    result = generator.generate("x", steps=steps, max_new_tokens=40, **more)
    assert result.usage.forward_passes == denoiser.looked
    assert len(result.trace) <= result.usage.forward_passes <= (steps or 10_000)
    assert steps is not None or len(result.trace) < result.usage.forward_passes
    assert set(result.output) <= {"name", "n"}


def test_what_settles_the_rest_goes_first() -> None:
    """Position 0 decides all the others, which are likelier by themselves."""

    class Keyed(ScriptedDenoiser):
        def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
            return [self.seen(s, asked) for s, asked in zip(sequences, positions, strict=True)]

        def seen(self, sequence: list[int], asked: list[int]) -> Floats:
            rows = np.zeros((len(asked), self.vocabulary.size))
            first = asked[0]
            for row, at in zip(rows, asked, strict=True):
                row[[A, A + 1]] = 8.0, (7.4 if at == first else 7.6)
                if sequence[first] != self.mask_token_id and at != first:
                    row[sequence[first]] += 20.0
            return rows

    model = ctrlgen.Model(Keyed(lambda rng, shape: np.zeros(shape)))
    generator = ctrlgen.Generator(model, ctrlgen.regex("[ab]{6}"))
    result = generator.generate("", scheduler=InfoGain(30, position_temperature=5.0))
    assert re.fullmatch("a+|b+", result.output)
    assert len(result.trace) == 2


def test_a_proposer_that_doubts_is_less_certain_than_the_posterior() -> None:
    """Halved confidence holds back schedulers that go by entropy; untouched, nothing changes."""
    seen: list[tuple[Floats, Floats]] = []

    class Spy(EntropyBound):
        def select(self, proposal: Proposal) -> Mask:
            seen.append((proposal.confidence, proposal.entropy))
            return super().select(proposal)

    def doubtful(canvas, posteriors, temperature, rng) -> None:  # type: ignore[no-untyped-def]
        propose_each(canvas, posteriors, temperature, rng)
        for gap, _ in posteriors:
            gap.confidence = gap.confidence / 2

    generator = ctrlgen.Generator(ctrlgen.Model(RandomDenoiser(2, 9.0)), ctrlgen.regex("[ab]{6}"))
    sure = generator.generate("x", scheduler=Spy(0.5))
    for confidence, entropy in seen:
        least = -confidence * np.log(confidence) - (1 - confidence) * np.log1p(-confidence)
        assert (entropy >= least - 1e-9).all()
    doubted = generator.generate("x", scheduler=EntropyBound(0.5), proposer=doubtful)
    assert doubted.usage.forward_passes > sure.usage.forward_passes
