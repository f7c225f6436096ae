"""Texts of E2E with their customer rating and whether they are for families, as JSON lines.

    python scripts/label_e2e.py --data DIR --out runs/e2e-labels

Writes train.jsonl and test.jsonl, for `ctrlgen train classifier`. The labels are those of the
gold record, not of a pattern; the cut is that of the embedded model, so no record is on both sides.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from embedded.corpora import load_e2e

RATINGS = {
    "low": "low", "1 out of 5": "low", "average": "average", "3 out of 5": "average",
    "high": "high", "5 out of 5": "high",
}  # fmt: skip
UNSAID = "unsaid"


def main(
    data: Annotated[Path, typer.Option(help="Folder with e2e-train.jsonl.gz.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
) -> None:
    """Write both files."""
    out.mkdir(parents=True, exist_ok=True)
    for name, test in (("train", False), ("test", True)):
        with (out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for example in load_e2e(data, test=test):
                label = {
                    "rating": RATINGS.get(example.answer.get("rating", ""), UNSAID),
                    "family_friendly": example.answer.get("familyFriendly", UNSAID),
                }
                row = {"text": example.turns[0][1], "label": label}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    typer.run(main)
