"""Prompts in, answers out, as JSON lines.

A row of the input is a string, or an object with `prompt` or `messages` and, if wanted, an `id`.
The output has a row for each, in the same order, with its number as `index`. While a run goes on, a
file beside the output says what it is made from, so that only the same run is resumed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ctrlgen.errors import PromptError, SpecError
from ctrlgen.prompts import Prompt, messages_of


@dataclass(frozen=True)
class Row:
    """One prompt.

    Args:
        index: Its number in the file, from 0.
        prompt: Text or chat messages; None if the row is none of these.
        id: What the row calls itself.
        error: Why there is no prompt.
    """

    index: int
    prompt: Prompt | None
    id: Any = None
    error: str = ""


def read_rows(path: Path, first: int = 0) -> Iterator[Row]:
    """The rows of a file from number `first` on; blank lines do not count."""
    index = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                if index >= first:
                    yield _row(index, number, line)
                index += 1


def _row(index: int, number: int, line: bytes) -> Row:
    try:
        value = json.loads(line.decode("utf-8"))
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1}"
        return Row(index, None, error=f"line {number} is not UTF-8 at its {where}")
    except UnicodeEncodeError:
        return Row(index, None, error=f"line {number} escapes a lone surrogate")
    except (ValueError, RecursionError) as error:
        return Row(index, None, error=f"line {number} is not JSON: {error}")
    if isinstance(value, str):
        return Row(index, value)
    if not isinstance(value, dict) or not {"prompt", "messages"} & value.keys():
        return Row(index, None, error=f"line {number} has neither `prompt` nor `messages`")
    prompt, name = value.get("messages", value.get("prompt")), value.get("id")
    try:
        messages_of(prompt)
    except PromptError as error:
        what = "the prompt is neither a text nor chat messages"
        return Row(index, None, name, f"line {number}: {what}: {error}")
    return Row(index, prompt, name)


class Output:
    """The output of a run; a context manager that one process at a time can hold.

    Args:
        path: The file.
        made_from: What tells this run from others: the input and the type.

    Attributes:
        done: How many rows stand in the file.

    Raises:
        SpecError: The file is another run's, or complete, or in use.

    A run that has written no row when it ends leaves nothing behind.
    """

    def __init__(self, path: Path, made_from: list[str]) -> None:
        self.path, self.done = path, 0
        self._mark = path.with_name(path.name + ".running")
        self._name = hashlib.sha256("\0".join(made_from).encode()).hexdigest()
        self._lock: IO[str] | None = None
        self._file: IO[str] | None = None

    def check(self) -> None:
        """Refuse a file that this run may not write, before anything else costs time.

        Raises:
            SpecError: It is another run's, or complete.
        """
        known = self._mark.read_text(encoding="utf-8") if self._mark.exists() else None
        if known is None and self.path.exists():
            raise SpecError(
                f"{self.path} exists and is not an unfinished run",
                hint="choose another file, or remove it",
            )
        if known and known != self._name:
            raise SpecError(
                f"{self.path} is the unfinished run of another input or type",
                hint=f"choose another file, or remove it and {self._mark}",
            )

    def __enter__(self) -> Output:
        self.check()
        self._lock = self._mark.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise SpecError(f"another process is writing {self.path}") from error
        try:
            self.check()  # again: another run may have begun in between
        except SpecError:
            self._lock.close()
            raise
        if not self._mark.stat().st_size:
            self._lock.write(self._name)
            self._lock.flush()
        self.done = self._resume()
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def _resume(self) -> int:
        """Cut off a row that was only half written; returns how many stand."""
        if not self.path.exists():
            return 0
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)
        return data.count(b"\n")

    def write(self, answers: list[dict[str, Any]]) -> None:
        """Append rows, and make sure that they are on disk.

        Raises:
            ValueError: They are not the next ones.
        """
        assert self._file is not None
        for answer in answers:
            if answer["index"] != self.done:
                raise ValueError(f"row {answer['index']} came where {self.done} was due")
            self._file.write(json.dumps(answer, ensure_ascii=False) + "\n")
            self.done += 1
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Say that every row stands."""
        self._mark.unlink()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        assert self._file is not None and self._lock is not None
        self._file.close()
        if not self.done and self._mark.exists():
            self.path.unlink()
            self._mark.unlink()
        self._lock.close()
