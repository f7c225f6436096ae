"""Training and held-out parts of SNIPS, SGD and E2E as tasks for `ctrlgen train block-policy`.

    python scripts/policy_tasks.py --data DIR --out runs/policy-tasks [--n 600]

Writes train.jsonl from the training parts, interleaved, and test.jsonl from the held-out ones: the
cuts of the embedded model.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated, Any

import typer
from embedded import corpora

RESTAURANT = Path(__file__).parents[1] / "schemas" / "restaurant.json"


def rows(data: Path, source: str, n: int, *, test: bool, seed: int) -> list[dict[str, Any]]:
    """A seeded sample of one corpus, as rows of prompt, type and gold answer."""
    load = {"snips": corpora.load_snips, "e2e": corpora.load_e2e, "sgd": corpora.load_sgd}[source]
    part = "dev" if test else "train"
    services = json.loads((data / f"sgd-{part}-tools.json").read_text())
    offered = {frozenset(t["name"] for t in tools): tools for tools in services.values()}
    snips = json.loads((data / "snips-tools.json").read_text())
    out = []
    for e in random.Random(seed).sample(load(data, test=test), n):
        row: dict[str, Any] = {"prompt": [{"role": r, "content": text} for r, text in e.turns]}
        if source == "e2e":
            row |= {"schema": json.loads(RESTAURANT.read_text()), "gold": e.answer}
        else:
            row["tools"] = snips if source == "snips" else offered[frozenset(e.tools)]
            row["gold"] = {"name": e.tool, "arguments": e.answer}
        out.append(row)
    return out


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    n: Annotated[int, typer.Option(help="Rows a corpus to train on.")] = 600,
    held_out: Annotated[int, typer.Option(help="Rows a corpus to report on.")] = 50,
    sources: str = "snips,sgd,e2e",
    seed: int = 1,
) -> None:
    """Write both files."""
    out.mkdir(parents=True, exist_ok=True)
    for name, test, count in (("train", False, n), ("test", True, held_out)):
        parts = [rows(data, s, count, test=test, seed=seed) for s in sources.split(",")]
        mixed = [row for together in zip(*parts, strict=True) for row in together]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in mixed)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
