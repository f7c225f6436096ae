"""Training of a block policy: how long should the next block be, for quality less cost?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ctrlgen.controllers.blocks import Block, LearnedBlocks
from ctrlgen.controllers.blocks.choices import FEATURES, Order
from ctrlgen.controllers.blocks.learned import SIZES
from ctrlgen.generator import Model
from ctrlgen.loop import Seat
from ctrlgen.schedulers import Scheduler, Threshold
from ctrlgen.schedulers.perceptron import Perceptron
from ctrlgen.training.policy_gradient import Episode, Network, surrogate
from ctrlgen.training.rewards import Reward
from ctrlgen.training.rollouts import Branch, Chooser, Remembering, play
from ctrlgen.training.tasks import Task


@dataclass(frozen=True)
class Recipe:
    """How to train a block policy.

    Args:
        updates: Steps of Adam.
        prompts: Prompts an update.
        group: Rollouts a prompt.
        learning_rate: At its height; it falls to a tenth in a half cosine.
        entropy: Weight of the entropy of the decisions; falls to zero with the updates.
        hidden: Units of each hidden layer.
        scheduler: What commits inside a block, in training and later.
        reward: What is to be large.
        sizes: Lengths on offer, see `LearnedBlocks`.
        order: How blocks take positions, see `LearnedBlocks`.
        temperature: Of the drawn fillings.
        seed: Of weights, prompts and draws.
    """

    updates: int = 120
    prompts: int = 8
    group: int = 8
    learning_rate: float = 5e-3
    entropy: float = 0.03
    hidden: tuple[int, ...] = (32, 32)
    scheduler: Scheduler = field(default_factory=Threshold)
    reward: Reward = field(default_factory=Reward)
    sizes: tuple[int, ...] = SIZES
    order: Order = "sure"
    temperature: float = 0.0
    seed: int = 0

    @property
    def menu(self) -> dict[str, Any]:
        """What a policy is made for, as JSON data: `LearnedBlocks.load` reads sizes and order."""
        return {
            "sizes": list(self.sizes),
            "order": self.order,
            "scheduler": repr(self.scheduler),
            "reward": repr(self.reward),
        }


@dataclass(frozen=True)
class Progress:
    """What the rollouts of one update came to, on average."""

    reward: float
    quality: float
    forwards: float


def train(
    model: Model, tasks: Sequence[Task], recipe: Recipe, start: Perceptron | None = None
) -> Iterator[tuple[Perceptron, Progress]]:
    """Train a block policy; yields it, and how it fared, after every update.

    Args:
        model: What all tasks are bound to.
        tasks: What to train on.
        recipe: How.
        start: The policy to go on from; a fresh one draws all lengths alike.
    """
    rng = np.random.default_rng(recipe.seed)
    network = Network(start or Perceptron.drawn(len(FEATURES), recipe.hidden, rng))
    optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    fresh = start is None
    for update in range(recipe.updates):
        chosen = [tasks[i] for i in rng.integers(len(tasks), size=recipe.prompts)]
        policy = network.frozen(**recipe.menu)
        groups, progress = rollouts(model, chosen, policy, recipe, rng)
        if fresh:
            seen = [d.features for group in groups for e in group for d in e.decisions]
            network.standardise(np.concatenate(seen))
            fresh = False
        part = update / recipe.updates
        for settings in optimizer.param_groups:
            settings["lr"] = recipe.learning_rate * (0.55 + 0.45 * np.cos(np.pi * part))
        loss = surrogate(network, groups, recipe.entropy * (1 - part))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        yield network.frozen(**recipe.menu), progress


def rollouts(
    model: Model, tasks: Sequence[Task], policy: Perceptron, recipe: Recipe,
    rng: np.random.Generator,
) -> tuple[list[list[Episode]], Progress]:  # fmt: skip
    """A group of rollouts for every task, and what they came to on average."""
    denoiser = Remembering(model.denoiser)
    starts = []
    for task, own in zip(tasks, rng.spawn(len(tasks)), strict=True):
        chooser = Chooser(own)
        block = LearnedBlocks(policy, recipe.sizes, recipe.order, chooser)
        seat = seat_of(task, block, recipe, denoiser, seed=int(rng.integers(1 << 31)))
        starts.append(Branch(seat, chooser, recipe.group))
    groups, totals = [], []
    for task, ends in zip(tasks, play(starts), strict=True):
        group = []
        for end in ends:
            reward, quality = recipe.reward(end.seat.run, task.gold, denoiser)
            group += [Episode(end.decisions, reward)] * end.rollouts
            totals += [(reward, quality, end.seat.run.passes)] * end.rollouts
        groups.append(group)
    return groups, Progress(*np.mean(totals, axis=0).tolist())


def evaluate(
    model: Model, task: Task, block: Block, recipe: Recipe, seed: int = 0
) -> tuple[float, float, int]:
    """Reward, quality and forward passes of a task under a block controller."""
    seat = seat_of(task, block, recipe, model.denoiser, seed)
    play([Branch(seat, Chooser(np.random.default_rng(0)))])
    return *recipe.reward(seat.run, task.gold, model.denoiser), seat.run.passes


def seat_of(task: Task, block: Block, recipe: Recipe, denoiser: Any, seed: int) -> Seat:
    """A canvas of the task, in a seat that shares the passes of others."""
    seat = task.generator.seat(
        task.messages, block=block, scheduler=recipe.scheduler, temperature=recipe.temperature,
        seed=seed,
    )  # fmt: skip
    return replace(seat, engine=replace(seat.engine, denoiser=denoiser))
