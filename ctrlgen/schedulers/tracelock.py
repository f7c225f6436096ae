"""TraceLock: commit what a small classifier says will not change (arXiv:2605.24697).

It is trained on traces of slow, careful runs: the label of a proposed token is whether the same
token stands there at the end. That costs no gold answers, and no reward.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ctrlgen.ranges import within_one
from ctrlgen.schedulers.base import Floats, Mask, Proposal, Scheduler, most_confident
from ctrlgen.schedulers.perceptron import Perceptron, load_policy

EMBEDDED = Path(__file__).parent / "weights"

FEATURES = (
    "log odds", "entropy", "fill", "least of the slot", "mean of the slot", "slot's open",
    "place in the slot", "left neighbour", "right neighbour", "proposed before", "kept so long",
    "rise", "rank", "mean of the canvas", "least of the canvas", "progress", "log open",
    "log steps",
)  # fmt: skip

HISTORY, STEPS = "tracelock history", "tracelock steps"


@dataclass(frozen=True)
class TraceLock(Scheduler):
    """Commit every position whose proposed token is probably the final one.

    Args:
        threshold: Probability, by the classifier, above which a token commits.
        policy: The classifier; the one for the embedded model by default.

    Raises:
        ModelError: If the classifier takes other features.
    """

    threshold: float = 0.9
    policy: Perceptron = field(
        default_factory=lambda: load_policy(EMBEDDED, len(FEATURES)), repr=False
    )

    def __post_init__(self) -> None:
        within_one(threshold=self.threshold)

    def select(self, proposal: Proposal) -> Mask:
        """All that is stable, and the most confident position; more where a run must end."""
        if not len(proposal.confidence):  # a window of a user's may hold nothing
            return np.zeros(0, dtype=bool)
        stable = 1.0 / (1.0 + np.exp(-self.policy(describe(proposal))))
        return (stable >= self.threshold) | most_confident(proposal, proposal.quota())


def describe(proposal: Proposal) -> Floats:
    """What is known of each open position, (positions, FEATURES); notes the proposal for later."""
    sure, memory = proposal.confidence, proposal.memory
    count = len(sure)
    odds = _log_odds(sure)
    before: dict[int, tuple[int, int, float]] = memory.get(HISTORY, {})
    steps = memory[STEPS] = memory.get(STEPS, 0) + 1
    tokens = proposal.tokens.tolist()
    last = [before.get(key, (-1, 0, 0.0)) for key in proposal.keys.tolist()]
    kept = np.array(
        [age + 1 if token == t else 0 for token, (t, age, _) in zip(tokens, last, strict=True)]
    )
    rise = np.array(
        [o - b if t >= 0 else 0.0 for o, (t, _, b) in zip(odds.tolist(), last, strict=True)]
    )
    memory[HISTORY] = {
        key: (token, int(age), odd)
        for key, token, age, odd in zip(
            proposal.keys.tolist(), tokens, kept, odds.tolist(), strict=True
        )
    }
    columns = [
        odds,
        np.maximum(proposal.entropy, 0.0),
        np.array([not piece for piece in proposal.pieces], dtype=float),
        *_of_slots(proposal, odds),
        *_neighbours(proposal, odds),
        np.array([t >= 0 for t, _, _ in last], dtype=float),
        np.log1p(kept),
        rise,
        np.argsort(np.argsort(-sure, kind="stable")) / count,
        np.full(count, odds.mean()),
        np.full(count, odds.min()),
        np.full(count, proposal.progress),
        np.full(count, np.log1p(count)),
        np.full(count, np.log1p(steps)),
    ]
    return np.stack(columns, axis=1)


def _log_odds(sure: Floats) -> Floats:
    clipped = np.clip(sure, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _of_slots(proposal: Proposal, odds: Floats) -> list[Floats]:
    """Least and mean log odds of the slot of each position, its open positions, and the place."""
    out = np.zeros((4, len(odds)))
    for slot in np.unique(proposal.gaps):
        inside = proposal.gaps == slot
        size = int(inside.sum())
        out[:, inside] = np.stack(
            [
                np.full(size, odds[inside].min()),
                np.full(size, odds[inside].mean()),
                np.full(size, np.log1p(size)),
                np.arange(size) / size,
            ]
        )
    return list(out)


def _neighbours(proposal: Proposal, odds: Floats) -> list[Floats]:
    """Log odds to the left and right; what is not open next to a position is sure."""
    certain = _log_odds(np.ones(1))[0]
    next_to = (np.diff(proposal.offsets) == 1) & (np.diff(proposal.gaps) == 0)
    left, right = np.full(len(odds), certain), np.full(len(odds), certain)
    left[1:][next_to] = odds[:-1][next_to]
    right[:-1][next_to] = odds[1:][next_to]
    return [left, right]
