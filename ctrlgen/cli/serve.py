"""`ctrlgen serve`: an OpenAI-compatible server."""

from __future__ import annotations

from typing import Annotated

import typer

from ctrlgen.cli.options import ModelOption, one_line_errors
from ctrlgen.errors import SpecError
from ctrlgen.server.settings import Settings


def serve_command(
    model: ModelOption = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="CTRLGEN_API_KEY", help="Clients must send it; none: open to all."),
    ] = None,
    name: Annotated[str, typer.Option(help="What clients call the model.")] = Settings.model_name,
    describe: Annotated[
        bool | None,
        typer.Option(
            "--describe/--no-describe",
            help="Tell the model schema and tools; default: yes, but not the embedded model.",
        ),
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, help="Requests in a forward pass.")
    ] = Settings.max_batch,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait.")] = Settings.queue,
    deadline: Annotated[
        float, typer.Option(min=0.01, help="Most seconds of a request.")
    ] = Settings.deadline,
    max_steps: Annotated[
        int, typer.Option(min=1, help="Most forward passes of a request.")
    ] = Settings.max_steps,
    max_canvas: Annotated[
        int, typer.Option(min=1, help="Most tokens of an answer.")
    ] = Settings.max_canvas,
) -> None:
    """Serve the model to OpenAI's, outlines' and other clients."""
    with one_line_errors():
        try:
            from ctrlgen.server import serve
        except ImportError as error:
            hint = "pip install 'ctrlgen[server]'"
            raise SpecError(f"serving needs {error.name}", hint=hint) from error
        settings = Settings(
            model_name=name,
            api_key=api_key,
            describe=model is not None if describe is None else describe,
            max_batch=max_batch,
            queue=queue,
            deadline=deadline,
            max_steps=max_steps,
            max_canvas=max_canvas,
        )

        import ctrlgen

        serve(ctrlgen.load(model), settings, host=host, port=port)
