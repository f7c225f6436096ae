"""A trace as one self-contained HTML page: play, pause and scrub through the denoising."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ctrlgen.errors import SpecError

Event = Mapping[str, Any]
"""One step as `StepEvent.as_dict` has it."""

MARK = "/*TRACE*/[]"


def read_trace(path: Path) -> list[Event]:
    """The steps of a trace that `ctrlgen generate --trace` has written.

    Raises:
        SpecError: The file is no trace, or has no step.
    """
    events: list[Event] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            event = json.loads(line)
            event["cells"][0]["state"], event["step"], event["text"]
        except (ValueError, TypeError, LookupError) as error:
            raise SpecError(
                f"{path} is no trace: line {number} is not a step of one",
                hint="write one with `ctrlgen generate PROMPT --trace FILE`",
            ) from error
        events.append(event)
    if not events:
        raise SpecError(f"{path} is an empty trace", hint="the run made no forward pass")
    return events


def trace_page(events: Sequence[Event], title: str = "ctrlgen trace") -> str:
    """The page; it needs nothing but itself."""
    template = files("ctrlgen.pictures").joinpath("trace.html").read_text(encoding="utf-8")
    # Inside a script element only `</` and `<!--` could end it early.
    data = json.dumps(list(events), ensure_ascii=False).replace("<", "\\u003c")
    return template.replace("{{title}}", html.escape(title)).replace(MARK, data)


def cells_html(cells: Sequence[Mapping[str, Any]]) -> str:
    """A canvas as one line of HTML, for notebooks."""
    styles = {
        "pinned": "color:gray",
        "committed": "font-weight:600;border-bottom:2px solid #0072b2",
        "open": "border-bottom:2px dotted #cc79a7;color:#cc79a7",
        "fill": "color:lightgray",
    }
    spans = (
        f'<span style="{styles[cell["state"]]}" title="{cell["state"]}, '
        f'{cell["confidence"]:.2f}">{html.escape(cell["text"]) or "·"}</span>'
        for cell in cells
    )
    return f'<div style="font-family:monospace;line-height:1.9">{"".join(spans)}</div>'
