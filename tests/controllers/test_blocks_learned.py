"""Learned blocks: any policy at all leaves answers valid; what a policy is shown."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctrlgen
from ctrlgen.controllers.blocks import LearnedBlocks
from ctrlgen.controllers.blocks.choices import FEATURES, choices, describe, line_up
from ctrlgen.errors import ModelError
from ctrlgen.generator import Model
from ctrlgen.schedulers import (
    LowConfidence,
    Proposal,
    RunningConfidence,
    Threshold,
    TraceLock,
    tracelock,
)
from ctrlgen.schedulers.perceptron import Perceptron, load_policy
from ctrlgen.testing import ADVERSARIES, ScriptedDenoiser

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "kind": {"enum": ["a", "bc", None]},
        "tags": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
        "note": {"type": "string"},
    },
    "required": ["name", "kind", "tags"],
}


def policy(seed: int, features: int = len(FEATURES), scale: float = 100.0) -> Perceptron:
    """Wild weights, some of them not even numbers."""
    rng = np.random.default_rng(seed)
    drawn = Perceptron.drawn(features, (5,), rng)
    layers = [(scale * rng.normal(size=w.shape), scale * rng.normal(size=b.shape))
              for w, b in drawn.layers]  # fmt: skip
    if seed % 5 == 0:
        layers[-1][1][0] = np.nan
    return Perceptron(drawn.mean, drawn.scale, tuple(layers))


def proposal(rng: np.random.Generator, slots: int, memory: dict | None = None) -> Proposal:
    sizes = rng.integers(1, 6, size=slots)
    gaps = np.repeat(np.arange(slots), sizes)
    count = len(gaps)
    entropy = rng.random(count)
    return Proposal(
        rng.random(count),
        lambda: entropy,
        tokens=rng.integers(9, size=count),
        pieces=tuple(b"" if rng.random() < 0.5 else b"x" for _ in range(count)),
        keys=np.arange(count),
        offsets=np.arange(count) + 3 * gaps,
        gaps=gaps,
        memory={} if memory is None else memory,
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.sampled_from(["left", "sure"]),
       sizes=st.lists(st.integers(1, 40), max_size=3))  # fmt: skip
def test_whatever_a_policy_says_the_window_holds_something(seed, order, sizes):
    rng, memory = np.random.default_rng(seed), {}
    block = LearnedBlocks(policy(seed), tuple(sizes), order)
    whole = proposal(rng, int(rng.integers(1, 6)), memory)
    left = np.ones(len(whole.keys), dtype=bool)
    while left.any():
        asked = whole.within(left)
        window = block.window(asked)
        assert window.shape == asked.confidence.shape and window.any()
        left[rng.choice(asked.keys[window])] = False


@pytest.mark.parametrize("seed", range(10))
def test_whatever_a_policy_says_answers_are_valid(seed):
    rng = np.random.default_rng(seed)
    adversary = sorted(ADVERSARIES)[int(rng.integers(len(ADVERSARIES)))]
    model = Model(ScriptedDenoiser(ADVERSARIES[adversary], seed))
    lock = TraceLock(0.5, policy(seed, len(tracelock.FEATURES)))
    scheduler = (Threshold(0.0), LowConfidence(3), RunningConfidence(3), lock, lock)[seed % 5]
    for order, steps in (("left", 2), ("sure", None)):
        generator = ctrlgen.Generator(
            model, SCHEMA, block=LearnedBlocks(policy(seed), (1, 4), order), scheduler=scheduler,
            steps=steps, max_new_tokens=60,
        )  # fmt: skip
        answer = json.loads(generator.generate("x").text)
        assert jsonschema.Draft202012Validator(SCHEMA).is_valid(answer)


def test_slots_line_up_by_their_least_sure_position():
    asked = Proposal(
        np.array([0.9, 0.2, 0.8, 0.7, 0.99]), lambda: np.zeros(5), pieces=(b"x",) * 5,
        keys=np.arange(5), offsets=np.arange(5), gaps=np.array([4, 4, 6, 6, 9]),
    )  # fmt: skip
    line = line_up(asked, "sure")
    assert line.at.tolist() == [4, 2, 3, 0, 1]
    assert line.ends.tolist() == [True, False, True, False, True]
    assert line_up(asked, "left").at.tolist() == [0, 1, 2, 3, 4]
    offered = choices(line, (2, 3, 50))
    assert [(c.name, c.size) for c in offered] == [
        ("wall", 1), ("2", 2), ("all but a slot", 3), ("all", 5)
    ]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_features_say_what_lies_in_a_block(seed):
    rng = np.random.default_rng(seed)
    asked = proposal(rng, int(rng.integers(1, 6)))
    line = line_up(asked, "sure")
    offered = choices(line, (3, 8))
    rows = describe(asked, line, offered)
    assert rows.shape == (len(offered), len(FEATURES)) and np.isfinite(rows).all()
    for row, choice in zip(rows, offered, strict=True):
        inside = line.at[: choice.size]
        said = dict(zip(FEATURES, row.tolist(), strict=True))
        assert np.expm1(said["log size"]) == pytest.approx(choice.size)
        assert said["least confidence"] == pytest.approx(asked.confidence[inside].min())
        assert said["mean entropy"] == pytest.approx(asked.entropy[inside].mean())
        assert np.expm1(said["log entropy"]) == pytest.approx(asked.entropy[inside].sum())
        rest = np.delete(asked.entropy[line.at], np.arange(choice.size))
        assert said["entropy beyond"] == pytest.approx(rest.mean() if len(rest) else 0.0)
        assert said["reaches the end"] == (choice.size == len(line))


def test_a_policy_hears_what_the_last_block_cost_and_of_revisions():
    seen = []
    rng, memory = np.random.default_rng(0), {}
    block = LearnedBlocks(policy(1), (2,), "left", lambda f, _: seen.append(f[0]) or 0)
    whole = proposal(rng, 4, memory)
    told = lambda name: seen[-1][FEATURES.index(name)]  # noqa: E731
    first = block.window(whole)
    assert told("last passes") == told("log passes") == told("reopened share") == 0
    left = np.ones(len(first), dtype=bool)
    left[np.flatnonzero(first)[0]] = False
    if first.sum() > 1:
        block.window(whole.within(left))
    block.window(whole.within(~first))
    assert told("last passes") == min(2, first.sum())
    assert np.expm1(told("log passes")) == pytest.approx(told("last passes"))
    assert np.expm1(told("log last size")) == pytest.approx(first.sum())
    block.window(whole.within(first))  # a scheduler has opened the first block again
    assert told("reopened share") == 1


def test_a_policy_survives_the_disk(tmp_path: Path):
    before = policy(1, scale=1.0)
    before.save(tmp_path)
    after = Perceptron.load(tmp_path, len(FEATURES))
    rows = np.random.default_rng(0).normal(size=(7, len(FEATURES)))
    assert after(rows) == pytest.approx(before(rows), rel=1e-4)
    assert after.parameters == before.parameters == 5 * len(FEATURES) + 5 + 5 + 1
    with pytest.raises(ModelError, match="cannot load a policy"):
        Perceptron.load(tmp_path, len(FEATURES) + 1)
    with pytest.raises(ModelError, match="cannot load a policy"):
        LearnedBlocks.load(tmp_path / "nothing")


def test_a_menu_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="sizes"):
        LearnedBlocks(policy(1), (0,))
    with pytest.raises(ValueError, match="order"):
        LearnedBlocks(policy(1), order="right")


def test_the_embedded_policies_are_there():
    assert LearnedBlocks().policy is LearnedBlocks.load().policy
    assert TraceLock().policy is load_policy(tracelock.EMBEDDED, len(tracelock.FEATURES))
