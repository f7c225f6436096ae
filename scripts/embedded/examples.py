"""The stream of training sequences: which task, which augmentation, which layout, which mask."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .augment import Pool, rename_keys, swap_values, type_values
from .corpora import Example
from .layout import Canvas, Layout, call_text, draw_mask
from .synthetic import key_values, plain, records

MAX_TOKENS = 512
# Shares of the stream. SGD is long and hard, E2E small, the synthetic tasks keep copying general.
SHARES = {"snips": 0.28, "sgd": 0.34, "e2e": 0.18, "synthetic": 0.20}


@dataclass
class Sequence:
    """One training sequence: input ids, target ids and loss weights (0: no loss), equally long."""

    ids: list[int]
    targets: list[int]
    weights: list[float]


class Stream:
    """An endless, seeded stream of training sequences."""

    def __init__(self, corpora: dict[str, list[Example]], layout: Layout, seed: int) -> None:
        self.corpora, self.layout, self.rng = corpora, layout, random.Random(seed)
        self.pool = Pool([e for examples in corpora.values() for e in examples])

    def __iter__(self) -> Iterator[Sequence]:
        while True:
            sequence = self._sequence()
            if len(sequence.ids) <= MAX_TOKENS:
                yield sequence

    def _example(self) -> Example:
        rng = self.rng
        (source,) = rng.choices(list(SHARES), list(SHARES.values()))
        if source == "synthetic":
            make = rng.choices((key_values, records, plain), (0.65, 0.1, 0.25))[0]
            return make(self.pool, rng)
        example = rng.choice(self.corpora[source])
        if rng.random() < 0.6:
            example = swap_values(example, self.pool, rng, rate=0.7)
        if rng.random() < (0.4 if source == "e2e" else 0.1):
            example = rename_keys(example, rng)
        return type_values(example, rng) if rng.random() < 0.15 else example

    def _tools(self, example: Example) -> list[str]:
        """The offered tools in random order, sometimes fewer, sometimes with strangers."""
        rng = self.rng
        others = [t for t in example.tools if t != example.tool]
        if rng.random() < 0.3:
            others = rng.sample(others, rng.randint(0, len(others)))
        if rng.random() < 0.2:
            others += [rng.choice(self.corpora["sgd"]).tool, rng.choice(self.corpora["snips"]).tool]
        tools = sorted({example.tool, *others})
        rng.shuffle(tools)
        return tools

    def _sequence(self) -> Sequence:
        example, rng = self._example(), self.rng
        tools = self._tools(example) if example.tool and rng.random() < 0.7 else []
        turns, kind = example.turns, rng.random()
        if example.free:
            canvas = self.layout.free(example.free, rng)
        elif example.tool and len(tools) > 1 and kind < 0.12:
            canvas = self.layout.branch(example, rng)
        elif kind < 0.2:
            canvas = self.layout.free(call_text(example), rng)
        elif kind < 0.24 and example.source == "e2e":
            return self._record_to_text(example)
        else:
            canvas = self.layout.scaffold(example, rng)
        return self._masked(self.layout.prompt(turns, tools), canvas)

    def _record_to_text(self, example: Example) -> Sequence:
        """The other direction: a record in the prompt, its text on the canvas."""
        special = self.layout.special
        prompt = [special["record"], *self.layout.encode(call_text(example)), special["answer"]]
        return self._masked(prompt, self.layout.free(example.turns[0][1], self.rng))

    def _masked(self, prompt: list[int], canvas: Canvas) -> Sequence:
        mask = draw_mask(canvas, self.rng)
        hidden = self.layout.special["mask_token"]
        ids = prompt + [hidden if m else i for i, m in zip(canvas.ids, mask, strict=True)]
        weights = [0.0] * len(prompt) + [
            w if m else 0.0 for w, m in zip(canvas.weight, mask, strict=True)
        ]
        return Sequence(ids, prompt + canvas.ids, weights)
