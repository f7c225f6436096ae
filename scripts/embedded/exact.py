"""Layouts of the twin: a copy of the model that knows no slack and no absent marker.

It stands in for LLaDA-like models (arXiv:2502.09992), whose answers end in padding but whose
infilled spans are as long as their text. A slot holds exactly its value, `null` where the record
has none; or everything is masked from some piece on, structure too, up to padding after the answer.
"""

from __future__ import annotations

import random
from dataclasses import replace

from .corpora import Example
from .layout import FILL_WEIGHT, Canvas, Layout, Style, draw_mask

OPEN_SHARE = 0.55  # canvases whose end is open
KEYS_SHARE = 0.5  # of those, with only some of the record's keys
STRUCTURE_WEIGHT = 0.3
PADDING = (0, 0, 1, 2, 4, 8, 12, 16, 24, 32, 48)


class ExactLayout(Layout):
    """Slots without slack, and canvases with an open end."""

    def _slot_size(self, value: str, default: int, rng: random.Random) -> int:
        return max(1, len(self.encode(value)))

    def _announce(self, canvas: Canvas, text: str) -> None:
        if text:
            self._pin(canvas, text)

    def scaffold(self, example: Example, style: Style, rng: random.Random) -> Canvas:
        """Keys pinned, values in slots as long as they are; or all of it open from a piece on."""
        style = Style(0, style.show_absent, null=True)
        if rng.random() >= OPEN_SHARE:
            return super().scaffold(example, style, rng)
        if len(example.keys) > 1 and rng.random() < KEYS_SHARE:
            keys = [k for k in example.keys if rng.random() < 0.6] or [rng.choice(example.keys)]
            example = replace(example, keys=keys)
        return self._opened(super().scaffold(example, style, rng), rng)

    def branch(self, example: Example, rng: random.Random) -> Canvas:
        """The tool's name alone, exactly as long as it is."""
        canvas = super().branch(example, rng)
        keep = len(canvas.ids) - sum(i == self.special["fill"] for i in canvas.ids)
        return replace(
            canvas, ids=canvas.ids[:keep], slot=canvas.slot[:keep], weight=canvas.weight[:keep]
        )

    def _opened(self, canvas: Canvas, rng: random.Random) -> Canvas:
        weight = [w or STRUCTURE_WEIGHT for w in canvas.weight]
        padding = rng.choice(PADDING)
        return replace(
            canvas,
            ids=canvas.ids + [self.special["fill"]] * padding,
            slot=canvas.slot + [-1] * padding,
            weight=weight + ([1.0] + [FILL_WEIGHT] * padding)[:padding],
            open_end=True,
        )

    def mask(self, canvas: Canvas, rng: random.Random) -> list[bool]:
        """Which positions are masked; as a rule all from some piece on where the end is open."""
        if not canvas.open_end:
            return draw_mask(canvas, rng)
        size, kind = len(canvas.ids), rng.random()
        if kind < 0.7:
            values = [i for i in canvas.starts if canvas.slot[i] >= 0]
            start = (
                rng.choice(values or canvas.starts) if kind < 0.55 else rng.choice(canvas.starts)
            )
            return [i >= start for i in range(size)]
        rate = rng.random() if kind < 0.9 else 1.0
        mask = [rng.random() < rate for _ in range(size)]
        return mask if any(mask) else [True] * size
