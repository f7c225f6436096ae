"""What a document must satisfy before anything is read from it."""

from __future__ import annotations

from math import isfinite
from typing import Any

from jsonschema import FormatChecker
from jsonschema.exceptions import SchemaError as InvalidSchema

from ctrlgen.constraints.schema_drafts import VALIDATORS, Draft
from ctrlgen.constraints.schema_shapes import is_plainly_valid
from ctrlgen.errors import LimitError, SchemaError

MAX_VALUES = 1_000_000
MAX_DEPTH = 96

_NO_FORMATS = FormatChecker(formats=())  # a pattern that Python cannot read may be regular


def measure(schema: Any) -> None:
    """Refuse what is too large to walk, without recursion.

    Raises:
        LimitError: Too many values, or too deep.
        SchemaError: A value that JSON does not have.
    """
    level, depth, count = [schema], 0, 1
    while level:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                _check_text(*value)
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str):
                _check_text(value)
            elif isinstance(value, float) and not isfinite(value):
                raise SchemaError(f"{value} is not a JSON number")
        level, depth, count = inner, depth + 1, count + len(inner)
        if depth > MAX_DEPTH:
            raise LimitError(
                f"the schema is nested more than {MAX_DEPTH} levels deep",
                hint="move inner schemas to $defs",
            )
        if count > MAX_VALUES:
            raise LimitError(f"the schema has more than {MAX_VALUES} values")


def _check_text(*texts: str) -> None:
    for text in texts:
        if not isinstance(text, str):
            raise SchemaError(f"{text!r} is not a Unicode text")
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise SchemaError(f"{text!r} is not a Unicode text")


def check(schema: Any, draft: Draft) -> None:
    """Refuse what the metaschema refuses.

    Raises:
        SchemaError: The schema is not valid in its draft.
    """
    if draft == Draft.D3:
        raise SchemaError(
            "draft 3 is not supported", keyword="$schema", hint="use draft 4 or later"
        )
    if is_plainly_valid(schema, draft):
        return
    try:
        VALIDATORS[draft].check_schema(schema, format_checker=_NO_FORMATS)  # type: ignore[call-arg]
    except InvalidSchema as error:
        path = [str(token) for token in error.absolute_path]
        escaped = (token.replace("~", "~0").replace("/", "~1") for token in path)
        name = f"draft {draft.value}" if draft < Draft.D2019 else f"draft of {draft.value}"
        raise SchemaError(
            error.message,
            pointer="".join(f"/{token}" for token in escaped),
            keyword=path[-1] if path else "",
            hint=f"the schema is not valid JSON Schema ({name})",
        ) from error
