"""The canvas in the terminal while it denoises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from ctrlgen.result import Result, StepEvent

STYLES = {"pinned": "dim", "committed": "bold green", "open": "magenta", "fill": "bright_black"}


def picture(event: StepEvent) -> Group:
    """The canvas after a step: what is pinned, committed, and still open.

    An open position shows its witness as soon as the posterior is half sure, a shade before.
    """
    canvas = Text()
    for cell in event.cells:
        match cell.state:
            case "open":
                shown = cell.text if cell.confidence >= 0.5 and cell.text.strip() else "░"
            case "fill":
                shown = "·"
            case _:
                shown = cell.text
        canvas.append(shown, STYLES[cell.state])
    left = sum(cell.state == "open" for cell in event.cells)
    footer = f"step {event.step} · {event.forward_passes} forward passes · {left} open"
    return Group(canvas, Text(footer, "dim"))


def watch(events: Iterable[StepEvent], console: Console) -> Result:
    """Show the steps as they happen; returns the result that the last one holds."""
    result: Result | None = None
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for event in events:
            live.update(picture(event), refresh=True)
            result = event.result
    assert result is not None, "the last event of a stream holds its result"
    return result


def show(generator: Any, prompt: Any, console: Console) -> Result:
    """Generate with a picture when `console` is a terminal, silently otherwise."""
    if console.is_terminal:
        return watch(generator.stream(prompt), console)
    result: Result = generator.generate(prompt)
    return result
