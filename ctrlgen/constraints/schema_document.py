"""One JSON Schema document: checked, bounded, every reference made absolute.

The document is copied with each `$ref` replaced by `BASE` and the JSON pointer it stands for, so
that a subschema means the same wherever the lowering carries it: `$id` and `$anchor` are resolved
here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import isfinite
from typing import Any, cast
from urllib.parse import quote, unquote, urldefrag, urljoin

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as InvalidSchema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from ctrlgen.errors import LimitError, SchemaError

BASE = "ctrlgen:schema"
MAX_VALUES = 200_000
MAX_DEPTH = 96

Schema = dict[str, Any] | bool

_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
_VALUES = frozenset(("const", "enum", "default", "examples", "example"))


class Document:
    """A schema whose references are absolute.

    Args:
        schema: The schema as given; it is not changed.

    Raises:
        SchemaError: It is not a valid schema of draft 2020-12, or a reference leads nowhere.
        LimitError: It is too large or nested too deeply.
    """

    def __init__(self, schema: Schema) -> None:
        _measure(schema)
        _check(schema)
        self._source = schema
        self._names: dict[str, str] = {"": ""}
        self._pointers: dict[int, str] = {}
        self._index(schema)
        self.root: Schema = self._copy(schema, "", "", True)

    def pointer(self, schema: Schema) -> str:
        """Where this subschema stands; empty for one made while merging."""
        return self._pointers.get(id(schema), "")

    def target(self, reference: str) -> Schema:
        """The subschema that an absolute reference names."""
        return cast(Schema, _find(self.root, unquote(reference.removeprefix(BASE + "#"))))

    def accepts(self, schema: Schema, value: Any) -> bool:
        """Whether `value` satisfies a subschema of this document."""
        validator = Draft202012Validator(
            schema,
            registry=self._registry,
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        return validator.is_valid(value)

    @cached_property
    def _registry(self) -> Registry[Any]:
        resource = DRAFT202012.create_resource(self.root)
        return cast("Registry[Any]", Registry().with_resource(BASE, resource))

    def _index(self, schema: Schema) -> None:
        """Note the absolute name of every `$id` and `$anchor`."""
        for subschema, pointer, base in _subschemas(schema):
            if "$id" in subschema or not pointer:
                self._names[base] = pointer
            for keyword in ("$anchor", "$dynamicAnchor"):
                if keyword in subschema:
                    self._names[f"{base}#{subschema[keyword]}"] = pointer

    def _copy(self, value: Any, pointer: str, base: str, is_schema: bool) -> Any:
        if isinstance(value, list):
            return [
                self._copy(item, f"{pointer}/{i}", base, is_schema) for i, item in enumerate(value)
            ]
        if not isinstance(value, dict):
            return value
        if is_schema:
            base = _base(value, base)
        copied: dict[str, Any] = {}
        self._pointers[id(copied)] = pointer
        for key, item in value.items():
            where = f"{pointer}/{_escape(key)}"
            if not is_schema:
                copied[key] = self._copy(item, where, base, True)
            elif key == "$ref" and isinstance(item, str):
                copied[key] = self._resolve(item, pointer, base)
            elif key in _VALUES:
                copied[key] = item
            elif key not in ("$id", "$anchor", "$dynamicAnchor", "$schema"):
                copied[key] = self._copy(item, where, base, key not in _MAPS)
        return copied

    def _resolve(self, reference: str, pointer: str, base: str) -> str:
        """The absolute form of a reference made at `pointer`."""
        # urljoin loses the base of schemes it does not know, urn: for one
        whole = base + reference if reference.startswith("#") else urljoin(base, reference)
        url, fragment = urldefrag(whole)
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            target = self._names.get(f"{url}#{fragment}")
        else:
            start = self._names.get(url)
            target = None if start is None else start + fragment
        if target is None or not isinstance(_find(self._source, target), dict | bool):
            raise SchemaError(
                f"reference {reference!r} names no schema in this document",
                pointer=pointer,
                keyword="$ref",
                hint="put the target under $defs",
            )
        return f"{BASE}#{quote(target)}"


def _measure(schema: Schema) -> None:
    """Refuse what is too large to walk, without recursion."""
    level, depth, count = [cast(Any, schema)], 0, 1
    while level:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, float) and not isfinite(value):
                raise SchemaError(f"{value} is not a JSON number")
            if isinstance(value, dict):
                _check_text(*value)
            if isinstance(value, str):
                _check_text(value)
            if isinstance(value, dict | list):
                inner += value.values() if isinstance(value, dict) else value
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
        if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise SchemaError(f"{text!r} is not a Unicode text")


def _check(schema: Schema) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except InvalidSchema as error:
        path = [str(token) for token in error.absolute_path]
        raise SchemaError(
            error.message,
            pointer="".join(f"/{_escape(token)}" for token in path),
            keyword=path[-1] if path else "",
            hint="the schema is not valid JSON Schema 2020-12",
        ) from error


def _subschemas(
    value: Any, pointer: str = "", base: str = "", is_schema: bool = True
) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every subschema with its pointer and base URI; unknown keywords may hold schemas too."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _subschemas(item, f"{pointer}/{i}", base, is_schema)
    if not isinstance(value, dict):
        return
    if is_schema:
        base = _base(value, base)
        yield value, pointer, base
    for key, item in value.items():
        if not (is_schema and key in _VALUES):
            inner = not is_schema or key not in _MAPS
            yield from _subschemas(item, f"{pointer}/{_escape(key)}", base, inner)


def _base(schema: dict[str, Any], base: str) -> str:
    identifier = schema.get("$id")
    return urldefrag(urljoin(base, identifier))[0] if isinstance(identifier, str) else base


def _escape(token: str) -> str:
    return token.replace("~", "~0").replace("/", "~1")


def _find(value: Any, pointer: str) -> Any:
    """What `pointer` leads to in `value`; None for nothing."""
    for token in pointer.split("/")[1:]:
        if isinstance(value, list):
            value = value[int(token)] if token.isdigit() and int(token) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(token.replace("~1", "/").replace("~0", "~"))
        else:
            return None
    return value
