"""The published commit rules on synthetic proposals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ctrlgen.errors import OptionError
from ctrlgen.schedulers import (
    Committed,
    ConstrainedMarginals,
    EntropyBound,
    Factor,
    InfoGain,
    Klass,
    LowConfidence,
    Prophet,
    Proposal,
    RemaskLoop,
    RunningConfidence,
    Saber,
    Scheduler,
    Threshold,
    TokenEditing,
    Wino,
)
from ctrlgen.schedulers.klass import divergence

SCHEDULERS: list[Scheduler] = [
    EntropyBound(), InfoGain(), LowConfidence(), LowConfidence(3), Threshold(), Factor(), Klass(),
    Prophet(), RunningConfidence(), RemaskLoop(), Saber(), Wino(), ConstrainedMarginals(),
    TokenEditing(),
]  # fmt: skip


def proposal(
    confidence: list[float],
    entropy: list[float] | None = None,
    steps_left: int | None = None,
    **more: object,
) -> Proposal:
    """A proposal whose second-best token has what the best leaves."""
    entropies = [1 - c for c in confidence] if entropy is None else entropy
    sure = np.clip(confidence, 1e-9, 1 - 1e-9)

    def top(k: int) -> tuple[np.ndarray, np.ndarray]:
        return np.tile([0, 1], (len(sure), 1)), np.log(np.stack([sure, 1 - sure], axis=1))

    keys = np.arange(len(confidence))
    settings: dict = {"keys": keys, "measure_top": top, **more}
    return Proposal(np.array(confidence), lambda: np.array(entropies), steps_left, **settings)


def committed(
    written: list[float], current: list[float] | None = None, **more: object
) -> Committed:
    count = len(written)
    settings: dict = {
        "fresh": np.zeros(count, dtype=bool), "keys": np.arange(count), "open": 0, **more,
        "current": np.ones(count) if current is None else np.array(current),
    }  # fmt: skip
    return Committed(np.array(written), **settings)


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
        asked = proposal((rng.random(left) * 0.5).tolist(), None, steps - step)
        count = int(scheduler.select(asked).sum())
        assert count >= asked.quota() >= 1
        left -= count
    assert left == 0


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_an_unlimited_run_always_goes_on(scheduler: Scheduler) -> None:
    assert scheduler.select(proposal([0.0], [9.0])).tolist() == [True]
    assert scheduler.select(proposal([1e-9, 0.0], [9.0, 8.0])).any()


def test_factor_takes_the_largest_number_within_its_bound() -> None:
    """(2 + 1)(1 - .98) <= 1 < (3 + 1)(1 - .1): two, where the published code takes three."""
    assert Factor(1.0).select(proposal([0.1, 0.99, 0.98])).tolist() == [False, True, True]
    assert Factor(1.0).select(proposal([0.1, 0.2])).tolist() == [False, True]


def test_klass_waits_until_a_distribution_is_steady() -> None:
    memory: dict = {}
    scheduler = Klass(threshold=0.9, drift=0.01, history=2)
    picked = [
        scheduler.select(proposal([wild, 0.95, 0.92], memory=memory)).tolist()
        for wild in (0.99, 0.5, 0.99, 0.99)
    ]
    assert picked[0] == [True, False, False]  # nothing to compare with: the most confident one
    assert picked[1] == [False, True, False]
    assert picked[2] == [False, True, True]
    assert picked[3] == [False, True, True]


def test_divergence_is_that_of_the_distributions() -> None:
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])
    tokens = np.arange(3)
    expected = float((p * np.log(p / q)).sum())
    now, before = (tokens, np.log(p)), (tokens[::-1], np.log(q[::-1]))
    assert divergence(now, before) == pytest.approx(expected, abs=1e-6)
    assert divergence(now, now) == pytest.approx(0.0, abs=1e-9)
    # Only the best token is remembered: the two others are one event.
    rest = float(0.7 * np.log(0.7 / 0.2) + 0.3 * np.log(0.3 / 0.8))
    assert divergence((tokens[:1], np.log(p[:1])), (tokens[:1], np.log(q[:1]))) == pytest.approx(
        rest, abs=1e-6
    )


def test_prophet_commits_all_once_the_lead_suffices() -> None:
    sure = 1 / (1 + np.exp(-5.0))  # leads by 5 nats
    assert not Prophet().select(proposal([sure, sure, 0.6], committed=0)).all()
    assert Prophet().select(proposal([sure, sure], committed=8)).all()
    assert Prophet().select(proposal([sure, sure], committed=0)).all()  # both above the threshold
    low = 1 / (1 + np.exp(-3.0))
    assert not Prophet(base=Threshold(0.99)).select(proposal([low, low], committed=0)).all()
    assert Prophet(base=Threshold(0.99)).select(proposal([low, low], committed=6)).all()


def test_running_confidence_takes_back_the_least_sure_until_none_is_left() -> None:
    memory: dict = {}
    scheduler = RunningConfidence(steps=4)
    written = [0.4, 0.9, 0.1, 0.8]
    kept = []
    for _ in range(4):
        assert scheduler.select(proposal([0.5], memory=memory)).all()
        kept.append((~scheduler.revise(committed(written, memory=memory))).tolist())
    assert kept == [
        [False, True, False, False],
        [False, True, False, True],
        [True, True, False, True],
        [True] * 4,
    ]


def test_the_loop_rewrites_one_token_at_a_time_near_the_end() -> None:
    memory: dict = {}
    scheduler = RemaskLoop(loops=2, start=0.875)
    early = committed([0.9, 0.2], open=2, memory=memory)
    assert not scheduler.revise(early).any()
    late = committed([0.9, 0.2, 0.8], memory=memory)
    assert [scheduler.revise(late).tolist() for _ in range(3)] == [
        [False, True, False], [False, True, False], [False] * 3,
    ]  # fmt: skip


def test_wino_takes_back_fewer_than_it_gained() -> None:
    memory: dict = {}
    scheduler = Wino(draft=0.6, keep=0.9)
    assert scheduler.select(proposal([0.7, 0.65, 0.2, 0.61], memory=memory)).sum() == 3
    first = committed([0.7, 0.65, 0.61], [0.5, 0.4, 0.3], memory=memory)
    assert not scheduler.revise(first).any()  # nothing was written before this step
    scheduler.select(proposal([0.3], memory=memory))
    later = committed([0.7, 0.65, 0.61], [0.95, 0.4, 0.3], memory=memory)
    assert scheduler.revise(later).tolist() == [False, True, True]
    later = committed([0.7, 0.65, 0.61], [0.5, 0.4, 0.3], memory=memory)
    assert scheduler.revise(later).sum() <= 2


def test_saber_takes_back_what_fell_most() -> None:
    memory: dict = {}
    scheduler = Saber(least=2, back=8)
    assert scheduler.select(proposal([0.5, 0.4, 0.3], memory=memory)).tolist() == [
        True,
        True,
        False,
    ]
    assert not scheduler.revise(committed([0.5, 0.4], memory=memory, fresh=np.ones(2, bool))).any()
    assert scheduler.select(proposal([0.46, 0.1, 0.7], memory=memory)).tolist() == [
        True, False, True,
    ]  # fmt: skip
    chosen = scheduler.revise(committed([0.5, 0.4], [0.1, 0.35], memory=memory))
    assert chosen.tolist() == [True, False]


def test_what_the_canvas_no_longer_supports_opens_again() -> None:
    scheduler = ConstrainedMarginals(below=0.3)
    fresh = np.array([False, False, True])
    chosen = scheduler.revise(committed([0.9] * 3, [0.2, 0.4, 0.1], fresh=fresh))
    assert chosen.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Threshold(2), "threshold must be a number from 0 to 1, not 2"),
        (lambda: Threshold("sure"), "threshold must be a number from 0 to 1, not 'sure'"),
        (lambda: LowConfidence(0), "tokens_per_step must be a whole number of 1 or more, not 0"),
        (lambda: LowConfidence(1.5), "tokens_per_step must be a whole number"),
        (lambda: Factor(-1), "factor must be a number of 0 or more, not -1"),
        (lambda: EntropyBound(float("nan")), "gamma must be a number of 0 or more, not nan"),
        (lambda: Klass(history=-1), "history must be a number of 0 or more"),
        (lambda: InfoGain(candidates=0), "candidates must be a whole number of 1 or more"),
    ],
)
def test_parameters_that_make_no_sense(wrong: Callable[[], Scheduler], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        wrong()
