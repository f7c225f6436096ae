"""benchmarks/plots.py: every kind of plot is drawn, and what is missing is said at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import plots

CURVES = plots.Curves("a", "x", "y", {"one": [(2.0, 1.0), (1.0, 2.0)], "two": [(1.0, 3.0)]})
STAIRS = plots.Curves("b", "ms", "%", {"one": plots.shares([3.0, 1.0])}, log_x=10, stairs=True)
BARS = plots.Bars("c", "%", ["first", "second"], {"one": [1.0, 2.0], "three": [0.0, 3.0]})


def app() -> typer.Typer:
    """A benchmark that takes a plot and says that it ran."""
    out = typer.Typer()

    @out.command()
    def main(file: plots.PlotFile = None) -> None:
        print(f"ran {file}")

    return out


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_every_kind_is_drawn(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    pictures = {}
    for name, panels in {
        "curves": [CURVES], "stairs": [STAIRS], "bars": [BARS], "all": [CURVES, STAIRS, BARS, BARS],
    }.items():  # fmt: skip
        file = tmp_path / "new" / f"{name}.{suffix}"
        plots.draw(panels, file)
        pictures[name] = file.read_bytes()
    head = {"png": b"\x89PNG", "svg": b"<?xml"}[suffix]
    assert all(picture.startswith(head) for picture in pictures.values())
    assert len(set(pictures.values())) == len(pictures)


def test_a_label_looks_the_same_in_all_panels_and_as_no_other() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    labels = [f"curve {i}" for i in range(77)]
    looks = {label: i for i, label in enumerate(labels)}
    seen = []
    for order in (labels, labels[::-1]):
        panel = plots.Curves("", "", "", {label: [(1.0, 2.0)] for label in order})
        lines = panel.paint(figure.add_subplot(), looks)
        seen.append({k: (line.get_color(), line.get_marker()) for k, line in lines.items()})
    assert seen[0] == seen[1]
    assert len(set(seen[0].values())) == 77


def test_points_are_drawn_from_left_to_right() -> None:
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    lines = CURVES.paint(axes, {"one": 0, "two": 1})
    assert lines["one"].get_xdata().tolist() == [1, 2]
    assert lines["one"].get_ydata().tolist() == [2, 1]


def test_shares_are_of_all_values_or_of_more() -> None:
    assert plots.shares([3.0, 1.0]) == [(1.0, 50.0), (3.0, 100.0)]
    assert plots.shares([3.0, 1.0], of=4) == [(1.0, 25.0), (3.0, 50.0)]
    assert plots.shares([]) == []
    many = plots.shares(map(float, range(5000)))
    assert len(many) <= plots.MOST_STAIRS
    assert many[-1] == (4999.0, 100.0)
    assert all(share == pytest.approx((value + 1) / 50) for value, share in many)


def test_a_panel_a_source_without_answers_that_took_no_pass() -> None:
    rows = [("s", "a", 2.0, 0.5), ("s", "gold", 0.0, 1.0), ("t", "a", 1.0, 0.25)]
    panels = plots.trade_offs(rows)
    assert [panel.title for panel in panels] == ["s", "t"]
    assert [panel.lines for panel in panels] == [{"a": [(2.0, 50.0)]}, {"a": [(1.0, 25.0)]}]


def test_without_matplotlib_one_line_before_the_benchmark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert CliRunner().invoke(app(), []).output == "ran None\n"
    found = CliRunner().invoke(app(), ["--plot", str(tmp_path / "out.png")])
    assert "ran" not in found.output
    assert found.exit_code == 1
    with pytest.raises(
        SystemExit, match=r"^plots need matplotlib: pip install 'ctrlgen\[plots\]'$"
    ):
        plots.draw([CURVES], tmp_path / "out.png")


def test_an_unknown_kind_of_picture_is_refused_before_the_benchmark_runs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("out.txt", "out"):
        found = CliRunner().invoke(app(), ["--plot", str(tmp_path / name)])
        assert found.exit_code == 1
        assert "ran" not in found.output
    assert CliRunner().invoke(app(), ["--plot", "out.png"]).output == "ran out.png\n"
