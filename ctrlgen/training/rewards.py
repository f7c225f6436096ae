"""What an answer is worth: by the gold answer, or by the model's own second look; less its cost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ctrlgen.denoisers.base import RescoringDenoiser
from ctrlgen.errors import ModelError
from ctrlgen.run import Run
from ctrlgen.training.tasks import UNKNOWN

Quality = Literal["exact", "f1", "likelihood"]


@dataclass(frozen=True)
class Reward:
    """Quality, 0 to 1, less so much for every forward pass.

    Args:
        quality: `exact` match with the gold answer, `f1` of its fields, or `likelihood`: the
            geometric mean probability of the free tokens of the finished canvas, each predicted
            without itself. Answers whose gold is unknown are measured by likelihood always.
        cost: Of one forward pass.
    """

    quality: Quality = "f1"
    cost: float = 0.02

    def __call__(self, run: Run, gold: Any, denoiser: Any) -> tuple[float, float]:
        """Reward and quality of a finished run.

        Raises:
            ModelError: If likelihood is asked of a denoiser that cannot predict tokens again.
        """
        if self.quality == "likelihood" or gold is UNKNOWN:
            worth = likelihood(run, denoiser)
        else:
            worth = (exact if self.quality == "exact" else field_f1)(run.canvas.text(), gold)
        return worth - self.cost * run.passes, worth


def exact(text: str, gold: Any) -> float:
    """1 if a JSON text says what the gold answer says; texts that are no JSON are compared."""
    return float(_value(text, gold) == gold)


def field_f1(text: str, gold: Any) -> float:
    """F1 of the leaves of a JSON text: a leaf is right if path and value are; 1 if both have none.

    The name of a call is a leaf as the others are.
    """
    got, wanted = set(_leaves(_value(text, gold))), set(_leaves(gold))
    if not got and not wanted:
        return 1.0
    return 2 * len(got & wanted) / (len(got) + len(wanted))


def _value(text: str, gold: Any) -> Any:
    """What a text says; the text itself where the answer is a text of a grammar, say."""
    if text == gold:
        return gold
    try:
        return json.loads(text)
    except ValueError:
        return text


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for k, v in value.items() for leaf in _leaves(v, (*path, k))]
    if isinstance(value, list) and value:
        return [leaf for i, v in enumerate(value) for leaf in _leaves(v, (*path, i))]
    return [(path, json.dumps(value))]


def likelihood(run: Run, denoiser: Any) -> float:
    """Geometric mean probability of the tokens that were free, each predicted without itself.

    Raises:
        ModelError: If the denoiser cannot predict tokens that are there.
    """
    if not isinstance(denoiser, RescoringDenoiser):
        raise ModelError(
            f"{type(denoiser).__name__} cannot score a finished answer",
            hint="give rows a `gold` answer",
        )
    view = run.canvas.view()
    free = [(p.offset + i, int(p.gap.committed[i]))
            for p in view.places for i in np.flatnonzero(~p.gap.forced)]  # fmt: skip
    if not free:
        return 1.0
    at = [len(run.prompt) + int(i) for i, _ in free]
    (logits,) = denoiser.leave_one_out([run.prompt + view.ids], [at])
    rows = np.array(logits)
    rows[:, denoiser.mask_token_id] = -np.inf
    rows -= rows.max(axis=1, keepdims=True)
    chosen = rows[np.arange(len(free)), [token for _, token in free]]
    return float(np.exp((chosen - np.log(np.exp(rows).sum(axis=1))).mean()))
