"""The gradient estimator against a bandit of known gradient, and training in a small world."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ctrlgen.controllers.blocks import LearnedBlocks, WholeCanvas
from ctrlgen.controllers.blocks.choices import FEATURES
from ctrlgen.schedulers import Threshold
from ctrlgen.schedulers.perceptron import Perceptron
from ctrlgen.training.block_policy import Recipe, evaluate, rollouts, seat_of, train
from ctrlgen.training.policy_gradient import Episode, Network, advantages, surrogate
from ctrlgen.training.rewards import Reward
from ctrlgen.training.rollouts import Branch, Chooser, Decision, Remembering, play
from tests.training.worlds import Agreeing, world

RECIPE = Recipe(
    updates=60, prompts=4, group=6, learning_rate=0.03, scheduler=Threshold(0.0),
    reward=Reward("exact", 0.1), sizes=(4,),
)  # fmt: skip


def probabilities(network: Network, features: np.ndarray) -> torch.Tensor:
    return network(torch.tensor(features)).softmax(dim=0)


@pytest.mark.parametrize("group", [2, 3])
def test_the_expected_estimate_is_the_gradient(group: int) -> None:
    rng = np.random.default_rng(0)
    features, rewards = rng.normal(size=(3, 4)), [0.3, -1.0, 2.0]
    start = Perceptron(np.zeros(4), np.ones(4), ((rng.normal(size=(4, 1)), np.zeros(1)),))
    network = Network(start)
    (weight,) = network.weights
    exact = (probabilities(network, features) * torch.tensor(rewards)).sum()
    (wanted,) = torch.autograd.grad(exact, [weight])
    chance = probabilities(network, features).detach().numpy()
    found = torch.zeros_like(weight)
    for arms in itertools.product(range(3), repeat=group):
        episodes = [Episode([Decision(features, a)], rewards[a]) for a in arms]
        (estimate,) = torch.autograd.grad(surrogate(network, [episodes]), [weight])
        found -= float(np.prod(chance[list(arms)])) * estimate
    assert torch.allclose(found, wanted)


def test_decisions_with_unlike_menus_are_scored_by_their_own() -> None:
    rng = np.random.default_rng(1)
    network = Network(Perceptron.drawn(4, (3,), rng))
    torch.nn.init.normal_(network.weights[-1])
    episodes = [
        Episode([Decision(rng.normal(size=(n, 4)), n - 1) for n in (2, 5)], reward)
        for reward in (1.0, 0.0)
    ]
    wanted = torch.zeros(())
    for episode, gain in zip(episodes, advantages([1.0, 0.0]), strict=True):
        for d in episode.decisions:
            wanted = wanted - gain * probabilities(network, d.features)[d.chosen].log() / 2
    assert surrogate(network, [episodes]).item() == pytest.approx(wanted.item())


def test_a_group_of_one_has_no_baseline() -> None:
    assert advantages([1.0, 3.0]).tolist() == [-2.0, 2.0]
    with pytest.raises(ValueError, match="two rollouts"):
        advantages([1.0])


def test_network_and_perceptron_agree() -> None:
    network = Network(Perceptron.drawn(6, (5, 4), np.random.default_rng(0)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    rows = np.random.default_rng(1).normal(size=(9, 6))
    network.standardise(rows)
    assert network.frozen(order="left").made_by == {"order": "left"}
    assert network.frozen()(rows) == pytest.approx(network(torch.tensor(rows)).detach().numpy())


def test_training_finds_the_best_policy_of_a_small_world() -> None:
    model, tasks = world()
    *_, (policy, last) = train(model, tasks, RECIPE)
    first = next(iter(train(model, tasks, RECIPE)))[1]
    block = LearnedBlocks(policy, RECIPE.sizes)
    hard, easy = (evaluate(model, task, block, RECIPE) for task in tasks)
    assert hard == pytest.approx((0.8, 1.0, 2))  # one value after the other
    assert easy == pytest.approx((0.9, 1.0, 1))  # both at once
    assert evaluate(model, tasks[0], WholeCanvas(), RECIPE) == pytest.approx((-0.1, 0.0, 1))
    assert last.reward > first.reward + 0.1


def test_rollouts_that_branch_are_those_that_go_alone() -> None:
    model, tasks = world()
    policy = Perceptron.drawn(len(FEATURES), (), np.random.default_rng(0))
    chooser = Chooser(np.random.default_rng(3))
    block = LearnedBlocks(policy, (1,), "sure", chooser)
    seat = seat_of(tasks[0], block, RECIPE, model.denoiser, 0)
    (ends,) = play([Branch(seat, chooser, 8)])
    assert sum(end.rollouts for end in ends) == 8 and len(ends) > 1
    for end in ends:
        answers = iter(d.chosen for d in end.decisions)
        alone = LearnedBlocks(policy, (1,), "sure", lambda f, s, a=answers: next(a))
        again = seat_of(tasks[0], alone, RECIPE, model.denoiser, 0)
        play([Branch(again, chooser)])
        assert again.run.canvas.text() == end.seat.run.canvas.text()
        assert again.run.passes == end.seat.run.passes


def test_rollouts_count_every_member_of_a_branch() -> None:
    model, tasks = world()
    policy = Perceptron.drawn(len(FEATURES), (), np.random.default_rng(0))
    groups, progress = rollouts(model, tasks, policy, RECIPE, np.random.default_rng(0))
    assert [len(group) for group in groups] == [RECIPE.group] * 2
    assert progress.reward == pytest.approx(progress.quality - 0.1 * progress.forwards)
    assert progress.reward == pytest.approx(np.mean([e.reward for g in groups for e in g]))


def test_equal_canvases_are_looked_at_once() -> None:
    denoiser = Agreeing()
    remembering = Remembering(denoiser)
    sequences, positions = [[104, 1, 2], [101, 1, 2], [104, 1, 2]], [[2], [1], [2]]
    found = remembering(sequences, positions)
    assert denoiser.calls == 1 and (remembering.asked, remembering.made) == (3, 2)
    for rows, wanted in zip(found, denoiser(sequences, positions), strict=True):
        assert (rows == wanted).all()
        with pytest.raises(ValueError, match="read-only"):
            rows[0, 0] = 1.0
    assert remembering.vocabulary is denoiser.vocabulary
