"""The one door: what a user asks for, normalised to a `Spec`.

    output type                                   kind      text               value
    pydantic model, TypedDict, dataclass, int,    json      compact JSON       the Python type
      Literal, Enum, list[T], Optional[T], ...
    JSON Schema as a dict, `json_schema(...)`     json      compact JSON       plain JSON data
    `regex(...)`                                  regex     matching text      str
    `cfg(...)`, a Lark, GBNF or EBNF grammar      grammar   a word             str
    `choice([...])`                               choice    one of the texts   the original item
    `tools([...])` (see `ctrlgen.tool_call`)          tools     compact JSON       ToolCall
    pathlib.Path to .json, .regex or a grammar    as above
    outlines terms                                as above

Some kinds are made of other specs, `parts`: a `sequence` of them, `either` of them, a `list` (a
JSON array of two or more texts of one spec) and a `quoted` text (as a JSON string).

Scalars are spelled as JSON everywhere (`true`, `null`, `"text"`): outlines spells them as Python.
"""

from __future__ import annotations

import enum
import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError as InvalidCore

from ctrlgen.blame import blamed
from ctrlgen.errors import OutputValidationError, SchemaError, SpecError
from ctrlgen.misspelling import misspelled
from ctrlgen.pydantic_schema import CompleteJsonSchema

Kind = Literal[
    "json", "regex", "grammar", "choice", "tools", "sequence", "either", "list", "quoted"
]
Schema = dict[str, Any] | bool
Syntax = Literal["lark", "gbnf", "ebnf"]

_SCHEMA_OPTIONS = frozenset(
    ("whitespace", "key_order", "extra", "formats", "breadth", "on_unsupported", "registry")
)
_WARNINGS = 5  # of one schema
_SYNTAX_OF: dict[str, Syntax] = {".lark": "lark", ".gbnf": "gbnf", ".ebnf": "ebnf"}
_ACCEPTED = (
    "pass a pydantic model, a Python type, a JSON Schema as a dict, ctrlgen.json_schema(...), "
    "ctrlgen.regex(...), ctrlgen.cfg(...), ctrlgen.choice([...]), ctrlgen.tools([...]) or a "
    "pathlib.Path to a .json, .regex, .lark, .gbnf or .ebnf file"
)


class SpecWarning(UserWarning):
    """A schema is valid, but hardly says what is meant."""


@dataclass(frozen=True, eq=False)
class Spec:
    """What the text may be, and how it becomes a value.

    Args:
        kind: Which of the other fields says what the text may be.
        schema: JSON Schema, for `json` and `tools`.
        schema_options: How much of it is offered, see `json_schema`.
        pattern: Regular expression that the whole text matches, for `regex`.
        grammar: The text of a grammar, for `grammar`.
        start: The rule of `grammar` to begin with; "" for the usual one of its syntax.
        syntax: The notation of `grammar`.
        choices: The texts, for `choice`.
        values: The value of each choice.
        tool_names: Names of the tools on offer; their calls are JSON.
        parts: What a spec of other specs is made of.
        adapter: Validates the text as a Python type; None leaves JSON as plain data.
    """

    kind: Kind
    schema: Schema | None = None
    pattern: str = ""
    grammar: str = ""
    start: str = ""
    syntax: Syntax = "lark"
    choices: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    tool_names: tuple[str, ...] = ()
    parts: tuple[Spec, ...] = ()
    adapter: TypeAdapter[Any] | None = field(default=None, repr=False)
    schema_options: Mapping[str, Any] = field(default_factory=dict)

    def parse(self, text: str) -> Any:
        """The value that `text` stands for.

        Raises:
            OutputValidationError: The type refuses it; the reason is the error's `__cause__`.
        """
        if self.kind not in ("json", "tools", "choice") and self.adapter is None:
            return text
        try:
            if self.kind == "choice":
                return self.values[self.choices.index(text)]
            # What is generated is finite JSON, but a text from elsewhere may nest without end.
            return self.adapter.validate_json(text) if self.adapter else json.loads(text)
        except ValidationError as error:
            raise OutputValidationError(
                f"the answer is refused: {error}", text=text, pointers=blamed(error, text)
            ) from error
        except (ValueError, RecursionError) as error:
            raise OutputValidationError(f"the answer is refused: {error}", text=text) from error


def to_spec(output_type: Any) -> Spec:
    """The `Spec` of anything that ctrlgen can generate.

    Args:
        output_type: See the table of this module.

    Raises:
        SpecError: It is nothing that ctrlgen knows, or a file that cannot be read.
        SchemaError: A JSON file is not JSON.
    """
    if isinstance(output_type, Spec):
        return output_type
    if isinstance(output_type, dict | bool):
        return _of_schema(output_type)
    if isinstance(output_type, Path):
        return _of_path(output_type)
    return _of_outlines(output_type) or _of_type(output_type)


def json_schema(
    schema: dict[str, Any] | bool | str | Path | type[BaseModel], **options: Any
) -> Spec:
    """JSON that satisfies a schema.

    Args:
        schema: The schema as Python data, as JSON text, in a file, or a pydantic model.
        options: `whitespace`, `key_order`, `extra`, `formats`, `breadth`, `on_unsupported` and
            `registry`, see docs/json_schema.md.

    Raises:
        SpecError: It is none of these, or there is no such option.
        SchemaError: The text is not JSON.
    """
    unknown = sorted(options.keys() - _SCHEMA_OPTIONS)
    if unknown:
        hint = f"there are {', '.join(sorted(_SCHEMA_OPTIONS))}"
        raise SpecError(f"json_schema has no option {unknown[0]!r}", hint=hint)
    if isinstance(schema, str):
        spec = _of_schema(_read_json(schema))
    elif isinstance(schema, Path):
        spec = _of_schema(_read_json(_read(schema), f"{schema}: "))
    else:
        spec = to_spec(schema)
    return replace(spec, schema_options=options) if options else spec


def regex(pattern: str) -> Spec:
    """Text that matches a regular expression (Python's syntax) from its start to its end."""
    if not isinstance(pattern, str):
        raise SpecError(f"a pattern is a str, not {_named(pattern)}")
    return Spec("regex", pattern=pattern)


def cfg(grammar: str | Path, *, start: str = "", syntax: Syntax | None = None) -> Spec:
    """Text in the language of a grammar, given as text or as a file; see docs/grammars.md.

    Args:
        grammar: The grammar.
        start: The rule to begin with; when not given `start` in Lark, and in the other notations
            `root`, or else the first rule.
        syntax: "lark", "gbnf" (llama.cpp's) or "ebnf" (the W3C's). When not given, the suffix of
            a file says it; otherwise it is Lark.

    Raises:
        SpecError: It is no grammar, or there is no such syntax.
    """
    if not isinstance(grammar, str | Path):
        raise SpecError(f"a grammar is text or a pathlib.Path, not {_named(grammar)}")
    if syntax is None:
        syntax = _SYNTAX_OF.get(grammar.suffix, "lark") if isinstance(grammar, Path) else "lark"
    if syntax not in _SYNTAX_OF.values():
        hint = f"one of {', '.join(map(repr, _SYNTAX_OF.values()))}"
        raise SpecError(f"syntax={syntax!r} is not known", hint=hint)
    text = grammar if isinstance(grammar, str) else _read(grammar)
    return Spec("grammar", grammar=text, start=start, syntax=syntax)


def choice(items: Iterable[Any]) -> Spec:
    """One of several plain texts (not JSON); the value is the item that was given.

    Args:
        items: Strings, other values by their `str()`, or an Enum class.

    Raises:
        SpecError: There are no items, or two have the same text.
    """
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise SpecError(f"choices are a list, not {_named(items)}", hint='choice(["yes", "no"])')
    values = tuple(items)
    texts = tuple(str(v.value if isinstance(v, enum.Enum) else v) for v in values)
    if not texts:
        raise SpecError("there are no choices")
    for text in texts:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise SpecError(f"the choice {text!r} is not a Unicode text")
    twice = next((text for i, text in enumerate(texts) if text in texts[:i]), None)
    if twice is not None:
        raise SpecError(f"the choice {twice!r} is given twice")
    return Spec("choice", choices=texts, values=values)


def _of_schema(schema: Any) -> Spec:
    if not isinstance(schema, dict | bool):
        raise SchemaError(f"a JSON Schema is an object, true or false, not {_named(schema)}")
    for pointer, keyword, meant in islice(misspelled(schema), _WARNINGS):
        text = f"at {pointer or '/'}: the keyword {keyword!r} says nothing: is {meant!r} meant?"
        warnings.warn(text, SpecWarning, stacklevel=3)
    return Spec("json", schema=schema)


def _of_path(path: Path) -> Spec:
    match path.suffix:
        case ".json":
            return json_schema(path)
        case ".regex":
            return regex(_read(path).rstrip("\r\n"))
        case suffix if suffix in _SYNTAX_OF:
            return cfg(path)
    hint = f"use .json, .regex, {', '.join(_SYNTAX_OF)}"
    raise SpecError(f"{path}: unknown suffix", hint=hint)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text") from error


def _read_json(text: str, where: str = "") -> Any:
    try:
        return json.loads(text, object_pairs_hook=partial(_members, where))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise SchemaError(f"{where}not JSON: {error.msg} ({place})") from error
    except RecursionError as error:
        raise SchemaError(f"{where}nested too deeply") from error
    except ValueError as error:  # Python reads no integer of more than 4,300 digits
        raise SchemaError(f"{where}a number is too long: {error}") from error


def _members(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a schema; of two equal keys one would be weakened in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise SchemaError(f"{where}the key {twice!r} stands twice in one object")
    return found


def _of_type(output_type: Any) -> Spec:
    """The spec of a Python type, as pydantic sees it."""
    hint = _misunderstanding(output_type)
    if hint:
        raise SpecError(f"{_named(output_type)} is not an output type", hint=hint)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(output_type)
        schema = adapter.json_schema(schema_generator=CompleteJsonSchema)
    except (PydanticUserError, InvalidCore, TypeError, NameError) as error:
        reason = _reason(error)
        message = f"{_named(output_type)} is not an output type: {reason}"
        raise SpecError(message, hint=_ACCEPTED) from error
    except ImportError as error:  # a type of pydantic's that another package validates
        message = f"{_named(output_type)} cannot be validated: {str(error).splitlines()[0]}"
        raise SpecError(message, hint=_missing(error)) from error
    return Spec("json", schema=schema, adapter=adapter)


def _reason(error: Exception) -> str:
    """What pydantic says in one line; of a pattern, what its own regex engine says last."""
    lines = [line.strip() for line in str(error).splitlines()]
    if isinstance(error, InvalidCore):
        return next(
            (
                line.removeprefix("error: ")
                for line in reversed(lines)
                if line.startswith("error: ")
            ),
            lines[0],
        )
    return lines[0].rstrip(".")


def _missing(error: ImportError) -> str:
    """How to get what a type needs."""
    if "email-validator" in str(error):
        return "pip install email-validator, or use a str with a pattern"
    return "install the package that it needs"


def _misunderstanding(output_type: Any) -> str:
    """What to write instead of something that pydantic would misread, "" if it would not."""
    match output_type:
        case None:
            return _ACCEPTED
        case str():
            return "for a file pass pathlib.Path(...); for text json_schema, regex or cfg"
        case FunctionType() | partial():
            return "to call it as a tool pass ctrlgen.tools([function])"
        case list() | tuple() | set() | frozenset():
            return "pass ctrlgen.choice([...]), ctrlgen.tools([...]) or a Union of types"
    return ""


def _named(value: Any) -> str:
    if isinstance(value, type):
        return value.__qualname__
    spelled = repr(value)
    return spelled if len(spelled) <= 60 else f"{spelled[:57]}..."


def _of_outlines(term: Any) -> Spec | None:
    """The spec of an outlines term; outlines is imported already if there is one."""
    types = sys.modules.get("outlines.types")
    if types is None or not isinstance(term, types.dsl.Term):
        return None
    if isinstance(term, types.JsonSchema):
        if term.whitespace_pattern is not None:
            raise SpecError("whitespace_pattern is not supported", hint="JSON is always compact")
        return json_schema(term.schema)
    if isinstance(term, types.CFG):
        return cfg(term.definition)
    if isinstance(term, types.Choice):
        return choice(term.items)
    if isinstance(term, types.Regex):
        return regex(term.pattern)
    try:
        return regex(types.dsl.to_regex(term))
    except TypeError as error:  # a term with a grammar inside
        raise SpecError(f"{_named(term)} has no regular expression: {error}") from error
