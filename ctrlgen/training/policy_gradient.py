"""REINFORCE with a group baseline: a rollout is judged by the other rollouts of its prompt.

The baseline of a rollout is the mean reward of the others of its group (RLOO, arXiv:2402.14740), so
the gradient is unbiased; GRPO (arXiv:2402.03300) also divides by the spread, which is not done
here: prompts where little depends on the policy would weigh as much as those where much does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ctrlgen.schedulers.base import Floats
from ctrlgen.schedulers.perceptron import Perceptron
from ctrlgen.training.rollouts import Decision


@dataclass(frozen=True, eq=False)
class Episode:
    """The decisions of one rollout and what they came to."""

    decisions: Sequence[Decision]
    reward: float


class Network(torch.nn.Module):
    """A `Perceptron` that can be trained."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, start: Perceptron) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(start.mean))
        self.register_buffer("scale", torch.tensor(start.scale))
        self.weights = torch.nn.ParameterList(torch.tensor(w) for w, _ in start.layers)
        self.biases = torch.nn.ParameterList(torch.tensor(b) for _, b in start.layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The output for each row; (rows, features) to (rows,)."""
        state = (features - self.mean) / self.scale
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            state = (torch.tanh(state) if i else state) @ weight + bias
        return state[:, 0]

    def standardise(self, features: Floats) -> None:
        """Take mean and spread of these rows, (rows, features), as those of all features."""
        spread = features.std(axis=0)
        self.mean.copy_(torch.tensor(features.mean(axis=0)))
        self.scale.copy_(torch.tensor(np.where(spread > 1e-6, spread, 1.0)))

    def frozen(self, **made_by: object) -> Perceptron:
        """The perceptron as it is now."""
        layers = tuple(
            (w.detach().numpy().copy(), b.detach().numpy().copy())
            for w, b in zip(self.weights, self.biases, strict=True)
        )
        mean, scale = self.mean.numpy().copy(), self.scale.numpy().copy()
        return Perceptron(mean, scale, layers, dict(made_by))


def advantages(rewards: Sequence[float]) -> Floats:
    """What each rollout of a group is better than the mean of the others, (rollouts,).

    Raises:
        ValueError: If there are fewer than two.
    """
    if len(rewards) < 2:
        raise ValueError("a group baseline needs two rollouts or more")
    own = np.asarray(rewards, dtype=float)
    return np.asarray(own - (own.sum() - own) / (len(own) - 1))


def surrogate(
    network: torch.nn.Module, groups: Sequence[Sequence[Episode]], entropy: float = 0.0
) -> torch.Tensor:
    """A loss whose gradient is minus the estimated gradient of the mean reward.

    Args:
        network: Scores choices by their features; a softmax of the scores is the policy.
        groups: Rollouts by prompt.
        entropy: Weight of the mean entropy of the decisions, which is added to the reward.
    """
    decisions = [(d, a) for group in groups
                 for e, a in zip(group, advantages([e.reward for e in group]), strict=True)
                 for d in e.decisions]  # fmt: skip
    if not decisions:
        return torch.zeros((), requires_grad=True)
    sizes = [len(d.features) for d, _ in decisions]
    scores = network(torch.tensor(np.concatenate([d.features for d, _ in decisions])))
    # Decisions differ in how many choices they have: -inf pads them to the longest.
    table = torch.nn.utils.rnn.pad_sequence(
        scores.split(sizes), batch_first=True, padding_value=-torch.inf
    )
    logs = table.log_softmax(dim=1)
    chosen = logs[torch.arange(len(sizes)), torch.tensor([d.chosen for d, _ in decisions])]
    gained = (torch.tensor([a for _, a in decisions]) * chosen).sum()
    spread = -(logs.exp() * logs.masked_fill(logs == -torch.inf, 0.0)).sum(dim=1).mean()
    return -gained / sum(map(len, groups)) - entropy * spread
