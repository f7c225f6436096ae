"""`ctrlgen batch`: a file of prompts to a file of answers."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctrlgen.cli.options import (
    ChoiceOption,
    GrammarOption,
    ModelOption,
    RegexOption,
    SchemaOption,
    chosen_spec,
    one_line_errors,
)
from ctrlgen.errors import SpecError

if TYPE_CHECKING:
    from ctrlgen.batch import Row
    from ctrlgen.generator import Generator
    from ctrlgen.spec import Spec


def batch_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="JSON lines: texts, or objects "
                                           "with `prompt` or `messages`.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Where the answers go.")],
    schema: SchemaOption = None,
    regex: RegexOption = None,
    grammar: GrammarOption = None,
    choice: ChoiceOption = None,
    model: ModelOption = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Most forward passes a row.")] = None,
    size: Annotated[int, typer.Option("--batch", min=1, help="Rows denoised together.")] = 8,
    workers: Annotated[int, typer.Option(min=0, help="Ray actors; 0: in this process.")] = 0,
    ray_address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="Devices of each Ray actor.")] = 0.0,
) -> None:  # fmt: skip
    """Answer every prompt of IN, in order; called again, go on where it stopped."""
    with one_line_errors():
        spec = chosen_spec(schema, regex, grammar, choice)
        options = {"steps": steps}

        from rich.console import Console
        from rich.progress import Progress

        from ctrlgen.batch import Output, read_rows

        total = sum(1 for _ in read_rows(source))
        build = partial(_generator, model, spec, options)
        made_from = [hashlib.sha256(source.read_bytes()).hexdigest(), repr(spec), repr(options)]
        with (
            Output(target, [*made_from, str(model)]) as output,
            Progress(console=Console(stderr=True)) as bar,
        ):
            task = bar.add_task("answered", total=total, completed=output.done)
            rows = read_rows(source, output.done)
            distributed = workers or ray_address
            answers = (
                _on_ray(rows, build, max(workers, 1), size, ray_address, gpus)
                if distributed
                else _here(rows, build, size)
            )
            for chunk in answers:
                output.write(chunk)
                bar.advance(task, len(chunk))
            output.finish()


def _generator(model: str | None, spec: Spec, options: dict[str, Any]) -> Generator:
    import ctrlgen

    return ctrlgen.Generator(ctrlgen.load(model), spec, **options)


def _here(rows: Iterable[Row], build: Any, size: int) -> Iterator[list[dict[str, Any]]]:
    from ctrlgen.batch import Worker

    worker, source = Worker(build()), iter(rows)
    while chunk := list(itertools.islice(source, size)):
        yield worker.answer(chunk)


def _on_ray(
    rows: Iterable[Row], build: Any, workers: int, size: int, address: str | None, gpus: float
) -> Iterator[list[dict[str, Any]]]:
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise SpecError("workers need Ray", hint="pip install 'ctrlgen[scale]'") from error
    from ctrlgen.batch.ray import answers

    for answer in answers(rows, build, workers=workers, batch=size, address=address, gpus=gpus):
        yield [answer]
