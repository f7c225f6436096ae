"""JSON Schema documents: bounded, checked, rewritten to draft 2020-12, references absolute.

Every schema object is copied, with each `$ref` replaced by a name of ours for its target, so that a
subschema means the same wherever the lowering carries it: `$id`, `$anchor`, the draft and other
documents are resolved here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin

from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from ctrlgen.constraints.schema_check import check, check_vocabularies, measure
from ctrlgen.constraints.schema_drafts import RECURSIVE, VALIDATORS, Draft, draft_of, modern
from ctrlgen.constraints.schema_formats import checker
from ctrlgen.errors import SchemaError
from ctrlgen.json_pointer import escape, unescape

BASE = "ctrlgen:"

Schema = dict[str, Any] | bool

_MAPS = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies",
     "dependentRequired")
)  # fmt: skip
_VALUES = frozenset(("const", "enum", "default", "examples", "example"))
_NAMES = frozenset(
    ("$schema", "$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef",
     "$recursiveAnchor")
)  # fmt: skip


@dataclass(frozen=True)
class _Place:
    """Where a subschema stands, and how one came there.

    Args:
        document: The number of its document.
        pointer: Its JSON pointer there.
        base: The URI that references are relative to.
        draft: Its draft.
        scope: For each dynamic anchor, the place that was met first on the way.
    """

    document: int
    pointer: str
    base: str
    draft: Draft
    scope: tuple[tuple[str, _Place], ...] = ()

    def below(self, token: str) -> _Place:
        pointer = f"{self.pointer}/{escape(token)}"
        return _Place(self.document, pointer, self.base, self.draft, self.scope)


class Document:
    """A schema and the documents that it refers to.

    Args:
        schema: The schema as given; it is not changed.
        registry: Other documents by URI.
        legacy: Read keywords of older drafts also where no draft is named.
        formats: Whether judging a value takes formats into account.

    Raises:
        SchemaError: It is not valid in its draft, or a reference leads nowhere.
        LimitError: It is too large or nested too deeply.
    """

    def __init__(
        self,
        schema: Schema,
        registry: Mapping[str, Any] | None = None,
        legacy: bool = False,
        formats: bool = True,
    ) -> None:
        measure(schema)
        self._format_checker = checker() if formats else None
        self._registry_given = registry or {}
        self._legacy = legacy and not (isinstance(schema, dict) and "$schema" in schema)
        self._sources: list[Any] = []
        self._names: dict[str, _Place] = {}
        self._targets: dict[str, Schema] = {}
        self._written: set[str] = set()
        self._checked: set[tuple[int, str]] = {(0, "")}
        self._asked: list[_Place] = []
        self._pointers: dict[int, str] = {}
        self._dynamic: dict[str, dict[str, _Place]] = {}
        self._scopes: dict[tuple[tuple[str, _Place], ...], int] = {(): 0}
        self._validators: dict[int, tuple[Schema, Validator]] = {}
        self.draft = draft_of(schema)
        check(schema, self.draft)
        check_vocabularies(schema, self._registry_given)
        self._add(schema, "", self.draft)
        self.root: Schema = self._copied(_Place(0, "", "", self.draft), schema)
        while self._asked:  # not a recursion: references make long chains
            place = self._asked.pop()
            self._copied(place, self._found(place))

    def pointer(self, schema: Schema) -> str:
        """Where this subschema stands; empty for one made while merging."""
        return self._pointers.get(id(schema), "")

    def target(self, reference: str) -> Schema:
        """The subschema that one of our references names."""
        return self._targets[reference]

    def accepts(self, schema: Schema, value: Any) -> bool:
        """Whether `value` satisfies a subschema of these documents."""
        known = self._validators.get(id(schema))
        if known is None:
            validator = VALIDATORS[Draft.D2020](
                schema, registry=self._registry, format_checker=self._format_checker
            )
            known = self._validators[id(schema)] = (schema, validator)
        return known[1].is_valid(value)

    @cached_property
    def _registry(self) -> Registry[Any]:
        def retrieve(uri: str) -> Resource[Any]:
            return DRAFT202012.create_resource(self._targets[uri])

        return Registry(retrieve=retrieve)  # type: ignore[call-arg]

    def _add(self, schema: Any, uri: str, draft: Draft) -> int:
        """Makes a document known by its URI and by every `$id` and anchor in it."""
        number = len(self._sources)
        self._sources.append(schema)
        start = _Place(number, "", uri, draft)
        self._names.setdefault(uri, start)
        for subschema, place in _subschemas(schema, start):
            if place.pointer == "" or _identifier(subschema, place.draft) is not None:
                self._names.setdefault(place.base, place)
            for keyword in ("$anchor", "$dynamicAnchor"):
                if isinstance(subschema.get(keyword), str):
                    self._names.setdefault(f"{place.base}#{subschema[keyword]}", place)
            dynamic = _dynamic_anchor(subschema, place.draft)
            if dynamic:
                self._dynamic.setdefault(place.base, {}).setdefault(dynamic, place)
            anchor = _plain_anchor(subschema, place.draft)
            if anchor:
                self._names.setdefault(f"{place.base}#{anchor}", place)
        return number

    def _found(self, place: _Place) -> Any:
        """What stands at `place`."""
        return _find(self._sources[place.document], place.pointer)

    def _copied(self, place: _Place, source: Any) -> Schema:
        """The copy of the subschema `source` at `place`."""
        name, schema = self._reserved(place, source)
        if name not in self._written:
            self._written.add(name)
            if isinstance(schema, dict):
                self._copy_schema(source, place, schema)
        return schema

    def _reserved(self, place: _Place, source: Any) -> tuple[str, Schema]:
        """The name and the copy of the subschema at `place`; what is in it may be missing yet."""
        scope = self._scopes.setdefault(place.scope, len(self._scopes))
        name = f"{BASE}{place.document or ''}{quote('#' + place.pointer, safe='')}"
        if scope:
            name += f"@{scope}"
        if name not in self._targets:
            self._targets[name] = source if isinstance(source, bool) else {}
        return name, self._targets[name]

    def _copy(self, value: Any, place: _Place, is_schema: bool) -> Any:
        if isinstance(value, list):
            return [
                self._copy(item, place.below(str(i)), is_schema) for i, item in enumerate(value)
            ]
        if not isinstance(value, dict):
            return value
        if is_schema:
            return self._copied(place, value)
        return {key: self._copy(item, place.below(key), True) for key, item in value.items()}

    def _copy_schema(self, source: dict[str, Any], place: _Place, copied: dict[str, Any]) -> None:
        place = self._scoped(_entered(source, place))
        self._pointers[id(copied)] = place.pointer
        inner: dict[str, Any] = {}
        hidden = place.draft <= Draft.D7 and "$ref" in source
        for key, item in source.items():
            if key == "$ref":
                inner[key] = self._resolve(item, place)
            elif hidden or key in _VALUES or key in _NAMES:
                inner[key] = item
            else:
                inner[key] = self._copy(item, place.below(key), key not in _MAPS)
        written = modern(inner, place.draft, self._legacy)
        for key in ("$id", "id", "$anchor", "$schema", "$dynamicAnchor"):
            written.pop(key, None)
        if isinstance(dynamic := written.pop("$dynamicRef", None), str):
            further = {"$ref": self._resolve_dynamic(dynamic, place)}
            written = {**written, "allOf": [*written.get("allOf", ()), further]}
        copied.update(written)

    def _scoped(self, place: _Place) -> _Place:
        """`place` with the dynamic anchors of its resource in scope."""
        known = dict(place.scope)
        new = {
            name: replace(anchor, scope=())
            for name, anchor in self._dynamic.get(place.base, {}).items()
            if name not in known
        }
        if not new:
            return place
        return replace(place, scope=tuple(sorted({**known, **new}.items(), key=itemgetter(0))))

    def _resolve_dynamic(self, reference: str, place: _Place) -> str:
        """The name of what a dynamic reference leads to in the scope of `place`."""
        if reference == f"#{RECURSIVE}":
            anchor, static = RECURSIVE, "#"
        else:
            anchor, static = urldefrag(reference)[1], reference
        target = self._locate(static, place)
        source = self._found(target)
        if isinstance(source, dict) and _dynamic_anchor(source, target.draft) == anchor:
            target = dict(place.scope).get(anchor, target)
        return self._asked_for(replace(target, scope=place.scope))

    def _resolve(self, reference: Any, place: _Place) -> str:
        """The name of what a reference at `place` leads to."""
        if not isinstance(reference, str):  # which metaschemas up to draft 7 let pass
            problem = f"{reference!r} is not a reference"
            raise SchemaError(problem, pointer=place.pointer, keyword="$ref")
        return self._asked_for(replace(self._locate(reference, place), scope=place.scope))

    def _asked_for(self, target: _Place) -> str:
        target = self._scoped(target)
        name, _ = self._reserved(target, self._found(target))
        if name not in self._written:
            self._asked.append(target)
        return name

    def _locate(self, reference: str, place: _Place) -> _Place:
        """Where a reference at `place` leads to."""
        # urljoin loses the base of schemes it does not know, urn: for one
        base = place.base
        whole = base + reference if reference.startswith("#") else urljoin(base, reference)
        url, fragment = urldefrag(whole)
        fragment = unquote(fragment)
        if url not in self._names:
            self._fetch(url)
        if fragment and not fragment.startswith("/"):
            target = self._names.get(f"{url}#{fragment}")
        else:
            target = self._names.get(url)
            if target is not None and fragment:
                target = self._walk(target, fragment)
        found = None if target is None else self._found(target)
        if target is None or not isinstance(found, dict | bool):
            raise SchemaError(
                f"reference {reference!r} names no schema in this document",
                pointer=place.pointer,
                keyword="$ref",
                hint="put the target under $defs, or give its document in the registry",
            )
        self._check_target(found, target)
        return target

    def _check_target(self, schema: Schema, place: _Place) -> None:
        """What the metaschema of its document does not see may be anything: `$defs` in draft 7."""
        key = place.document, place.pointer
        if key not in self._checked:
            self._checked.add(key)
            check(schema, place.draft, place.pointer)

    def _fetch(self, url: str) -> None:
        """Adds the document of `url`, if the registry or the standard has it."""
        given = self._registry_given
        schema = given.get(url, given.get(url + "#"))
        if schema is None:
            try:
                schema = REGISTRY.contents(url)
            except (Unresolvable, LookupError):
                return
        measure(schema)
        draft = draft_of(schema, self.draft)
        check(schema, draft)
        self._add(schema, url, draft)

    def _walk(self, start: _Place, fragment: str) -> _Place:
        """The place below `start`, with the base and draft that hold there."""
        value: Any = self._found(start)
        place = start
        for token in fragment.split("/")[1:]:
            if isinstance(value, dict):
                place = _entered(value, place)
            value = _find(value, "/" + token)
            place = place.below(unescape(token))
        return place


def _entered(schema: dict[str, Any], place: _Place) -> _Place:
    """`place` once the `$id` and `$schema` of the schema object there are read."""
    draft = draft_of(schema, place.draft)
    identifier = _identifier(schema, draft)
    if identifier is None and draft == place.draft:
        return place
    base = place.base if identifier is None else urldefrag(urljoin(place.base, identifier))[0]
    return replace(place, base=base, draft=draft)


def _identifier(schema: dict[str, Any], draft: Draft) -> str | None:
    if draft <= Draft.D7 and "$ref" in schema:
        return None
    identifier = schema.get("id" if draft <= Draft.D4 else "$id")
    return identifier if isinstance(identifier, str) and not identifier.startswith("#") else None


def _dynamic_anchor(schema: dict[str, Any], draft: Draft) -> str | None:
    """The name under which dynamic references find a schema object."""
    if draft == Draft.D2019:
        return RECURSIVE if schema.get("$recursiveAnchor") is True else None
    anchor = schema.get("$dynamicAnchor")
    return anchor if draft == Draft.D2020 and isinstance(anchor, str) else None


def _plain_anchor(schema: dict[str, Any], draft: Draft) -> str | None:
    """Up to draft 7 an `$id` that is only a fragment is an anchor."""
    if draft > Draft.D7:
        return None
    identifier = schema.get("id" if draft <= Draft.D4 else "$id")
    return identifier[1:] if isinstance(identifier, str) and identifier.startswith("#") else None


def _subschemas(
    value: Any, place: _Place, is_schema: bool = True
) -> Iterator[tuple[dict[str, Any], _Place]]:
    """Every subschema with its place; unknown keywords may hold schemas too."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _subschemas(item, place.below(str(i)), is_schema)
    if not isinstance(value, dict):
        return
    if is_schema:
        place = _entered(value, place)
        yield value, place
    for key, item in value.items():
        if isinstance(item, dict | list) and not (is_schema and key in _VALUES):
            inner = not is_schema or key not in _MAPS
            yield from _subschemas(item, place.below(key), inner)


def _find(value: Any, pointer: str) -> Any:
    """What `pointer` leads to in `value`; None for nothing."""
    for token in pointer.split("/")[1:]:
        if isinstance(value, list):
            value = value[int(token)] if token.isdigit() and int(token) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(unescape(token))
        else:
            return None
    return value
