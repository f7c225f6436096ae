"""Plots of benchmarks: panels of curves or bars, in colours that colour-blind readers tell apart.

matplotlib is imported only where a plot is asked for; `--plot` says at once if it is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

Point = tuple[float, float]

# Okabe and Ito's palette without its yellow, which is too light for lines on white. The numbers of
# colours and of markers have no common factor: 77 curves look different.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
MARKERS = "osD^vP*X<>p"
DASHES = ("-", "--", ":", "-.")
HATCHES = ("", "///", "...", "xxx", "+++")
COLUMNS = 3
MOST_STAIRS = 500
LEGEND_LINE = 0.19
"""Inches."""


@dataclass(frozen=True)
class Curves:
    """One panel of curves.

    Args:
        title: Above the panel.
        x: Name of the horizontal axis.
        y: Name of the vertical axis.
        lines: Points by label, in any order; a label looks the same in all panels.
        log_x: Base of a logarithmic horizontal axis, where 0 has no place; 0: it is linear.
        log_y: The same of the vertical axis.
        stairs: Whether the curves are shares of values up to some value, as `shares` gives them.
    """

    title: str
    x: str
    y: str
    lines: dict[str, list[Point]]
    log_x: int = 0
    log_y: int = 0
    stairs: bool = False

    @property
    def height(self) -> float:
        """In inches."""
        return 4.2

    def paint(self, axes: Any, looks: dict[str, int]) -> dict[str, Any]:
        """Draw the curves; returns what the legend shows of each."""
        handles = {}
        for label, points in self.lines.items():
            i = looks[label]
            xs, ys = zip(*sorted(points), strict=True) if points else ((), ())
            style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "label": label}
            if self.stairs:
                dash = DASHES[i % len(DASHES)]
                (handles[label],) = axes.step(xs, ys, dash, where="post", linewidth=2, **style)
            else:
                marker = MARKERS[i % len(MARKERS)]
                (handles[label],) = axes.plot(xs, ys, marker=marker, linewidth=1, **style)
        axes.set(title=self.title, xlabel=self.x, ylabel=self.y)
        if self.log_x:
            axes.set_xscale("log", base=self.log_x)
            _plain_numbers(axes.xaxis, self.log_x)
        if self.log_y:
            axes.set_yscale("log", base=self.log_y)
            _plain_numbers(axes.yaxis, self.log_y)
        if self.stairs:
            axes.set_ylim(0, 102)
        axes.grid(alpha=0.3)
        return handles


@dataclass(frozen=True)
class Bars:
    """One panel of horizontal bars.

    Args:
        title: Above the panel.
        x: Name of the horizontal axis, which begins at 0.
        rows: Names of the rows, from top to bottom.
        lines: Lengths of the bars by label, one a row.
    """

    title: str
    x: str
    rows: list[str]
    lines: dict[str, list[float]]

    @property
    def height(self) -> float:
        """In inches."""
        return 1.2 + 0.18 * len(self.rows) * (1 + len(self.lines))

    def paint(self, axes: Any, looks: dict[str, int]) -> dict[str, Any]:
        """Draw the bars; returns what the legend shows of each series."""
        handles, thick = {}, 0.8 / max(1, len(self.lines))
        for nth, (label, lengths) in enumerate(self.lines.items()):
            i = looks[label]
            at = [row + thick * (nth - (len(self.lines) - 1) / 2) for row in range(len(self.rows))]
            handles[label] = axes.barh(
                at, lengths, thick, color=COLOURS[i % len(COLOURS)], edgecolor="white",
                hatch=HATCHES[i % len(HATCHES)],
            )  # fmt: skip
        axes.set_yticks(range(len(self.rows)), self.rows)
        axes.invert_yaxis()
        axes.set(title=self.title, xlabel=self.x)
        axes.set_xlim(left=0)
        axes.grid(axis="x", alpha=0.3)
        return handles


def shares(values: Iterable[float], of: int | None = None) -> list[Point]:
    """The values, and the per cent that are at most so large; thinned out where there are many.

    Args:
        values: In any order.
        of: How many are 100 %; default: as many as there are.
    """
    ordered = sorted(values)
    total, step = of or len(ordered), 1 + len(ordered) // MOST_STAIRS
    ranks = reversed(range(len(ordered), 0, -step))
    return [(ordered[rank - 1], 100 * rank / total) for rank in ranks]


def trade_offs(rows: Iterable[tuple[str, str, float, float]]) -> list[Curves]:
    """A panel a source: exact match against forward passes.

    Args:
        rows: Source, curve, passes an object (those of 0 are left out), share of exact answers.
    """
    found: dict[str, dict[str, list[Point]]] = {}
    for source, curve, passes, exact in rows:
        if passes:
            found.setdefault(source, {}).setdefault(curve, []).append((passes, 100 * exact))
    names = "forward passes an object", "exact match, %"
    return [Curves(source, *names, lines, log_x=2) for source, lines in found.items()]


def draw(panels: Sequence[Curves | Bars], file: Path) -> None:
    """Write panels, with one legend, as a picture of the kind that the file's name ends with.

    Raises:
        SystemExit: If matplotlib is not there, with a line that says so.
    """
    if not panels:
        print(f"{file}: nothing to draw")
        return
    labels = dict.fromkeys(label for panel in panels for label in panel.lines)
    looks = {label: i for i, label in enumerate(labels)}
    rows = -(-len(panels) // COLUMNS)
    columns = -(-len(panels) // rows)
    height = max(rows * max(panel.height for panel in panels), 0.3 + LEGEND_LINE * len(labels))
    figure = figure_class()(figsize=(5 * columns + 2.5, height), layout="constrained")
    handles: dict[str, Any] = {}
    for i, panel in enumerate(panels, 1):
        handles |= panel.paint(figure.add_subplot(rows, columns, i), looks)
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def _plain_numbers(axis: Any, base: int) -> None:
    """16 instead of 2⁴."""
    from matplotlib.ticker import LogFormatter

    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(LogFormatter(base))


def figure_class() -> Any:
    """The class of figures; pyplot is not needed.

    Raises:
        SystemExit: If matplotlib is not there, with a line that says so.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("plots need matplotlib: pip install 'ctrlgen[plots]'") from None
    return Figure


def _checked(file: Path | None) -> Path | None:
    """The file, once it is clear that it can be written: a benchmark may take hours."""
    if file is not None:
        kinds = figure_class()().canvas.get_supported_filetypes()
        if file.suffix[1:] not in kinds:
            raise SystemExit(f"{file}: a plot ends in one of {', '.join(sorted(kinds))}")
    return file


PlotFile = Annotated[
    Path | None, typer.Option("--plot", callback=_checked, help="Picture to write.")
]
