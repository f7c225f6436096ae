"""Accuracy against forward passes: schedulers, block controllers and baselines in one run.

    python benchmarks/control.py --data DIR [--n 40] [--sources snips,e2e,sgd] [--picture FILE]

One table, and one picture with a curve per method. All methods share model, prompts and examples;
those on the canvas of ctrlgen are valid by construction. S3 (arXiv:2507.04504) is the published
scaffold with 16 masks a field and top-k confidence, without a constraint, and is given the tool.
`hallucinated` counts the string values that do not stand in the source, of all string values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer
from extraction import (
    Method,
    ctrlgen_method,
    fixed_slots,
    measured,
    questions,
    unconstrained,
)
from rich.console import Console
from rich.table import Table

import ctrlgen
from ctrlgen.controllers import blocks
from ctrlgen.schedulers import (
    ConstrainedMarginals,
    EntropyBound,
    Factor,
    Klass,
    LowConfidence,
    Prophet,
    RemaskLoop,
    RunningConfidence,
    Saber,
    Threshold,
    Wino,
)

BUDGETS = (1, 2, 4, 8)
CURVES: dict[str, list[dict[str, Any]]] = {
    "one token a step": [{"scheduler": LowConfidence()}],
    "low confidence": [{"scheduler": LowConfidence(), "steps": n} for n in BUDGETS[1:]],
    "threshold": [{"scheduler": Threshold(t)} for t in (0.99, 0.9, 0.7, 0.5)],
    "factor": [{"scheduler": Factor(f)} for f in (0.5, 1.0, 2.0)],
    "entropy bound": [{"scheduler": EntropyBound(g)} for g in (0.1, 0.5, 2.0)],
    "KLASS": [{"scheduler": Klass(0.7, 0.02, 1)}],
    "Prophet": [{"scheduler": Prophet()}],
    "RCR": [{"scheduler": RunningConfidence(n)} for n in (4, 8)],
    "ReMDM loop": [{"scheduler": RemaskLoop(4)}],
    "WINO": [{"scheduler": Wino()}],
    "Saber": [{"scheduler": Saber()}],
    "constrained marginals": [{"scheduler": ConstrainedMarginals(b)} for b in (0.2, 0.5)],
    "threshold, slot by slot": [{"block": blocks.SchemaWalls(n)} for n in (1, 2)],
    "threshold, AdaBlock": [{"block": blocks.AdaBlock()}],
    "threshold, blocks": [{"block": blocks.FixedBlocks(n)} for n in (8, 32)],
    "threshold, deferred": [{"block": blocks.DeferredWindow(16)}],
}


@dataclass
class Point:
    """What one setting of one method came to on one source."""

    source: str
    curve: str
    scores: dict[str, float]


def picture(points: list[Point], path: Path) -> None:
    """One plot a source: exact match against forward passes."""
    sources = list(dict.fromkeys(point.source for point in points))
    figure, axes = plt.subplots(1, len(sources), figsize=(5 * len(sources), 4.5), squeeze=False)
    for axis, source in zip(axes[0], sources, strict=True):
        mine = [point for point in points if point.source == source]
        for i, curve in enumerate(dict.fromkeys(point.curve for point in mine)):
            scores = sorted(
                (p.scores["forwards"], 100 * p.scores["exact"]) for p in mine if p.curve == curve
            )
            marker = "osD^vP*X<>hp"[i % 12]
            axis.plot(*zip(*scores, strict=True), marker=marker, label=curve, linewidth=1)
        axis.set(title=source, xlabel="forward passes an object", ylabel="exact match, %")
        axis.set_xscale("log", base=2)
        axis.grid(alpha=0.3)
    axes[0][-1].legend(fontsize=7, bbox_to_anchor=(1.02, 1), loc="upper left")
    figure.savefig(path, bbox_inches="tight", dpi=120)


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    n: int = 40,
    model: Annotated[str | None, typer.Option(help="Checkpoint; embedded by default.")] = None,
    sources: str = "snips,e2e,sgd",
    image: Annotated[Path | None, typer.Option("--picture", help="Where the plot goes.")] = None,
) -> None:
    """Print the table of accuracy against forward passes."""
    loaded = ctrlgen.load(model)
    methods: list[tuple[str, str, Method]] = [
        ("unconstrained", "16 steps", unconstrained(loaded.denoiser, 16)),
        *(("S3", f"{k} steps", fixed_slots(loaded.denoiser, k)) for k in (2, 8, 16)),
        *(
            (curve, _told(options), ctrlgen_method(loaded, **options))
            for curve, settings in CURVES.items()
            for options in settings
        ),
    ]
    columns = ("valid", "exact", "field F1", "hallucinated", "forwards", "s/object")
    table, console, points = Table("data", "method", "setting", *columns), Console(), []
    for source in sources.split(","):
        sample = questions(data, source, n)
        for curve, setting, method in methods:
            s = measured(method, sample, f"{source} {curve} {setting}")
            points.append(Point(source, curve, s))
            table.add_row(
                source, curve, setting, f"{100 * s['valid']:.1f}", f"{100 * s['exact']:.1f}",
                f"{s['f1']:.3f}", f"{100 * s['hallucinated']:.1f}", f"{s['forwards']:.1f}",
                f"{s['seconds']:.3f}",
            )  # fmt: skip
    console.print(table)
    if image is not None:
        picture(points, image)


def _told(options: dict[str, Any]) -> str:
    """The setting in a few words."""
    parts = [
        ", ".join(f"{k} {v}" for k, v in vars(o).items() if isinstance(v, int | float))
        if hasattr(o, "__dict__")
        else f"{name} {o}"
        for name, o in options.items()
    ]
    return "; ".join(part for part in parts if part)


if __name__ == "__main__":
    typer.run(main)
