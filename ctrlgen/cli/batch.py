"""`ctrlgen batch`: a file of prompts to a file of answers."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctrlgen.cli.options import (
    AddressOption,
    BlockOption,
    ChoiceOption,
    DeviceOption,
    GrammarOption,
    LengthOption,
    ModelOption,
    RegexOption,
    SchemaOption,
    SeedOption,
    StepsOption,
    TemperatureOption,
    block_options,
    chosen_spec,
    load_model,
    one_line_errors,
)
from ctrlgen.errors import SpecError

if TYPE_CHECKING:
    from ctrlgen.batch import Output, Row
    from ctrlgen.constraints.nodes import Grammar
    from ctrlgen.generator import Generator
    from ctrlgen.spec import Spec

    Answers = Callable[[Iterable[Row]], Iterator[list[dict[str, Any]]]]


def batch_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="JSON lines: texts, or objects "
                                           "with `prompt` or `messages`.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Where the answers go.")],
    schema: SchemaOption = None,
    regex: RegexOption = None,
    grammar: GrammarOption = None,
    choice: ChoiceOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    steps: StepsOption = None,
    deadline: Annotated[
        float | None, typer.Option(min=0, help="Most seconds of rows denoised together.")
    ] = None,
    seed: SeedOption = None,
    temperature: TemperatureOption = 0.0,
    max_new_tokens: LengthOption = None,
    block_length: BlockOption = None,
    size: Annotated[int, typer.Option("--batch", min=1, help="Rows denoised together.")] = 8,
    workers: Annotated[int, typer.Option(min=0, help="Ray actors; 0: in this process.")] = 0,
    ray_address: AddressOption = None,
    gpus: Annotated[float, typer.Option(min=0, help="Devices of each Ray actor.")] = 0.0,
) -> None:  # fmt: skip
    """Answer every prompt of IN, in order; called again, go on where it stopped."""
    with one_line_errors():
        spec = chosen_spec(schema, regex, grammar, choice)
        options = {
            "steps": steps,
            "deadline": deadline,
            "seed": seed,
            "temperature": temperature,
            "max_new_tokens": max_new_tokens,
            **block_options(block_length),
        }

        from ctrlgen.batch import Output
        from ctrlgen.constraints import lower

        made_from = [hashlib.sha256(source.read_bytes()).hexdigest(), repr(spec), repr(options)]
        output = Output(target, [*made_from, str(model)])
        output.check()
        # What can be wrong with the command is told before there is a file.
        lowered = lower(spec)
        place = device or ("auto" if gpus else None)
        build = partial(_generator, model, place, spec, options)
        answers = (
            _on_ray(build, max(workers, 1), size, ray_address, gpus)
            if workers or ray_address
            else _here(build(lowered), size)
        )
        try:
            _fill(output, source, answers)
        except KeyboardInterrupt as error:
            again = "the same command goes on there" if output.done else "nothing was written"
            typer.echo(f"ctrlgen: interrupted after {output.done} rows; {again}", err=True)
            raise typer.Exit(130) from error


def _fill(output: Output, source: Path, answers: Answers) -> None:
    """Write the answers that are still missing, under a progress bar."""
    from rich.console import Console
    from rich.progress import Progress

    from ctrlgen.batch import read_rows

    total = sum(1 for _ in read_rows(source))
    with output, Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("answered", total=total, completed=output.done)
        for chunk in answers(read_rows(source, output.done)):
            output.write(chunk)
            bar.advance(task, len(chunk))
        output.finish()


def _generator(
    model: str | None,
    device: str | None,
    spec: Spec,
    options: dict[str, Any],
    grammar: Grammar | None = None,
) -> Generator:
    import ctrlgen

    return ctrlgen.Generator(load_model(model, device), spec, grammar=grammar, **options)


def _here(generator: Generator, size: int) -> Answers:
    """Answers of this process."""
    from ctrlgen.batch import Worker

    worker = Worker(generator)

    def answers(rows: Iterable[Row]) -> Iterator[list[dict[str, Any]]]:
        source = iter(rows)
        while chunk := list(itertools.islice(source, size)):
            yield worker.answer(chunk)

    return answers


def _on_ray(
    build: Callable[[], Generator], workers: int, size: int, address: str | None, gpus: float
) -> Answers:
    """Answers of Ray actors, which load the model themselves."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise SpecError("workers need Ray", hint="pip install 'ctrlgen[scale]'") from error
    from ctrlgen.batch.ray import answers

    how: dict[str, Any] = {"workers": workers, "batch": size, "address": address, "gpus": gpus}
    return lambda rows: ([answer] for answer in answers(rows, build, **how))
