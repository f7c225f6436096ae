"""`ctrlgen serve`: an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Annotated

import typer

from ctrlgen.cli.options import (
    AddressOption,
    DeviceOption,
    ModelOption,
    load_model,
    one_line_errors,
)
from ctrlgen.errors import SpecError
from ctrlgen.server.settings import Settings


def serve_command(
    model: ModelOption = None,
    device: DeviceOption = None,
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
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Serve from replicas, by Ray Serve.")
    ] = False,
    replicas: Annotated[int | None, typer.Option(min=1, help="With --ray; default: 1.")] = None,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="With --ray: add replicas when they are busy.")
    ] = None,
    ray_address: AddressOption = None,
    gpus: Annotated[
        float | None, typer.Option(min=0, help="With --ray: devices of each replica.")
    ] = None,
) -> None:
    """Serve the model to OpenAI's, outlines' and other clients."""
    with one_line_errors():
        with _extra("server"):
            from ctrlgen.server import serve
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
        scaling = {
            "--replicas": replicas,
            "--max-replicas": max_replicas,
            "--ray-address": ray_address,
            "--gpus": gpus,
        }
        if not on_ray:
            if given := [name for name, value in scaling.items() if value is not None]:
                raise SpecError(f"{given[0]} says how --ray serves", hint="add --ray")
            serve(load_model(model, device), settings, host=host, port=port)
            return
        with _extra("scale"):
            import_module("ray.serve")
            from ctrlgen.server.ray import Replicas, serve_on_ray
        build = partial(load_model, model, device or ("auto" if gpus else None))
        many = Replicas(replicas or 1, max_replicas, gpus=gpus or 0.0)
        serve_on_ray(build, settings, many, host=host, port=port, address=ray_address)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say which extra is missing."""
    try:
        yield
    except ImportError as error:
        hint = f"pip install 'ctrlgen[{name}]'"
        raise SpecError(f"serving needs {error.name}", hint=hint) from error
