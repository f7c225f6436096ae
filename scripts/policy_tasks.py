"""Tasks for `ctrlgen train block-policy` and `commit-policy`, interleaved by source.

    python scripts/policy_tasks.py --data DIR --out runs/policy-tasks [--n 600]
        [--sources snips,sgd,e2e,regex,formula,sql,records,nested]

Writes train.jsonl from the training parts of SNIPS, SGD and E2E, and test.jsonl from the held-out
ones: the cuts of the embedded model. The other sources are synthetic, and made of words and values
of the same parts.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated, Any

import typer
from embedded import corpora
from embedded.augment import Pool
from embedded.typed import SHAPES, typed

SCHEMAS = Path(__file__).parents[1] / "schemas"
LOADERS = {"snips": corpora.load_snips, "e2e": corpora.load_e2e, "sgd": corpora.load_sgd}


def rows(data: Path, source: str, n: int, *, test: bool, seed: int) -> list[dict[str, Any]]:
    """A seeded sample of one source, as rows of prompt, type and gold answer."""
    if source in SHAPES:
        return synthetic_rows(data, source, n, test=test, seed=seed)
    load = LOADERS[source]
    part = "dev" if test else "train"
    services = json.loads((data / f"sgd-{part}-tools.json").read_text())
    offered = {frozenset(t["name"] for t in tools): tools for tools in services.values()}
    snips = json.loads((data / "snips-tools.json").read_text())
    out = []
    for e in random.Random(seed).sample(load(data, test=test), n):
        row: dict[str, Any] = {"prompt": [{"role": r, "content": text} for r, text in e.turns]}
        if source == "e2e":
            row |= {
                "schema": json.loads((SCHEMAS / "restaurant.json").read_text()),
                "gold": e.answer,
            }
        else:
            row["tools"] = snips if source == "snips" else offered[frozenset(e.tools)]
            row["gold"] = {"name": e.tool, "arguments": e.answer}
        out.append(row)
    return out


def synthetic_rows(
    data: Path, shape: str, n: int, *, test: bool, seed: int
) -> list[dict[str, Any]]:
    """Rows of a synthetic shape."""
    pool = Pool([e for load in LOADERS.values() for e in load(data, test=test)])
    rng, out = random.Random(f"{shape} {test} {seed}"), []
    for _ in range(n):
        example, kind = typed(shape, pool, rng)
        if "grammar" in kind:
            kind = {"grammar": (SCHEMAS / kind["grammar"]).read_text()}
        prompt = [{"role": role, "content": text} for role, text in example.turns]
        out.append({"prompt": prompt, **kind, "gold": example.free or example.answer})
    return out


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    n: Annotated[int, typer.Option(help="Rows a source to train on.")] = 600,
    held_out: Annotated[int, typer.Option(help="Rows a source to report on.")] = 50,
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
