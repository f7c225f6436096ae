"""The drafts of JSON Schema, each rewritten to draft 2020-12, one schema object at a time."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from math import isfinite
from typing import Any

from jsonschema import (
    Draft3Validator,
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from ctrlgen.constraints.numeric import exact


class Draft(IntEnum):
    """The drafts in their order."""

    D3 = 3
    D4 = 4
    D6 = 6
    D7 = 7
    D2019 = 2019
    D2020 = 2020


def _multiple_of(
    validator: Validator, divisor: float, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    """On the decimals as written: jsonschema divides doubles, and 9.6366 is no 0.0001 to it."""
    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    if not isfinite(instance) or exact(instance) % exact(divisor):
        yield ValidationError(f"{instance!r} is not a multiple of {divisor}")


def _exact(validator: type[Validator]) -> type[Validator]:
    made: type[Validator] = extend(validator, {"multipleOf": _multiple_of})  # type: ignore[no-untyped-call]
    return made


VALIDATORS: dict[Draft, type[Validator]] = {
    Draft.D3: Draft3Validator,
    Draft.D4: _exact(Draft4Validator),
    Draft.D6: _exact(Draft6Validator),
    Draft.D7: _exact(Draft7Validator),
    Draft.D2019: _exact(Draft201909Validator),
    Draft.D2020: _exact(Draft202012Validator),
}
_URIS = {
    "json-schema.org/draft-03/schema": Draft.D3,
    "json-schema.org/draft-04/schema": Draft.D4,
    "json-schema.org/draft-06/schema": Draft.D6,
    "json-schema.org/draft-07/schema": Draft.D7,
    "json-schema.org/draft/2019-09/schema": Draft.D2019,
    "json-schema.org/draft/2020-12/schema": Draft.D2020,
}
# The keywords that came with a later draft; before it they say nothing.
_SINCE: dict[str, Draft] = {
    **dict.fromkeys(("const", "contains", "propertyNames"), Draft.D6),
    **dict.fromkeys(("if", "then", "else"), Draft.D7),
    **dict.fromkeys(
        ("dependentRequired", "dependentSchemas", "minContains", "maxContains", "$anchor",
         "unevaluatedProperties", "unevaluatedItems", "$recursiveRef", "$recursiveAnchor"),
        Draft.D2019,
    ),
    **dict.fromkeys(("prefixItems", "$dynamicRef", "$dynamicAnchor"), Draft.D2020),
}  # fmt: skip


def draft_of(schema: Any, default: Draft = Draft.D2020) -> Draft:
    """The draft that `$schema` names; `default` where it names none that is known."""
    uri = schema.get("$schema") if isinstance(schema, dict) else None
    if not isinstance(uri, str):
        return default
    return _URIS.get(uri.partition("://")[2].rstrip("#").rstrip("/"), default)


def modern(schema: dict[str, Any], draft: Draft, legacy: bool = False) -> dict[str, Any]:
    """The same schema object in the words of draft 2020-12; what is inside it stays as it is.

    Args:
        schema: The schema object.
        draft: Its draft.
        legacy: Read `dependencies` in later drafts too, which the standard has not got there.
    """
    if draft <= Draft.D7 and "$ref" in schema:
        return {"$ref": schema["$ref"]}  # its siblings say nothing
    found = {key: value for key, value in schema.items() if _SINCE.get(key, draft) <= draft}
    if draft <= Draft.D7 or legacy:
        _dependencies(found)
    if draft == Draft.D2020:
        return found
    _items(found)
    _recursion(found)
    if draft <= Draft.D4:
        _bounds(found)
    if draft == Draft.D2019 and "unevaluatedItems" in found and "contains" in found:
        # There `contains` does not count as evaluating items: two negations hide it.
        counts = ("contains", "minContains", "maxContains")
        hidden = {key: found.pop(key) for key in counts if key in found}
        found["allOf"] = [*found.get("allOf", ()), {"not": {"not": hidden}}]
    return found


def _items(schema: dict[str, Any]) -> None:
    further = schema.pop("additionalItems", None)
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if further is not None:
            schema["items"] = further


def _recursion(schema: dict[str, Any]) -> None:
    schema.pop("$recursiveAnchor", None)
    if "$recursiveRef" in schema:
        schema.pop("$recursiveRef")
        schema["$dynamicRef"] = f"#{RECURSIVE}"


RECURSIVE = "ctrlgen-recursive"


def _dependencies(schema: dict[str, Any]) -> None:
    if not isinstance(schema.get("dependencies"), dict):
        return
    for key, asked in schema.pop("dependencies").items():
        if isinstance(asked, list | str):
            names = [asked] if isinstance(asked, str) else asked
            schema.setdefault("dependentRequired", {})[key] = names
        else:
            schema.setdefault("dependentSchemas", {})[key] = asked


def _bounds(schema: dict[str, Any]) -> None:
    """Draft 4 has `exclusiveMinimum: true` beside `minimum`."""
    for exclusive, inclusive in (
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ):
        flag = schema.get(exclusive)
        if isinstance(flag, bool):
            del schema[exclusive]
            if flag and inclusive in schema:
                schema[exclusive] = schema.pop(inclusive)
