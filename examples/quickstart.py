"""Four kinds of output from the embedded model, offline: `make run`.

In a terminal the canvas is shown while it denoises; piped, each answer is one JSON line.
"""

import json
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from rich.console import Console

import ctrlgen
from ctrlgen.cli.canvas_view import show

SCHEMAS = Path(__file__).parents[1] / "schemas"


class Restaurant(BaseModel):
    name: str
    eatType: Literal["coffee shop", "pub", "restaurant"] | None = None
    food: str | None = None
    priceRange: Literal["cheap", "moderate", "high"] | None = None
    rating: Literal["low", "average", "high"] | None = None
    area: Literal["city centre", "riverside"] | None = None
    familyFriendly: Literal["yes", "no"] | None = None
    near: str | None = None


TASKS: dict[str, tuple[str, Any]] = {
    "record": (
        "There is a place in the city centre, Alimentum, that is not family-friendly.",
        Restaurant,
    ),
    "tool call": (
        "Play the greatest ballad from the seventies",
        ctrlgen.tools(json.loads((SCHEMAS / "snips_tools.json").read_text(encoding="utf-8"))),
    ),
    "regex": (
        "What is the phone number? The date is 2026-03-01. The phone number is 408-971-8523.",
        ctrlgen.regex(r"[0-9]{3}-[0-9]{3}-[0-9]{4}"),
    ),
    "grammar": ("seven plus three times two", ctrlgen.cfg(SCHEMAS / "arithmetic.lark")),
}


def main() -> None:
    screen = Console(force_terminal=None if sys.stdout.isatty() else False)
    with screen.status("Loading the embedded model"):
        model = ctrlgen.load()
    for task, (prompt, output_type) in TASKS.items():
        if screen.is_terminal:
            screen.print(f"\n[bold]{task}[/]  {prompt}", highlight=False)
        result = show(ctrlgen.Generator(model, output_type), prompt, screen)
        if screen.is_terminal:
            screen.print(f"  {result.output!r}", style="green", markup=False)
            screen.print(f"  {result.usage.forward_passes} forward passes", style="dim")
        else:
            line = {"task": task, "prompt": prompt, "output": to_jsonable_python(result.output)}
            print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
