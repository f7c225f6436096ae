"""Strings: length, pattern and format, in JSON's spelling."""

from __future__ import annotations

from typing import Any, Literal

from ctrlgen.constraints.formats import UNRESTRICTED, format_node
from ctrlgen.constraints.json_text import all_of, any_text, canonical_range, quoted
from ctrlgen.constraints.nodes import NOTHING, Node
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.constraints.schema_values import EMPTY_VALUE, Value
from ctrlgen.errors import RegexError, SchemaError

Formats = Literal["strict", "annotate"]


def pattern_body(pattern: str, where: str) -> Node:
    """The canonical spellings of the texts in which `pattern` matches."""
    try:
        return lower_regex(pattern, encoder=canonical_range, search=True)
    except RegexError as error:
        raise SchemaError(
            f"the pattern cannot be used: {error}", pointer=where, keyword="pattern"
        ) from error


def string_value(
    keywords: dict[str, Any], where: str, formats: Formats, *, key: bool = False
) -> Value:
    """The string literals that `keywords` allow, quotes included.

    Args:
        keywords: The merged assertions.
        where: JSON pointer for errors.
        formats: What to do with an unknown format.
        key: Only the canonical spelling, which keys have.

    Raises:
        SchemaError: A pattern cannot be lowered, or a format is unknown and `formats` strict.
    """
    least, most = int(keywords.get("minLength", 0)), keywords.get("maxLength")
    most = None if most is None else int(most)
    if most is not None and least > most:
        return EMPTY_VALUE
    bodies = [pattern_body(pattern, where) for pattern in keywords.get("pattern", ())]
    known = [_format(name, where, formats) for name in keywords.get("format", ())]
    shapes = [node for node in known if node is not None]
    bodies += shapes
    if least or most is not None or not bodies:
        bodies.append(any_text(least, most, canonical=key or bool(bodies)))
    if NOTHING in bodies:
        return EMPTY_VALUE
    return Value(quoted(all_of(bodies)), "format" if shapes else "string")


def _format(name: str, where: str, formats: Formats) -> Node | None:
    node = format_node(name)
    if node is None and name not in UNRESTRICTED and formats == "strict":
        raise SchemaError(
            f"the format {name!r} is not known",
            pointer=where,
            keyword="format",
            hint='formats="annotate" ignores it, or give a pattern',
        )
    return node
