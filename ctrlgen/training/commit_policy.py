"""Training of a commit policy: is this proposed token the final one?

The labels are free, as TraceLock's are (arXiv:2605.24697): a careful run, which commits few tokens
a pass, is watched, and each token that it proposed on the way is compared with the one that stands
there at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ctrlgen.canvas.parts import OPEN
from ctrlgen.generator import Model
from ctrlgen.run import Run
from ctrlgen.schedulers import LowConfidence, Proposal, Scheduler
from ctrlgen.schedulers.base import Floats, Ints, Mask
from ctrlgen.schedulers.perceptron import Perceptron
from ctrlgen.schedulers.tracelock import FEATURES, describe
from ctrlgen.step import keys_of
from ctrlgen.training.policy_gradient import Network
from ctrlgen.training.rollouts import Branch, Chooser, play
from ctrlgen.training.tasks import Task


@dataclass(frozen=True)
class Recipe:
    """How to train a commit policy.

    Args:
        speeds: Tokens that the watched runs commit a pass; tasks take turns.
        epochs: Times that every step of every trace is seen.
        batch_size: Proposed tokens a step of Adam.
        learning_rate: At its height; it falls to zero in a half cosine.
        hidden: Units of each hidden layer.
        seed: Of weights and order.
    """

    speeds: tuple[int, ...] = (2, 4, 8)
    epochs: int = 20
    batch_size: int = 512
    learning_rate: float = 3e-3
    hidden: tuple[int, ...] = (32, 32)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Traces:
    """Proposed tokens, and whether they were final.

    Args:
        features: (tokens, FEATURES).
        final: (tokens,).
    """

    features: Floats
    final: Mask

    def __len__(self) -> int:
        return len(self.final)


@dataclass(frozen=True)
class Watched(Scheduler):
    """Commits what another scheduler does, and keeps what it was shown.

    Args:
        base: What commits.
        seen: Keys, proposed tokens and features of every pass.
    """

    base: Scheduler
    seen: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)

    def select(self, proposal: Proposal) -> Mask:
        """What `base` selects."""
        self.seen.append((proposal.keys, proposal.tokens, describe(proposal)))
        return self.base.select(proposal)


def watch(model: Model, tasks: Sequence[Task], recipe: Recipe) -> Iterator[Traces]:
    """The traces of a careful run of every task, one by one.

    Args:
        model: What all tasks are bound to.
        tasks: What to run.
        recipe: How carefully.
    """
    for i, task in enumerate(tasks):
        scheduler = Watched(LowConfidence(recipe.speeds[i % len(recipe.speeds)]))
        seat = task.generator.seat(task.messages)
        seat = replace(seat, engine=replace(seat.engine, scheduler=scheduler))
        play([Branch(seat, Chooser(np.random.default_rng(0)))])
        yield _labelled(scheduler, seat.run)


def _labelled(scheduler: Watched, run: Run) -> Traces:
    """Proposals with what became of them; those of slots that were laid out anew are left out."""
    final: dict[int, int] = {}
    for gap in run.canvas.gaps():
        places = np.flatnonzero(gap.committed != OPEN)
        tokens = gap.committed[places]
        final |= dict(zip(keys_of(gap.serial, places).tolist(), tokens.tolist(), strict=True))
    features, labels = [np.zeros((0, len(FEATURES)))], [np.zeros(0, dtype=bool)]
    for keys, tokens, rows in scheduler.seen:
        ends = np.array([final.get(key, OPEN) for key in keys.tolist()])
        features.append(rows[ends != OPEN])
        labels.append((ends == tokens)[ends != OPEN])
    return Traces(np.concatenate(features), np.concatenate(labels))


def joined(traces: Sequence[Traces]) -> Traces:
    """All traces as one."""
    return Traces(
        np.concatenate([t.features for t in traces]), np.concatenate([t.final for t in traces])
    )


def train(traces: Traces, recipe: Recipe) -> Iterator[tuple[Perceptron, float]]:
    """Train on traces by cross-entropy; yields the policy and the mean loss of every epoch."""
    rng = np.random.default_rng(recipe.seed)
    network = Network(Perceptron.drawn(len(FEATURES), recipe.hidden, rng))
    network.standardise(traces.features)
    optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    batches = -(-len(traces) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * batches)
    features = torch.tensor(traces.features)
    final = torch.tensor(traces.final, dtype=torch.float64)
    for _ in range(recipe.epochs):
        total = 0.0
        order = rng.permutation(len(traces))
        for first in range(0, len(order), recipe.batch_size):
            chosen = torch.tensor(order[first : first + recipe.batch_size])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                network(features[chosen]), final[chosen]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        yield network.frozen(speeds=list(recipe.speeds)), total / len(traces)


def judged(policy: Perceptron, traces: Traces, threshold: float) -> tuple[float, float, float]:
    """Of held-out tokens: share committed, share of those that are final, and loss in nats."""
    stable = 1 / (1 + np.exp(-policy(traces.features)))
    chosen = stable >= threshold
    right = float(traces.final[chosen].mean()) if chosen.any() else 1.0
    hit = np.where(traces.final, stable, 1 - stable)
    return float(chosen.mean()), right, float(-np.log(np.maximum(hit, 1e-12)).mean())
