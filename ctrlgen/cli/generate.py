"""`ctrlgen generate`: a prompt in, one valid answer out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    steps: Annotated[int | None, typer.Option(min=1, help="Most forward passes.")] = None,
    deadline: Annotated[float | None, typer.Option(min=0, help="Most seconds.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes sampling repeatable.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the most probable.")] = 0.0,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Most canvas tokens.")] = None,
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
        with console.status("Loading the model"):
            import ctrlgen

            generator = ctrlgen.Generator(
                ctrlgen.load(model),
                spec,
                steps=steps,
                deadline=deadline,
                seed=seed,
                temperature=temperature,
                max_new_tokens=max_new_tokens,
            )
        result = watch(generator.stream(text), console) if visible else generator.generate(text)
        if trace is not None:
            _write_trace(result, trace)
        typer.echo(result.text)


def _prompt(prompt: str | None) -> str:
    if prompt is not None and prompt != "-":
        return prompt
    if prompt is None and sys.stdin.isatty():
        raise SpecError("there is no prompt", hint="give PROMPT, or pipe it to stdin")
    return sys.stdin.read().strip()


def _write_trace(result: Result, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for event in result.trace:
            file.write(json.dumps(event.as_dict(), ensure_ascii=False) + "\n")
