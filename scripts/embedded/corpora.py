"""The three corpora as examples: a prompt, the tools offered, and the object that answers it.

SNIPS (CC0 1.0), SGD and cleaned E2E (both CC BY-SA 4.0); see NOTICE. Held-out cuts: SNIPS by a
hash of the utterance, E2E by a hash of the record (no record is in both cuts), SGD dev as given.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

E2E_KEYS = ("name", "eatType", "food", "priceRange", "rating", "area", "familyFriendly", "near")


@dataclass
class Example:
    """One question and its answer.

    Args:
        source: snips, sgd, e2e or synthetic.
        turns: (role, text) pairs, role user or assistant.
        keys: Every key of the answer's schema in order; absent ones included.
        answer: The values that are present.
        tool: Name of the tool that the answer calls, or empty for a plain record.
        tools: Names of all tools offered.
        free: The answer as plain text instead of a record.
    """

    source: str
    turns: list[tuple[str, str]]
    keys: list[str] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    tool: str = ""
    tools: list[str] = field(default_factory=list)
    free: str = ""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def held_out(text: str, share: int = 20) -> bool:
    """Whether the stable hash of `text` falls into the held-out 1/`share`."""
    return zlib.crc32(text.encode()) % share == 0


def _turns(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in row["messages"]]


def load_snips(folder: Path, *, test: bool) -> list[Example]:
    """SNIPS utterances with the call that they ask for."""
    tools = {
        t["name"]: list(t["parameters"]["properties"])
        for t in json.loads((folder / "snips-tools.json").read_text())
    }
    out = []
    for row in read_rows(folder / "snips-train.jsonl.gz"):
        if held_out(row["messages"][0]["content"].lower()) is test:
            call = row["call"]
            out.append(
                Example(
                    "snips",
                    _turns(row),
                    tools[call["name"]],
                    call["arguments"],
                    call["name"],
                    list(tools),
                )
            )
    return out


def load_sgd(folder: Path, *, test: bool) -> list[Example]:
    """SGD dialogues with the next service call; the dev set holds services unseen in training."""
    part = "dev" if test else "train"
    services = json.loads((folder / f"sgd-{part}-tools.json").read_text())
    out = []
    for row in read_rows(folder / f"sgd-{part}.jsonl.gz"):
        tools = {t["name"]: list(t["parameters"]["properties"]) for t in services[row["service"]]}
        call = row["call"]
        out.append(
            Example(
                "sgd",
                _turns(row),
                tools[call["name"]],
                call["arguments"],
                call["name"],
                list(tools),
            )
        )
    return out


def load_e2e(folder: Path, *, test: bool) -> list[Example]:
    """Restaurant texts with their records."""
    out = []
    for row in read_rows(folder / "e2e-train.jsonl.gz"):
        record = row["record"]
        if held_out(json.dumps(record, sort_keys=True), 12) is test:
            out.append(
                Example(
                    "e2e",
                    [("user", row["text"])],
                    list(E2E_KEYS),
                    {k: record[k] for k in E2E_KEYS if k in record},
                )
            )
    return out
