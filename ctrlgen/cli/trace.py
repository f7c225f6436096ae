"""`ctrlgen trace`: a trace as a page that plays the denoising."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ctrlgen.cli.options import one_line_errors


def trace_command(
    file: Annotated[Path, typer.Argument(help="What `ctrlgen generate --trace` has written.")],
    html: Annotated[Path, typer.Option(help="Where the page goes.")],
    title: Annotated[str | None, typer.Option(help="Its title; FILE's name by default.")] = None,
) -> None:
    """Turn a trace into one HTML page to play, pause and scrub the denoising."""
    with one_line_errors():
        from ctrlgen.pictures import read_trace, trace_page

        page = trace_page(read_trace(file), title or file.name)
        html.write_text(page, encoding="utf-8")
        typer.echo(f"{html}: {len(page.encode()) // 1024} KB", err=True)
