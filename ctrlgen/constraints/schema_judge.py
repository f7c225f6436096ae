"""Jsonschema as the judge of whole texts, where the nodes alone do not guarantee everything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing import Resource
from referencing.jsonschema import specification_with

from ctrlgen.constraints.schema_document import Schema
from ctrlgen.constraints.schema_drafts import VALIDATORS, Draft
from ctrlgen.constraints.schema_formats import checker


class Judge:
    """Whether a text is an instance of a schema; pickles as what it was made from.

    Args:
        schema: The schema as given.
        draft: Its draft.
        registry: Other documents by URI.
        formats: Whether formats count.
    """

    def __init__(
        self, schema: Schema, draft: Draft, registry: Mapping[str, Any], formats: bool = True
    ) -> None:
        self._formats = formats
        self._schema = schema
        self._draft = draft
        self._given = dict(registry)

    def __call__(self, text: bytes) -> bool:
        """Judge a text; what is not JSON is no instance."""
        try:
            value = json.loads(text)
        except ValueError:
            return False
        return self._validator.is_valid(value)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Judge, (self._schema, self._draft, self._given, self._formats))

    @cached_property
    def _validator(self) -> Validator:
        validator = VALIDATORS[self._draft]
        metaschema = dict(validator.META_SCHEMA)
        default = specification_with(str(metaschema.get("$id") or metaschema.get("id")))
        resources = [
            (uri, Resource.from_contents(contents, default_specification=default))
            for uri, contents in self._given.items()
        ]
        registry = REGISTRY.with_resources(resources)
        formats = checker() if self._formats else None
        return validator(self._schema, registry=registry, format_checker=formats)
