"""`ctrlgen generate`: a prompt in, one valid answer out."""

from __future__ import annotations

import io
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from ctrlgen.cli.options import (
    BlockOption,
    ChoiceOption,
    DeadlineOption,
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
    from ctrlgen.result import Result


def generate_command(
    prompt: Annotated[
        str | None, typer.Argument(metavar="[PROMPT]", help="The prompt; `-` or none: read stdin.")
    ] = None,
    schema: SchemaOption = None,
    regex: RegexOption = None,
    grammar: GrammarOption = None,
    choice: ChoiceOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    steps: StepsOption = None,
    deadline: DeadlineOption = None,
    seed: SeedOption = None,
    temperature: TemperatureOption = 0.0,
    max_new_tokens: LengthOption = None,
    block_length: BlockOption = None,
    trace: Annotated[Path | None, typer.Option(help="Write each step as a JSON line.")] = None,
    show: Annotated[
        bool | None,
        typer.Option("--show/--no-show", help="Picture of the canvas; default: in a terminal."),
    ] = None,
) -> None:
    """Answer PROMPT with JSON, or with text of a regular expression, grammar or choice."""
    with one_line_errors():
        spec = chosen_spec(schema, regex, grammar, choice)
        text = _prompt(prompt)

        from rich.console import Console

        from ctrlgen.cli.canvas_view import watch

        console = Console(stderr=True, force_terminal=True if show else None)
        visible = console.is_terminal if show is None else show
        # Opened first: a path that cannot be written costs no model and no answer.
        with trace.open("w", encoding="utf-8") if trace else nullcontext() as file:
            with console.status("Loading the model"):
                import ctrlgen

                generator = ctrlgen.Generator(
                    load_model(model, device),
                    spec,
                    steps=steps,
                    deadline=deadline,
                    seed=seed,
                    temperature=temperature,
                    max_new_tokens=max_new_tokens,
                    **block_options(block_length),
                )
            result = watch(generator.stream(text), console) if visible else generator.generate(text)
            if file is not None:
                _write_trace(result, file)
        typer.echo(result.text)
        _tell_early_end(result)


def _prompt(prompt: str | None) -> str:
    if prompt is not None and prompt != "-":
        try:
            prompt.encode("utf-8")
        except UnicodeEncodeError as error:
            raise SpecError(
                "PROMPT is not UTF-8 text", hint="convert it, with iconv say"
            ) from error
        return prompt
    if prompt is None and sys.stdin.isatty():
        raise SpecError("there is no prompt", hint="give PROMPT, or pipe it to stdin")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")  # whatever the locale says
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError as error:
        raise SpecError("stdin is not UTF-8 text", hint="convert it, with iconv say") from error


def _write_trace(result: Result, file: IO[str]) -> None:
    for event in result.trace:
        file.write(json.dumps(event.as_dict(), ensure_ascii=False) + "\n")


def _tell_early_end(result: Result) -> None:
    """Say on stderr what cut an answer off; an interrupt also sets the exit code."""
    if result.finish_reason == "stop":
        return
    passes = result.usage.forward_passes
    cost = f"{passes} forward pass{'es' * (passes != 1)} ({result.finish_reason})"
    typer.echo(f"ctrlgen: cut off after {cost}; the answer is valid but unfinished", err=True)
    if result.finish_reason == "interrupt":
        raise typer.Exit(130)
