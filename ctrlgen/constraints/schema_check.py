"""What a document must satisfy before anything is read from it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import isfinite
from typing import Any

from jsonschema import FormatChecker
from jsonschema.exceptions import SchemaError as InvalidSchema
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

from ctrlgen.constraints.schema_drafts import VALIDATORS, Draft, draft_of
from ctrlgen.constraints.schema_shapes import is_plainly_valid
from ctrlgen.errors import LimitError, SchemaError
from ctrlgen.json_pointer import escape

MAX_VALUES = 1_000_000
MAX_DEPTH = 96
MAX_BITS = 10_000  # Python writes no integer of more than 4,300 digits

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
            elif isinstance(value, int) and value.bit_length() > MAX_BITS:
                raise LimitError(f"the schema has an integer of more than {MAX_BITS} bits")
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


def check_vocabularies(schema: Any, registry: Mapping[str, Any]) -> None:
    """Refuse a schema whose metaschema takes the meaning from some of its assertions.

    Raises:
        SchemaError: A keyword's vocabulary is missing there, or one is needed that is not known.
    """
    uri = schema.get("$schema") if isinstance(schema, dict) else None
    metaschema = registry.get(uri) if isinstance(uri, str) else None
    declared = metaschema.get("$vocabulary") if isinstance(metaschema, dict) else None
    if not isinstance(declared, dict):
        return
    standard = VALIDATORS[draft_of(metaschema)].META_SCHEMA
    known = standard.get("$vocabulary", {}) if isinstance(standard, Mapping) else {}
    core = {name for name in known if name.endswith("/core")}  # which is always there
    for name in known.keys() - declared.keys() - core:
        keywords = REGISTRY.contents(name.replace("/vocab/", "/meta/"))["properties"]
        _forbid(schema, keywords.keys() - {"format"}, f"the metaschema {uri} lacks {name}")
    for name, needed in declared.items():
        if needed and name not in known:
            raise SchemaError(f"the vocabulary {name} is not known", keyword="$schema")


def _forbid(schema: Any, keywords: Set[str], reason: str) -> None:
    level = [schema]
    while level:
        value = level.pop()
        if isinstance(value, dict):
            for keyword in value.keys() & keywords:
                hint = "use a standard $schema, or leave out the keyword"
                raise SchemaError(f"{keyword} says nothing: {reason}", keyword=keyword, hint=hint)
            level += value.values()
        elif isinstance(value, list):
            level += value


def check(schema: Any, draft: Draft, pointer: str = "") -> None:
    """Refuse what the metaschema refuses.

    Args:
        schema: A schema.
        draft: Its draft.
        pointer: Where it stands in its document.

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
        name = f"draft {draft.value}" if draft < Draft.D2019 else f"draft of {draft.value}"
        raise SchemaError(
            error.message,
            pointer=pointer + "".join(f"/{escape(token)}" for token in path),
            keyword=path[-1] if path else "",
            hint=f"the schema is not valid JSON Schema ({name})",
        ) from error
