"""KLASS: commit what is sure and has stopped changing (arXiv:2511.05664)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrlgen.ranges import not_negative, within_one
from ctrlgen.schedulers.base import Floats, Ints, Mask, Proposal, Scheduler, most_confident

TOP = 32
"""Tokens of a distribution that are remembered; the rest counts as one."""

Distribution = tuple[Ints, Floats]


@dataclass(frozen=True)
class Klass(Scheduler):
    """Commit positions above a confidence whose distribution was steady in the last steps.

    Args:
        threshold: Constrained probability above which a token commits.
        drift: Largest KL divergence, in nats, from one step to the next that counts as steady.
        history: Steps in a row that have to be steady.
    """

    threshold: float = 0.9
    drift: float = 0.01
    history: int = 2

    def __post_init__(self) -> None:
        within_one(threshold=self.threshold)
        not_negative(drift=self.drift, history=self.history)

    def select(self, proposal: Proposal) -> Mask:
        """Sure and steady positions; the most confident ones where there are none."""
        before: dict[int, Distribution] = proposal.memory.get("distributions", {})
        steady: dict[int, int] = proposal.memory.get("steady", {})
        tokens, logs = proposal.measure_top(TOP)
        now = {int(key): (t, p) for key, t, p in zip(proposal.keys, tokens, logs, strict=True)}
        proposal.memory["distributions"] = now
        proposal.memory["steady"] = steady = {
            key: steady.get(key, 0) + 1
            if key in before and divergence(now[key], before[key]) < self.drift
            else 0
            for key in now
        }
        calm = np.array([steady[int(key)] >= self.history for key in proposal.keys])
        chosen: Mask = calm & (proposal.confidence > self.threshold)
        return chosen | most_confident(proposal, proposal.quota() if not chosen.any() else 0)


def divergence(now: Distribution, before: Distribution) -> float:
    """KL(now || before) in nats over the tokens remembered from now; all others are one event."""
    known = dict(zip(before[0].tolist(), np.exp(before[1]).tolist(), strict=True))
    rest_before = max(1e-12, 1.0 - sum(known.values()))
    total, rest_now = 0.0, 1.0
    for token, log_p in zip(now[0].tolist(), now[1].tolist(), strict=True):
        p = float(np.exp(log_p))
        if p > 0:
            q = known.pop(token, rest_before)
            total += p * (log_p - float(np.log(max(q, 1e-12))))
            rest_now -= p
    rest_before = max(1e-12, rest_before + sum(known.values()))
    return total + max(rest_now, 0.0) * float(np.log(max(rest_now, 1e-12) / rest_before))
