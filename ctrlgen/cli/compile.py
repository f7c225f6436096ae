"""`ctrlgen compile`: what a schema, pattern or grammar becomes, without generating."""

from __future__ import annotations

import json
import warnings
from itertools import groupby
from operator import itemgetter
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
from ctrlgen.misspelling import misspelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ctrlgen.canvas.parts import Part
    from ctrlgen.constraints.nodes import Grammar
    from ctrlgen.spec import Spec


def compile_command(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A .json, .regex, .lark, .gbnf or .ebnf file."),
    ] = None,
    schema: SchemaOption = None,
    regex: RegexOption = None,
    grammar: GrammarOption = None,
    choice: ChoiceOption = None,
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    graph: Annotated[
        Path | None,
        typer.Option(metavar="OUT.svg", help="Draw the constraint as a railroad diagram."),
    ] = None,
    graph_boxes: Annotated[int, typer.Option(min=1, help="Most boxes of the drawing.")] = 300,
) -> None:
    """Compile FILE and tell its states, token classes, pinned text and fewest tokens."""
    with one_line_errors():
        if graph is not None and graph.suffix != ".svg":
            raise SpecError(f"--graph {graph}: the drawing is an .svg file")
        if all(each is None for each in (file, schema, regex, grammar, choice)):
            hint = "give FILE, or one of --schema, --regex, --grammar and --choice"
            raise SpecError("there is nothing to compile", hint=hint)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # misspelt keywords become notes
            spec = chosen_spec(schema, regex, grammar, choice, file)

        from rich.console import Console

        from ctrlgen.constraints import lower

        with Console(stderr=True).status("Compiling"):
            lowered = lower(spec)  # a bad schema is told before a model is loaded
            if graph is not None:
                _draw(lowered, graph, file.name if file else spec.kind, graph_boxes)
            report = _report(spec, lowered, model)
        typer.echo(json.dumps(report, ensure_ascii=False) if as_json else _readable(report))


def _draw(grammar: Grammar, out: Path, title: str, boxes: int) -> None:
    """Write the railroad diagram of a grammar, and say so if some of it is missing."""
    from ctrlgen.pictures import draw

    picture = draw(grammar, title, boxes)
    out.write_text(picture.svg, encoding="utf-8")
    if picture.cut:
        typer.echo(f"ctrlgen: {out} leaves parts out, and shows where", err=True)


def _report(spec: Spec, grammar: Grammar, model_name: str | None) -> dict[str, Any]:
    import ctrlgen
    from ctrlgen.canvas import Scaffold

    model = ctrlgen.load(model_name)
    constraint = ctrlgen.Generator(model, spec, grammar=grammar).constraint
    scaffold = Scaffold(constraint, model.denoiser.encode, model.denoiser.fill_token_id)
    pieces = _merged(_pieces(scaffold.layout(constraint.grammar.root)))
    return {
        "kind": spec.kind,
        "minimum_tokens": constraint.min_tokens,
        "states": constraint.automaton.n_states,
        "classes": len(constraint.vocabulary.token_sets),
        "pinned": [text for text, pinned in pieces if pinned],
        "scaffold": "".join(text for text, _ in pieces),
        "notes": list(_notes(spec)),
    }


def _pieces(parts: list[Part]) -> Iterator[tuple[str, bool]]:
    """Pinned text, and gaps as `<kind>` or, for what may be absent, `<kind?>`."""
    from ctrlgen.canvas.parts import Members, Pinned

    for part in parts:
        if isinstance(part, Pinned):
            yield part.text.decode(errors="replace"), True
        elif isinstance(part, Members):
            for i, member in enumerate(part.members):
                if i:
                    yield part.separator.decode(), True
                yield from _pieces(member.parts)
        else:
            yield f"<{part.kind}{'?' * part.slack.absent}>", False


def _merged(pieces: Iterator[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Neighbouring pinned texts as one."""
    groups = groupby(pieces, key=itemgetter(1))
    return [("".join(text for text, _ in group), pinned) for pinned, group in groups]


def _notes(spec: Spec) -> Iterator[str]:
    """What a user should know about how this spec is enforced."""
    if spec.kind in ("json", "tools"):
        yield "JSON is compact, members stand in declared order"
        if _open_object(spec.schema):
            yield "objects without additionalProperties get declared members only"
        for name in sorted(_unknown_formats(spec.schema)):
            yield f"format {name!r} is not known, so it is an annotation"
        for pointer, keyword, meant in misspelled(spec.schema):
            yield f"at {pointer or '/'} the keyword {keyword!r} says nothing: is {meant!r} meant?"
    elif spec.kind == "grammar" and "%ignore" in spec.grammar:
        yield "of ignored text at most one token stands between two others"


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object inside a schema."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _open_object(schema: Any) -> bool:
    return any(
        isinstance(each.get("properties"), dict) and "additionalProperties" not in each
        for each in _objects(schema)
    )


def _unknown_formats(schema: Any) -> set[str]:
    from ctrlgen.constraints.formats import UNRESTRICTED
    from ctrlgen.constraints.schema_formats import format_of

    found = {each["format"] for each in _objects(schema) if isinstance(each.get("format"), str)}
    return {name for name in found - UNRESTRICTED if format_of(name, "narrow") is None}


def _readable(report: dict[str, Any]) -> str:
    rows = [
        ("kind", report["kind"]),
        ("minimum tokens", report["minimum_tokens"]),
        ("states so far", report["states"]),
        ("token classes", report["classes"]),
        ("pinned text", " ".join(report["pinned"]) or "none"),
        ("scaffold", report["scaffold"]),
        *(("note", note) for note in report["notes"]),
    ]
    return "\n".join(f"{label:<16}{value}" for label, value in rows)
