"""What one worker does: a few rows at a time through one generator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pydantic_core import to_jsonable_python

from ctrlgen.batch.files import Row
from ctrlgen.errors import CtrlgenError
from ctrlgen.generator import Generator
from ctrlgen.prompts import Prompt
from ctrlgen.result import Result


class Worker:
    """Answers rows; what fails says so in its own row and costs no other.

    Args:
        generator: Bound to the type, with its options.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def answer(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """An answer for each row, in order, denoised together.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the denoising early; what was filled in is no answer.
        """
        known = {row.index: row.prompt for row in rows if row.prompt is not None}
        try:
            seeds = self._seeds(known)
            results = self.generator.generate_batch(list(known.values()), seed=seeds)
            found = dict(zip(known, map(_told, results), strict=True))
        except CtrlgenError:
            found = {index: self._alone(index, prompt) for index, prompt in known.items()}
        return [
            {"index": row.index, **({} if row.id is None else {"id": row.id}),
             **found.get(row.index, {"error": row.error})}
            for row in rows
        ]  # fmt: skip

    def _seeds(self, indices: Iterable[int]) -> list[int] | None:
        """A seed for each row that depends on nothing but the generator's and the row's number."""
        seed = self.generator.options.seed
        if seed is None:
            return None
        assert isinstance(seed, int)
        mixed = (np.random.SeedSequence([seed, index]) for index in indices)
        return [int(each.generate_state(1)[0]) for each in mixed]

    def _alone(self, index: int, prompt: Prompt) -> dict[str, Any]:
        try:
            return _told(self.generator.generate(prompt, seed=self._seeds([index])))
        except CtrlgenError as error:
            return {"error": str(error)}


def _told(result: Result) -> dict[str, Any]:
    if result.finish_reason == "interrupt":
        raise KeyboardInterrupt
    return {
        "output": to_jsonable_python(result.output),
        "finish_reason": result.finish_reason,
        "forward_passes": result.usage.forward_passes,
    }
