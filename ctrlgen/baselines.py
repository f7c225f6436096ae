"""S3 as published (arXiv:2507.04504), to measure against: a scaffold without a constraint.

The keys of an object stand on the canvas, with a fixed number of masks for each value; the prompt
asks for a null literal where the text has no value; every step commits the most confident tokens.
Nothing makes the answer valid: a value that spells a quotation mark ends its string.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctrlgen.denoisers import Denoiser
from ctrlgen.errors import OptionError, SpecError
from ctrlgen.generator import Model
from ctrlgen.prompts import Prompt, messages_of
from ctrlgen.spec import to_spec


@dataclass(frozen=True)
class Scaffolded:
    """What S3 wrote.

    Args:
        text: The object without the keys that have no value; JSON if the values allow it.
        values: The text of each value as it was written, without null literals; None: no value.
        forward_passes: What it cost.
    """

    text: str
    values: dict[str, str | None]
    forward_passes: int


class SchemaScaffolding:
    """Self-adaptive schema scaffolding: all values of a flat object at once.

    Args:
        model: The model.
        output_type: An object type, as a `Generator` takes it; its keys are all that is used.
        masks: Positions of each value.
        steps: Forward passes.
        null: What the prompt asks for where there is no value; None: the prompt says nothing of the
            answer, and a value of nothing but fill is none. For models trained to fill slots.
        quoted: Whether quotation marks stand around each value, which is then a string. Else the
            value brings its own.
        before: Pinned text in front of the object.
        after: Pinned text behind it.

    Raises:
        SpecError: If the type is no object with named properties.
        ValueError: If a number makes no sense.
    """

    def __init__(
        self,
        model: Model,
        output_type: Any,
        *,
        masks: int = 16,
        steps: int = 16,
        null: str | None = "<none>",
        quoted: bool = True,
        before: str = "",
        after: str = "",
    ) -> None:
        if masks < 1 or steps < 1:
            raise OptionError("masks and steps must be 1 or more")
        schema = to_spec(output_type).schema
        keys = schema.get("properties") if isinstance(schema, dict) else None
        if not keys:
            raise SpecError("S3 needs an object with named properties", hint="use a Generator")
        self.denoiser, self.keys = model.denoiser, list(keys)
        self.masks, self.steps, self.null, self.quoted = masks, steps, null, quoted
        self.before, self.after = before, after

    def __call__(self, prompt: Prompt, tools: Sequence[str] = ()) -> Scaffolded:
        """Fill the scaffold.

        Args:
            prompt: The prompt.
            tools: Names of the tools on offer, for models that are told.
        """
        ids = self.denoiser.prompt(self._asked(messages_of(prompt)), tools)
        canvas, slots = self._canvas()
        canvas = decode(self.denoiser, ids, canvas, self.steps)
        written = {k: self._spelled(canvas[at : at + self.masks]) for k, at in slots.items()}
        values = {key: self._value(text) for key, text in written.items()}
        mark = '"' if self.quoted else ""
        body = ",".join(f"{json.dumps(k)}:{mark}{v}{mark}" for k, v in values.items() if v)
        return Scaffolded(f"{self.before}{{{body}}}{self.after}", values, self.steps)

    def _asked(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages, with what is wanted behind the last of them."""
        if self.null is None:
            return messages
        keys = ", ".join(json.dumps(key) for key in self.keys)
        wanted = (
            f"Answer with a JSON object that has these keys: {keys}. Where the text above gives no "
            f"value for a key, write {self.null}, as often as there is room."
        )
        last = messages[-1]
        return [*messages[:-1], {**last, "content": f"{last['content']}\n\n{wanted}"}]

    def _canvas(self) -> tuple[list[int], dict[str, int]]:
        """Tokens of the scaffold, each piece by itself, and where the values begin."""
        mark, ids, slots = '"' if self.quoted else "", list[int](), dict[str, int]()
        for i, key in enumerate(self.keys):
            opening = mark + "," if i else self.before + "{"
            ids += self.denoiser.encode(f"{opening}{json.dumps(key)}:{mark}")
            slots[key] = len(ids)
            ids += [self.denoiser.mask_token_id] * self.masks
        return ids + self.denoiser.encode(mark + "}" + self.after), slots

    def _spelled(self, ids: list[int]) -> str:
        tokens = self.denoiser.vocabulary.tokens
        return b"".join(tokens[i] or b"" for i in ids).decode(errors="replace")

    def _value(self, text: str) -> str | None:
        left = text if self.null is None else text.replace(self.null, "")
        return left.strip() or None


def decode(denoiser: Denoiser, prompt: list[int], canvas: list[int], steps: int) -> list[int]:
    """Fill all masks in `steps` forward passes, the most confident first, as LLaDA does.

    Args:
        denoiser: The model.
        prompt: Tokens in front.
        canvas: Tokens, some of them masks.
        steps: Forward passes; every one but the last commits as many tokens.
    """
    ids, mask = np.array(canvas), denoiser.mask_token_id
    per_step = -(-int((ids == mask).sum()) // steps)
    while (open_ := np.flatnonzero(ids == mask)).size:
        places = (len(prompt) + open_).tolist()
        (rows,) = denoiser([prompt + ids.tolist()], [places])
        logits = np.array(rows, dtype=np.float64)
        logits[:, mask] = -np.inf
        peak = logits.max(axis=1, keepdims=True)
        confidence = -np.log(np.exp(logits - peak).sum(axis=1))
        surest = np.argsort(-confidence, kind="stable")[:per_step]
        ids[open_[surest]] = logits[surest].argmax(axis=1)
    return [int(token) for token in ids]
