"""Results of a long benchmark, written as they come, so that it can stop and go on later."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Results:
    """Results by the id of their row.

    Args:
        file: JSON lines; what is in it is not computed again. None keeps nothing.
        seconds: How long `missing` goes on; 0 for ever.
    """

    def __init__(self, file: Path | None, seconds: float = 0) -> None:
        self._file = file
        self._until = time.monotonic() + seconds if seconds else inf
        self.found: dict[str, Row] = {}
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = file.read_text().splitlines() if file.exists() else []
            self.found = {row["id"]: row for row in map(json.loads, lines)}

    def missing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows without a result, while there is time."""
        for row in rows:
            if time.monotonic() > self._until:
                return
            if row["id"] not in self.found:
                yield row

    def add(self, result: Row) -> None:
        """Keeps a result."""
        self.found[result["id"]] = result
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(json.dumps(result) + "\n")

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """The results of these rows, as far as there are any."""
        return [self.found[row["id"]] for row in rows if row["id"] in self.found]
