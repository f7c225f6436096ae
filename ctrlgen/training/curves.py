"""What training came to, as a picture and as numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

SMOOTH = 10
"""Updates that a point of the smooth line is the mean of."""


def can_draw() -> bool:
    """Whether matplotlib is there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def save_curves(rows: Sequence[Any], folder: Path) -> None:
    """Write curves.jsonl with a row an update and, where matplotlib is there, curves.png.

    Args:
        rows: Dataclasses of numbers, one an update.
        folder: Where to.
    """
    text = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
    (folder / "curves.jsonl").write_text(text, encoding="utf-8")
    if can_draw():
        _draw(rows, folder / "curves.png")


def _draw(rows: Sequence[Any], path: Path) -> None:
    """A plot a number, each with a smooth line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [field.name for field in fields(rows[0])]
    figure = Figure(figsize=(4 * len(names), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for i, name in enumerate(names, 1):
        axis = figure.add_subplot(1, len(names), i)
        values = np.array([getattr(row, name) for row in rows], dtype=float)
        axis.plot(values, linewidth=0.6, alpha=0.5)
        width = min(SMOOTH, len(values))
        smooth = np.convolve(values, np.ones(width) / width, mode="valid")
        axis.plot(np.arange(width - 1, len(values)), smooth, linewidth=1.6)
        axis.set(title=name, xlabel="update")
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
