"""Info-Gain: look ahead, commit what leaves the rest surest (arXiv:2602.18176)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ctrlgen.ranges import at_least_one, not_negative, within_one
from ctrlgen.schedulers.base import Mask, Proposal, Scheduler, most_confident


@dataclass(frozen=True)
class InfoGain(Scheduler):
    """Of several sets of positions, commit the one with the best J(a).

    J(a) = -sum of H over a - mean of H over what stays open once a is committed

    in nats; the second term takes a forward pass for each set, made as one batch and counted. Sets
    are the most confident positions, and draws of confidence / position_temperature + Gumbel noise.
    Positions that are sure commit at once, and nothing is looked at.

    Args:
        candidates: Most sets that are looked at in a step; equal draws count once.
        position_temperature: Spread of the draws.
        sure: Confidence at which a position commits without a look.
        tokens_per_step: Positions in a set, where a limited run does not need more.
    """

    candidates: int = 8
    position_temperature: float = 0.2
    sure: float = 0.8
    tokens_per_step: int = 1

    def __post_init__(self) -> None:
        at_least_one(candidates=self.candidates, tokens_per_step=self.tokens_per_step)
        not_negative(position_temperature=self.position_temperature)
        within_one(sure=self.sure)

    def select(self, proposal: Proposal) -> Mask:
        """What is sure, or the set that leaves the rest surest."""
        sure: Mask = proposal.confidence >= self.sure
        if sure.any():
            return sure | most_confident(proposal, proposal.quota())
        left = proposal.steps_left
        if left is not None and left <= self.candidates:  # too few passes to look ahead
            return most_confident(proposal, max(self.tokens_per_step, proposal.quota()))
        actions = self._actions(proposal, self._count(proposal))
        if len(actions) == 1:
            return actions[0]
        cost = [float(proposal.entropy[action].sum()) for action in actions]
        return actions[int(np.argmin(np.add(cost, proposal.look_ahead(actions))))]

    def _count(self, proposal: Proposal) -> int:
        """Positions in a set, so that a limited run ends in time though looks cost passes."""
        if proposal.steps_left is None:
            return self.tokens_per_step
        rounds = math.ceil(proposal.steps_left / (1 + self.candidates))
        return max(self.tokens_per_step, math.ceil(proposal.open / rounds))

    def _actions(self, proposal: Proposal, count: int) -> list[Mask]:
        """Different sets of `count` positions, the most confident ones first."""
        actions = [most_confident(proposal, count)]
        for _ in range(self.candidates - 1):
            noise = proposal.rng.gumbel(size=len(proposal.confidence))
            order = np.argsort(-(proposal.confidence / self.position_temperature + noise))
            action = np.zeros(len(order), dtype=bool)
            action[order[:count]] = True
            if not any((action == known).all() for known in actions):
                actions.append(action)
        return actions
