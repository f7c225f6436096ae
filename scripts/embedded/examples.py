"""The stream of training sequences: which task, which augmentation, which layout, which mask."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .augment import Pool, drop_turns, rename_keys, swap_spoken, swap_values, type_values
from .corpora import Example
from .layout import Canvas, Layout, Style, StyleMix, call_text
from .synthetic import bookings, key_values, plain, records

MAX_TOKENS = 512
PROMPT_MASK_RATE = 0.15


@dataclass(frozen=True)
class Stage:
    """What a stretch of training sees.

    Args:
        shares: Share of each source in the stream.
        swap: Share of examples whose values are swapped, and rate within them.
        style: How slots are laid out.
        prompt_mask: Share of examples with masks in the prompt as well: many more tokens to learn
            from, and another reason to look the value up on the other side.
    """

    shares: dict[str, float]
    swap: tuple[float, float]
    style: StyleMix
    prompt_mask: float


STAGES = {
    # Copying emerges abruptly, and much sooner, when lengths are given and nothing is absent.
    "copy": Stage(
        {"snips": 0.4, "e2e": 0.2, "synthetic": 0.4},
        (0.9, 0.9),
        StyleMix(exact=0.9, absent=0.1),
        0.5,
    ),
    # SGD is long, E2E small, the synthetic tasks keep copying general.
    "full": Stage(
        {"snips": 0.52, "sgd": 0.22, "e2e": 0.08, "synthetic": 0.18},
        # Random values rob a sentence of what tells an artist from an album: not too often.
        (0.35, 0.6),
        StyleMix(exact=0.1, absent=0.92),
        0.08,
    ),
    # As "full", but half of the absent keys are shown (as `null`: this is for `ExactLayout`).
    "exact": Stage(
        {"snips": 0.52, "sgd": 0.22, "e2e": 0.08, "synthetic": 0.18},
        (0.35, 0.6),
        StyleMix(exact=1.0, absent=0.6),
        0.08,
    ),
}


@dataclass
class Sequence:
    """One training sequence: input ids, target ids and loss weights (0: no loss), equally long."""

    ids: list[int]
    targets: list[int]
    weights: list[float]


class Stream:
    """An endless, seeded stream of training sequences."""

    def __init__(
        self, corpora: dict[str, list[Example]], layout: Layout, seed: int, stage: str = "full"
    ) -> None:
        self.corpora, self.layout, self.rng = corpora, layout, random.Random(seed)
        self.stage = STAGES[stage]
        self.pool = Pool([e for examples in corpora.values() for e in examples])

    def __iter__(self) -> Iterator[Sequence]:
        while True:
            sequence = self._sequence()
            if len(sequence.ids) <= MAX_TOKENS:
                yield sequence

    def _example(self) -> Example:
        rng = self.rng
        shares = self.stage.shares
        (source,) = rng.choices(list(shares), list(shares.values()))
        if source == "synthetic":
            makers = (key_values, bookings, records, plain)
            make = rng.choices(makers, (0.45, 0.25, 0.1, 0.2))[0]
            return make(self.pool, rng)
        example = rng.choice(self.corpora[source])
        often, rate = self.stage.swap
        if rng.random() < often:
            example = swap_values(example, self.pool, rng, rate)
        if source == "sgd" and rng.random() < 0.6:
            example = swap_spoken(example, rng)
        if len(example.turns) > 2 and rng.random() < 0.6:
            example = drop_turns(example, rng)
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
        tools = self._tools(example) if example.tool and rng.random() < 0.85 else []
        turns, kind = example.turns, rng.random()
        if example.free:
            canvas = self.layout.free(example.free, rng)
        elif example.tool and len(tools) > 1 and kind < 0.15:
            canvas = self.layout.branch(example, rng)
        elif kind < 0.21:
            canvas = self.layout.free(call_text(example), rng)
        elif kind < 0.25 and example.source == "e2e":
            return self._record_to_text(example)
        else:
            canvas = self.layout.scaffold(example, Style.draw(self.stage.style, rng), rng)
        return self._masked(self.layout.prompt(turns, tools), canvas)

    def _record_to_text(self, example: Example) -> Sequence:
        """The other direction: a record in the prompt, its text on the canvas."""
        special = self.layout.special
        prompt = [special["record"], *self.layout.encode(call_text(example)), special["answer"]]
        return self._masked(prompt, self.layout.free(example.turns[0][1], self.rng))

    def _masked(self, prompt: list[int], canvas: Canvas) -> Sequence:
        mask = self.layout.mask(canvas, self.rng)
        hidden = self.layout.special["mask_token"]
        ids = prompt + [hidden if m else i for i, m in zip(canvas.ids, mask, strict=True)]
        weights = [0.0] * len(prompt) + [
            w if m else 0.0 for w, m in zip(canvas.weight, mask, strict=True)
        ]
        if self.rng.random() < self.stage.prompt_mask:
            self._mask_prompt(len(prompt), ids, weights)
        return Sequence(ids, prompt + canvas.ids, weights)

    def _mask_prompt(self, length: int, ids: list[int], weights: list[float]) -> None:
        special = set(self.layout.special.values())
        for i in range(length):
            if ids[i] not in special and self.rng.random() < PROMPT_MASK_RATE:
                ids[i], weights[i] = self.layout.special["mask_token"], 1.0
