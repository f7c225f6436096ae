"""What a policy is trained on: prompts, the type of the answer, and the answer if it is known."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctrlgen.errors import PromptError
from ctrlgen.generator import Generator, Model
from ctrlgen.prompts import messages_of
from ctrlgen.spec import cfg, json_schema, regex
from ctrlgen.tool_call import tools

KINDS: dict[str, Callable[[Any], Any]] = {
    "schema": json_schema, "tools": tools, "regex": regex, "grammar": cfg,
}  # fmt: skip
UNKNOWN = object()
"""Stands for a gold answer that nobody knows; None is `null`."""


@dataclass(frozen=True, eq=False)
class Task:
    """One prompt.

    Args:
        messages: Chat messages.
        generator: Bound to the type of the answer; shared by all tasks of that type.
        gold: The answer as JSON data, a call as `name` and `arguments`, the text of a regular
            expression or grammar; UNKNOWN if it is not known.
    """

    messages: list[dict[str, Any]]
    generator: Generator
    gold: Any = UNKNOWN


def read_tasks(path: Path, model: Model, schema: Any = None) -> list[Task]:
    """Tasks of a JSONL file, gzipped or not.

    A row has a `prompt` (text or chat messages), a type, and, where it is known, the answer as
    `gold`. The type is a JSON Schema as `schema`, a list of `tools`, a `regex`, or the text of a
    `grammar`. Rows without one have that of `schema`.

    Args:
        path: The file.
        model: What is to answer.
        schema: Any output type.

    Raises:
        ValueError: If a row is something else; the message says which.
        ConstraintError: If a type cannot be compiled.
    """
    open_file = gzip.open if path.suffix == ".gz" else open
    generators: dict[str, Generator] = {}
    with open_file(path, "rt", encoding="utf-8") as lines:
        found = [
            _task(line, f"{path}:{i}", model, schema, generators)
            for i, line in enumerate(lines, 1)
            if line.strip()
        ]
    if not found:
        raise ValueError(f"{path} holds no rows")
    return found


def _task(
    line: str, where: str, model: Model, schema: Any, generators: dict[str, Generator]
) -> Task:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict) or "prompt" not in row:
        raise ValueError(f'{where}: a row must be {{"prompt": ..., "schema": ..., "gold": ...}}')
    try:
        messages = messages_of(row["prompt"])
    except PromptError as error:
        raise ValueError(f"{where}: {error}") from error
    given = {key: row[key] for key in KINDS if key in row}
    if len(given) > 1 or (not given and schema is None):
        names = ", ".join(f"`{key}`" for key in KINDS)
        raise ValueError(f"{where}: a row needs one of {names}, or --schema for all")
    key = json.dumps(given)
    if key not in generators:
        kind = next((KINDS[name](value) for name, value in given.items()), schema)
        generators[key] = Generator(model, kind)
    return Task(messages, generators[key], row.get("gold", UNKNOWN))


def divided(
    tasks: Sequence[Task], held_out: Sequence[Task] | None
) -> tuple[list[Task], list[Task]]:
    """Tasks to train on, and tasks to report on: those given, or every tenth.

    Raises:
        ValueError: If there are too few.
    """
    if held_out is not None:
        return list(tasks), list(held_out)
    if len(tasks) < 10:
        raise ValueError(f"{len(tasks)} rows; without --held-out there must be 10 or more")
    return [task for i, task in enumerate(tasks) if i % 10], list(tasks[::10])
