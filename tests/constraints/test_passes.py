"""Gaps solved together, against the same gaps one by one (which test_posterior.py checks)."""

import numpy as np
import pytest

import ctrlgen
from ctrlgen.constraints.gap import GapGraph, Slack, reachable
from ctrlgen.constraints.posterior import Posterior, add_up, be_sure, find_best
from ctrlgen.testing import ScriptedDenoiser

DENOISER = ScriptedDenoiser(lambda rng, shape: rng.normal(size=shape))
PATTERNS = ("[a-c]{1,9}", r'"[a-z]*"', "true|false|null", r"(0|[1-9]\d{0,4})", "ab(cab)*")


def gap(rng: np.random.Generator) -> Posterior:
    """A gap of some pattern, length and slack; sometimes one that nothing fits."""
    constraint = ctrlgen.compile(ctrlgen.regex(str(rng.choice(PATTERNS))), DENOISER.vocabulary)
    length = int(rng.integers(1, 12))
    slack = Slack(DENOISER.fill_token_id, bool(rng.integers(2))) if rng.integers(3) else None
    states = reachable(constraint.tokens, constraint.start(), length, 500)
    assert states is not None
    logits = rng.normal(scale=5, size=(length, DENOISER.vocabulary.size))
    logits[rng.random(logits.shape) < 0.2] = -np.inf
    committed = np.full(length, -1)
    for token in rng.choice(
        [ord("a"), ord('"'), ord("7"), DENOISER.fill_token_id], rng.integers(4)
    ):
        committed[rng.integers(length)] = token  # often of no filling at all
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return Posterior(GapGraph(constraint.tokens, states, length, slack), log_probs, committed)


@pytest.mark.parametrize("seed", range(30))
def test_together_is_as_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    together = [gap(rng) for _ in range(int(rng.integers(2, 9)))]
    alone = [Posterior(p.graph, p.log_probs, p.committed) for p in together]
    add_up(together)
    possible = [p for p in together if p.feasible]
    find_best(possible)
    be_sure(possible)
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.feasible == theirs.feasible
        if not ours.feasible:
            continue
        assert ours.log_partition == pytest.approx(theirs.log_partition, abs=1e-9)
        np.testing.assert_allclose(ours.atom_log_weights, theirs.atom_log_weights, atol=1e-9)
        np.testing.assert_array_equal(ours.support, theirs.support)
        np.testing.assert_array_equal(ours.best(), theirs.best())
        expected = theirs.confidence(theirs.best().copy())
        np.testing.assert_allclose(ours.confidence(ours.best()), expected, atol=1e-9)
        assert ours.closing_mass() == pytest.approx(theirs.closing_mass())


def test_nothing_at_all() -> None:
    """Without gaps there is nothing to join, which must not raise."""
    add_up([])
    find_best([])
    be_sure([])
