"""What the commands share: the options that name an output type, and errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctrlgen.errors import CtrlgenError, GenerationError, SpecError

if TYPE_CHECKING:
    from ctrlgen.generator import Model
    from ctrlgen.spec import Spec

SchemaOption = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="FILE|FIELDS",
        help="JSON Schema: a file, JSON text, or fields such as 'name, age int, kind: a|b, note?'.",
    ),
]
RegexOption = Annotated[
    str | None,
    typer.Option("--regex", metavar="REGEX", help="The whole answer matches this pattern."),
]
GrammarOption = Annotated[
    Path | None,
    typer.Option(
        "--grammar",
        metavar="FILE",
        help="The answer is a word of this grammar: Lark, .gbnf or .ebnf.",
    ),
]
ChoiceOption = Annotated[
    str | None,
    typer.Option("--choice", metavar="A,B,...", help="The answer is one of these texts."),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="PATH_OR_HUB_ID", help="Instead of the embedded model."),
]

DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="DEVICE", help="Of the model: cuda, cuda:1, auto; default: the CPU."
    ),
]
StepsOption = Annotated[
    int | None, typer.Option("--steps", min=1, help="Most forward passes of an answer.")
]
DeadlineOption = Annotated[float | None, typer.Option("--deadline", min=0, help="Most seconds.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Makes sampling repeatable.")]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", min=0, help="0 takes the most probable.")
]
LengthOption = Annotated[
    int | None, typer.Option("--max-new-tokens", min=1, help="Most canvas tokens.")
]
BlockOption = Annotated[
    int | None,
    typer.Option("--block-length", min=1, help="Commit block after block of this many tokens."),
]
AddressOption = Annotated[
    str | None, typer.Option("--ray-address", help="Of a running Ray cluster.")
]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Report an error of ctrlgen on stderr; exit with 1 if generating failed, 2 for bad input."""
    try:
        yield
    except (CtrlgenError, ValueError, OSError) as error:
        print(f"ctrlgen: error: {_one_line(error)}", file=sys.stderr)
        raise typer.Exit(1 if isinstance(error, GenerationError) else 2) from error


def _one_line(error: Exception) -> str:
    """The first line of the message, and the hint that stands behind the caret."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    first = (str(error) or type(error).__name__).splitlines()[0]
    hint = getattr(error, "hint", "")
    return f"{first} ({hint})" if hint and hint not in first else first


def block_options(length: int | None) -> dict[str, Any]:
    """The generator's option for `--block-length`."""
    if length is None:
        return {}
    from ctrlgen.controllers.blocks import FixedBlocks

    return {"block": FixedBlocks(length)}


def load_model(name: str | None, device: str | None = None) -> Model:
    """The model of `--model` where `--device` says."""
    import ctrlgen

    return ctrlgen.load(name, **({} if device is None else {"device_map": device}))


def chosen_spec(
    schema: str | None,
    regex: str | None,
    grammar: Path | None,
    choice: str | None,
    file: Path | None = None,
) -> Spec:
    """The spec of the one option that is given.

    Raises:
        SpecError: None is given, or more than one; or it cannot be read.
    """
    from ctrlgen import spec

    options = [schema, regex, grammar, choice, file]
    if len([option for option in options if option is not None]) != 1:
        given = "FILE, " if file is not None else ""
        raise SpecError(f"give exactly one of {given}--schema, --regex, --grammar and --choice")
    if file is not None:
        return spec.to_spec(file)
    if schema is not None:
        return _of_schema(schema)
    if regex is not None:
        return spec.regex(regex)
    if grammar is not None:
        return spec.cfg(grammar)
    items = [item.strip() for item in (choice or "").split(",")]
    if not all(items):
        raise SpecError(f"--choice {choice}: one of the texts is empty", hint="--choice 'a, b'")
    return spec.choice(items)


def _of_schema(schema: str) -> Spec:
    """JSON text, a file, or the shorthand for fields."""
    from ctrlgen.cli.shorthand import parse_fields
    from ctrlgen.spec import json_schema

    if schema.lstrip().startswith("{"):
        return json_schema(schema)
    suffix = os.path.splitext(schema)[1]
    if suffix in (".lark", ".gbnf", ".ebnf", ".regex"):
        hint = '--regex "$(cat FILE)"' if suffix == ".regex" else f"--grammar {schema}"
        raise SpecError(f"--schema {schema}: a {suffix} file is no JSON Schema", hint=hint)
    if os.path.isdir(schema):
        hint = f"for a field of that name write '{schema} str'" if schema.isidentifier() else ""
        raise SpecError(f"--schema {schema}: a folder, not a file", hint=hint)
    if schema.endswith(".json") or os.path.isfile(schema):
        return json_schema(Path(schema))
    return json_schema(parse_fields(schema))
