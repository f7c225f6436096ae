"""An example as token ids: prompt, then the canvas as the engine lays it out, then what is masked.

The layouts are those of `ctrlgen.canvas`: pinned keys, whole-value slots with slack (`scaffold`),
the first slot of a tool call alone (`branch`), the bare answer (`free`), and record to text.
A slot holds one JSON value, quotes included, then fill tokens; an absent optional key is all fill.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerFast

from .corpora import Example
from .tokenizer import SPECIALS

SLOT_SIZES = (8, 8, 10, 10, 12, 16)
FILL_WEIGHT = 0.15
FIRST_WEIGHT = 2.0  # the first token says whether there is a value at all
BRANCH_WEIGHT = 4.0  # one choice of a tool stands against dozens of argument tokens


@dataclass
class Canvas:
    """Token ids of a canvas, slot number per position (-1: pinned) and loss weight per position."""

    ids: list[int] = field(default_factory=list)
    slot: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    slots: int = 0
    starts: list[int] = field(default_factory=list)  # where each piece, pinned or slot, begins
    open_end: bool = False


class Layout:
    """Turns examples into training sequences with one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.special = {k: tokenizer.convert_tokens_to_ids(v) for k, v in SPECIALS.items()}
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Token ids of a piece of text on its own; short pieces are remembered."""
        if text not in self._cache:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            if len(text) > 40 or len(self._cache) > 100_000:
                return ids
            self._cache[text] = ids
        return self._cache[text]

    def prompt(self, turns: list[tuple[str, str]], tools: list[str]) -> list[int]:
        """Tool names, then the turns, then the mark that the answer begins."""
        ids: list[int] = []
        if len(tools) > 1:
            ids += [self.special["tools"], *self.encode(" ".join(tools))]
        for role, text in turns:
            ids += [self.special[role], *self.encode(text)]
        return [*ids, self.special["answer"]]

    def _pin(self, canvas: Canvas, text: str) -> None:
        ids = self.encode(text)
        canvas.starts.append(len(canvas.ids))
        canvas.ids += ids
        canvas.slot += [-1] * len(ids)
        canvas.weight += [0.0] * len(ids)

    def _slot(self, canvas: Canvas, value: str, size: int, weight: float = 1.0) -> None:
        """One slot of `size` positions; a value that is too long shows only its beginning."""
        ids = self.encode(value)[:size] if value else []
        slack = size - len(ids)
        canvas.starts.append(len(canvas.ids))
        canvas.ids += ids + [self.special["fill"]] * slack
        canvas.slot += [canvas.slots] * size
        # The first fill says where the value ends, or that there is none; the rest repeat it.
        weights = ([1.0] * len(ids) + [1.0] + [FILL_WEIGHT] * slack)[:size]
        weights[0] *= FIRST_WEIGHT
        canvas.weight += [weight * each for each in weights]
        canvas.slots += 1

    def _slot_size(self, value: str, default: int, rng: random.Random) -> int:
        length = len(self.encode(value)) if value else 0
        if not default:
            return max(1, length + rng.choice((0, 0, 1)))
        if default > 1 and ((length > default and rng.random() < 0.7) or rng.random() < 0.1):
            return max(length, default) + rng.randint(0, 6)
        return default

    def members(
        self,
        canvas: Canvas,
        keys: list[str],
        answer: dict[str, Any],
        style: Style,
        rng: random.Random,
    ) -> None:
        """The members of an object: pinned keys, one slot a value, nested objects laid out too."""
        shown = [k for k in keys if style.show_absent or k in answer]
        for i, key in enumerate(shown):
            self._pin(canvas, ("," if i else "{") + json.dumps(key) + ":")
            value = answer.get(key)
            if isinstance(value, dict):
                self.members(canvas, list(value), value, style, rng)
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                self._records(canvas, value, style, rng)
            else:
                spelled = _spell(value) if key in answer else "null" if style.null else ""
                self._slot(canvas, spelled, self._slot_size(spelled, style.size, rng))
        self._pin(canvas, "}" if shown else "{}")

    def _records(
        self, canvas: Canvas, rows: list[dict[str, Any]], style: Style, rng: random.Random
    ) -> None:
        """A list of records, each but the first one announced."""
        self._pin(canvas, "[")
        for i, row in enumerate(rows):
            if i:
                self._announce(canvas, ",")
            self.members(canvas, list(row), row, style, rng)
        self._announce(canvas, "")
        self._pin(canvas, "]")

    def _announce(self, canvas: Canvas, text: str) -> None:
        """One token that says whether there is another record: comma or fill."""
        self._slot(canvas, text, 1)

    def scaffold(self, example: Example, style: Style, rng: random.Random) -> Canvas:
        """Keys pinned, values in slots with slack."""
        canvas = Canvas()
        if example.tool:
            self._pin(canvas, '{"name":')
            self._pin(canvas, json.dumps(example.tool))
            self._pin(canvas, ',"arguments":')
        self.members(canvas, example.keys, example.answer, style, rng)
        if example.tool:
            self._pin(canvas, "}")
        return canvas

    def branch(self, example: Example, rng: random.Random) -> Canvas:
        """The tool's name alone, before its arguments are laid out."""
        canvas = Canvas()
        self._pin(canvas, '{"name":')
        spelled = json.dumps(example.tool)
        size = len(self.encode(spelled)) + rng.randint(0, 8)
        self._slot(canvas, spelled, size, BRANCH_WEIGHT)
        return canvas

    def mask(self, canvas: Canvas, rng: random.Random) -> list[bool]:
        """Which positions of a canvas are masked."""
        return draw_mask(canvas, rng)

    def free(self, text: str, rng: random.Random) -> Canvas:
        """A bare answer with slack: the whole record as text, or a plain string."""
        canvas = Canvas()
        self._slot(canvas, text, len(self.encode(text)) + rng.choice((0, 2, 4, 8, 12, 16)))
        return canvas


@dataclass(frozen=True)
class StyleMix:
    """How often slots fit their value exactly, and how often absent keys are shown."""

    exact: float
    absent: float


@dataclass
class Style:
    """How one example's slots are drawn."""

    size: int
    show_absent: bool
    null: bool

    @classmethod
    def draw(cls, mix: StyleMix, rng: random.Random) -> Style:
        """A random style; size 0 fits every slot to its value."""
        size = 1 if rng.random() < 0.08 else rng.choice(SLOT_SIZES)
        size = 0 if rng.random() < mix.exact else size
        return cls(size, rng.random() < mix.absent, rng.random() < 0.1)


def _spell(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def call_text(example: Example) -> str:
    """The whole answer as compact JSON, or as it is when it is plain text."""
    if example.free:
        return example.free
    ordered = {k: example.answer[k] for k in example.keys if k in example.answer}
    return _spell({"name": example.tool, "arguments": ordered} if example.tool else ordered)


def draw_mask(canvas: Canvas, rng: random.Random) -> list[bool]:
    """Which slot positions are masked: all of them, each at a uniform rate, or whole slots."""
    kind = rng.random()
    variable = [s >= 0 for s in canvas.slot]
    if kind < 0.4:
        return variable
    rate = rng.random()
    if kind < 0.75:
        mask = [v and rng.random() < rate for v in variable]
    else:
        hidden = [rng.random() < rate for _ in range(canvas.slots)]
        mask = [s >= 0 and hidden[s] for s in canvas.slot]
    return mask if any(mask) else variable
