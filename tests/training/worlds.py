"""A world small enough to know the best policy: two values that must agree, or need not."""

from __future__ import annotations

import numpy as np

from ctrlgen.constraints.atoms import Floats
from ctrlgen.generator import Generator, Model
from ctrlgen.testing import ScriptedDenoiser
from ctrlgen.training.tasks import Task

SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": ["x", "y"]}, "b": {"enum": ["x", "y"]}},
    "required": ["a", "b"],
}
GOLD = {"a": "x", "b": "x"}


class Agreeing(ScriptedDenoiser):
    """Told `hard`, it leans to x for the first value and to y for the second; it sees the other.

    One pass writes x and y; two passes, the surer first, write x and x. Told `easy` it knows.
    """

    def __init__(self) -> None:
        super().__init__(lambda rng, shape: np.zeros(shape))

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        self.calls += 1
        return [self._of(s, p) for s, p in zip(sequences, positions, strict=True)]

    def _of(self, sequence: list[int], positions: list[int]) -> Floats:
        x, y, hard = ord("x"), ord("y"), ord("h") == sequence[0]
        rows = np.zeros((len(positions), self.vocabulary.size))
        rows[:, x] = 8.0
        if hard and x not in sequence[4:]:
            second = np.array(positions) > (4 + len(sequence)) // 2
            rows[:, x], rows[:, y] = 2.0, 1.0
            rows[second, x], rows[second, y] = 1.0, 1.5
        return rows


def world() -> tuple[Model, list[Task]]:
    """The model, and a hard and an easy task."""
    model = Model(Agreeing())
    generator = Generator(model, SCHEMA)
    return model, [
        Task([{"role": "user", "content": text}], generator, GOLD) for text in ("hard", "easy")
    ]
