"""A score that compares fillings of different lengths.

The product of their probabilities does not: short values have fewer factors, and a slot of one mask
holds `null` for sure whether or not there is a value. What tells them apart is how unsure the model
is of its worst token, what it says of an empty slot and of an open end, and whether the prompt says
the same; how much each counts is fitted on training data as a conditional logit (McFadden 1974):
P(candidate) = softmax of weights x features over the candidates of a slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctrlgen.constraints.atoms import Floats

FEATURES = (
    "sum", "mean", "least", "length", "log length", "empty", "empty sum",
    "open", "empty open", "phrase", "taken", "taken before",
)  # fmt: skip

SEVERAL = (2.393, 5.122, 6.359, 1.506, -2.847, 0.502, -0.685, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Weights where all slots have one length in a row, and nothing else is known."""

SECOND_LOOK = (
    0.086, 0.352, 0.492, 0.033, -1.198, 1.036, 0.932, 0.481, -0.256, 1.796, 0.645, -3.072,
)  # fmt: skip
"""Weights where an open end has been looked at before."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """The best filling of a slot at one length.

    Args:
        row: Which row of the batch it comes from.
        length: Its tokens.
        log_probs: Of its tokens, each given all others masked, (length,).
        empty: Whether it says that there is no value.
        open: Log-probability of its length behind an open end.
        phrase: Whether it stands in the prompt.
        taken: Whether it stands in another slot, too.
        before: Whether it stood there first: that slot is surer of it.
        tokens: What it is, where that is asked for.
    """

    row: int
    length: int
    log_probs: Floats
    empty: bool = False
    open: float = 0.0
    phrase: bool = False
    taken: bool = False
    before: bool = False
    tokens: tuple[int, ...] = ()

    def features(self) -> Floats:
        """Numbers in the order of `FEATURES`, (features,)."""
        total, open_ = max(-60.0, float(self.log_probs.sum())), max(-15.0, self.open)
        return np.array([
            total, total / self.length, max(-20.0, float(self.log_probs.min())), self.length,
            np.log(self.length), self.empty, self.empty * total,
            open_, self.empty * open_, self.phrase, self.taken, self.before,
        ])  # fmt: skip


@dataclass(frozen=True)
class LengthScore:
    """Weights of the features.

    `scripts/fit_lengths.py` fits them for a checkpoint. The defaults, `SEVERAL` and `SECOND_LOOK`,
    were fitted on slots of training data with the embedded model's twin that knows no slack.

    Args:
        weights: One a feature, in the order of `FEATURES`.
    """

    weights: tuple[float, ...]

    def __call__(self, candidates: Sequence[Candidate]) -> Floats:
        """Log-probability of each candidate among all of them, (candidates,)."""
        scores = np.stack([c.features() for c in candidates]) @ np.array(self.weights)
        return np.asarray(scores - np.logaddexp.reduce(scores))
