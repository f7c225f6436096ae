"""TraceLock: labels from traces, what it learns of them, and what it commits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ctrlgen.schedulers import LowConfidence, Proposal, TraceLock
from ctrlgen.schedulers.perceptron import Perceptron
from ctrlgen.schedulers.tracelock import FEATURES, describe
from ctrlgen.training.commit_policy import Recipe, Traces, Watched, joined, judged, train, watch
from ctrlgen.training.rollouts import Branch, Chooser, play
from tests.training.worlds import world


def proposal(confidence: list[float], memory: dict, tokens: list[int] | None = None) -> Proposal:
    count = len(confidence)
    return Proposal(
        np.array(confidence),
        lambda: np.ones(count),
        tokens=np.array(tokens or [7] * count),
        pieces=(b"x",) * count,
        keys=np.arange(count),
        offsets=np.array([0, 1, 2, 7, 8, 9][:count]),
        gaps=np.array([0, 0, 0, 3, 3, 3][:count]),
        memory=memory,
    )


def column(rows: np.ndarray, name: str) -> list[float]:
    return rows[:, FEATURES.index(name)].tolist()


def test_features_tell_of_the_slot_the_neighbours_and_the_past() -> None:
    memory: dict = {}
    first = describe(proposal([0.9, 0.5, 0.6, 0.2, 0.3, 0.4], memory, [1, 2, 3, 4, 5, 6]))
    assert first.shape == (6, len(FEATURES)) and np.isfinite(first).all()
    odds = np.log(np.array([9.0, 1.0, 1.5, 0.25, 3 / 7, 2 / 3]))
    assert column(first, "log odds") == pytest.approx(odds)
    assert column(first, "least of the slot")[:3] == pytest.approx([0.0] * 3)
    assert column(first, "left neighbour")[1:3] == pytest.approx(odds[:2])
    assert column(first, "left neighbour")[3] == column(first, "left neighbour")[0] > 9
    assert column(first, "right neighbour")[3:5] == pytest.approx(odds[4:])
    assert column(first, "rank") == pytest.approx(np.array([0, 2, 1, 5, 4, 3]) / 6)
    assert column(first, "proposed before") == [0.0] * 6
    second = describe(proposal([0.9, 0.9, 0.6, 0.2, 0.3, 0.4], memory, [1, 2, 9, 4, 5, 6]))
    assert column(second, "proposed before") == [1.0] * 6
    assert column(second, "kept so long") == pytest.approx(np.log([2, 2, 1, 2, 2, 2]))
    assert column(second, "rise")[1] == pytest.approx(np.log(9))
    assert column(second, "log steps") == pytest.approx([np.log(3)] * 6)


def test_it_commits_what_is_stable_and_never_nothing() -> None:
    weight = np.zeros((len(FEATURES), 1))
    weight[0] = 1.0  # the log odds are the score: stable is as likely as confident
    policy = Perceptron(np.zeros(len(FEATURES)), np.ones(len(FEATURES)), ((weight, np.zeros(1)),))
    lock = TraceLock(0.8, policy)
    assert lock.select(proposal([0.7, 0.81, 0.95], {})).tolist() == [False, True, True]
    assert lock.select(proposal([0.1, 0.2, 0.3], {})).tolist() == [False, False, True]
    limited = replace(proposal([0.1, 0.2, 0.3], {}), steps_left=2)
    assert lock.select(limited).sum() == 2


def test_labels_are_what_stands_there_at_the_end() -> None:
    model, (hard, easy) = world()
    (unsure,) = watch(model, [hard], Recipe(speeds=(1,)))
    # Both values are proposed in the first pass, x and y; the first stays, the second does not.
    assert sorted(unsure.final.tolist()) == [False, True, True]
    (sure,) = watch(model, [easy], Recipe(speeds=(1,)))
    assert sure.final.tolist() == [True] * 3
    assert len(joined([unsure, sure])) == 6


def test_watching_changes_nothing() -> None:
    _, tasks = world()
    for task in tasks:
        texts = []
        for scheduler in (LowConfidence(1), Watched(LowConfidence(1))):
            seat = task.generator.seat(task.messages)
            seat = replace(seat, engine=replace(seat.engine, scheduler=scheduler))
            play([Branch(seat, Chooser(np.random.default_rng(0)))])
            texts.append((seat.run.canvas.text(), seat.run.passes))
        assert texts[0] == texts[1]


def test_training_learns_what_tells_final_tokens() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4000, len(FEATURES)))
    final = rows[:, 0] * rows[:, 3] > 0  # no single feature says so
    traces, rest = (Traces(rows[s], final[s]) for s in (slice(3000), slice(3000, None)))
    *_, (policy, loss) = train(traces, Recipe(epochs=12, batch_size=64, learning_rate=0.01))
    _, right, held_out = judged(policy, rest, 0.8)
    assert loss < 0.2 and right > 0.93 and held_out < 0.35
    assert judged(policy, rest, 1.1)[:2] == (0.0, 1.0)
