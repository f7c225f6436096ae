"""The published commit rules on synthetic proposals."""

from __future__ import annotations

import numpy as np
import pytest

from ctrlgen.schedulers import EntropyBound, LowConfidence, Proposal, Scheduler, Threshold

SCHEDULERS: list[Scheduler] = [EntropyBound(), LowConfidence(), LowConfidence(3), Threshold()]


def proposal(
    confidence: list[float], entropy: list[float] | None = None, steps_left: int | None = None
) -> Proposal:
    entropies = [1 - c for c in confidence] if entropy is None else entropy
    return Proposal(np.array(confidence), lambda: np.array(entropies), steps_left)


def test_entropy_bound_takes_the_largest_set_within_the_bound() -> None:
    """sum - max of the four lowest is .061; with the fifth it would be .261."""
    entropy = [1.5, 0.001, 0.2, 0.01, 0.05]
    chosen = EntropyBound(gamma=0.1).select(proposal([0.1, 0.9, 0.5, 0.8, 0.7], entropy))
    assert chosen.tolist() == [False, True, True, True, True]


def test_entropy_bound_of_zero_takes_the_most_certain_one() -> None:
    chosen = EntropyBound(gamma=0.0).select(proposal([0.1, 0.9], [1.0, 0.2]))
    assert chosen.tolist() == [False, True]


def test_threshold_takes_all_sure_positions() -> None:
    chosen = Threshold(0.8).select(proposal([0.79, 0.8, 0.95, 0.2]))
    assert chosen.tolist() == [False, True, True, False]


def test_threshold_takes_the_best_where_none_is_sure() -> None:
    assert Threshold(0.9).select(proposal([0.1, 0.3, 0.2])).tolist() == [False, True, False]


def test_low_confidence_takes_a_fixed_number() -> None:
    confidence = [0.1, 0.9, 0.5, 0.8]
    assert LowConfidence(2).select(proposal(confidence)).tolist() == [False, True, False, True]
    limited = LowConfidence(4).select(proposal(confidence, steps_left=4))
    assert limited.tolist() == [False, True, False, False]


def test_ties_go_to_the_left() -> None:
    assert LowConfidence(2).select(proposal([0.5] * 4)).tolist() == [True, True, False, False]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", range(1, 9))
def test_a_limited_run_ends_in_time(scheduler: Scheduler, steps: int) -> None:
    rng = np.random.default_rng(steps)
    left = int(rng.integers(1, 40))
    for step in range(steps):
        if not left:
            break
        entropy = rng.random(left) + 1
        asked = Proposal(rng.random(left) * 0.5, lambda e=entropy: e, steps - step)
        count = int(scheduler.select(asked).sum())
        assert count >= asked.quota() >= 1
        left -= count
    assert left == 0


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_an_unlimited_run_always_goes_on(scheduler: Scheduler) -> None:
    assert scheduler.select(proposal([0.0], [9.0])).tolist() == [True]
    assert scheduler.select(proposal([1e-9, 0.0], [9.0, 8.0])).any()
