"""What one worker does: a few rows at a time through one generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from ctrlgen.batch.files import Row
from ctrlgen.errors import CtrlgenError
from ctrlgen.generator import Generator
from ctrlgen.result import Result


class Worker:
    """Answers rows; what fails says so in its own row and costs no other.

    Args:
        generator: Bound to the type, with its options.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def answer(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """An answer for each row, in order, denoised together."""
        known = [row for row in rows if row.prompt is not None]
        found: dict[int, dict[str, Any]] = {}
        try:
            results = self.generator.generate_batch([row.prompt for row in known if row.prompt])
            found = {row.index: _told(result) for row, result in zip(known, results, strict=True)}
        except (CtrlgenError, ValueError):
            found = {row.index: self._alone(row) for row in known}
        return [
            {"index": row.index, **({} if row.id is None else {"id": row.id}),
             **found.get(row.index, {"error": row.error})}
            for row in rows
        ]  # fmt: skip

    def _alone(self, row: Row) -> dict[str, Any]:
        assert row.prompt is not None
        try:
            return _told(self.generator.generate(row.prompt))
        except (CtrlgenError, ValueError) as error:
            return {"error": str(error)}


def _told(result: Result) -> dict[str, Any]:
    return {
        "output": to_jsonable_python(result.output),
        "finish_reason": result.finish_reason,
        "forward_passes": result.usage.forward_passes,
    }
