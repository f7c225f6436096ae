"""Keywords of a JSON Schema that look like a known one misspelt.

An unknown keyword is an annotation and says nothing: `maxLenght` limits no string. That is no
error, but hardly ever meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from ctrlgen.json_pointer import escape

_SCHEMAS = frozenset(
    ("not", "if", "then", "else", "contains", "propertyNames", "items", "additionalItems",
     "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contentSchema", "allOf",
     "anyOf", "oneOf", "prefixItems")
)  # fmt: skip
_MAPS = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
_ASSERTIONS = (
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minLength", "maxLength", "pattern", "format", "minItems", "maxItems",
    "uniqueItems", "minContains", "maxContains", "minProperties", "maxProperties", "required",
    "dependentRequired", "$ref", "$dynamicRef", "$recursiveRef",
)  # fmt: skip
_SILENT = frozenset(
    ("$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary",
     "$comment", "title", "description", "default", "examples", "example", "deprecated",
     "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "discriminator", "nullable",
     "xml", "externalDocs", "optional", "optionalProperties")
)  # fmt: skip
KEYWORDS = _SCHEMAS | _MAPS | frozenset(_ASSERTIONS)
_FOLDED = {known.lower(): known for known in KEYWORDS - {"$defs", "definitions"}}
_CLOSE = 0.8  # of difflib: one wrong letter in five
_SHORT = 5  # keywords below this length resemble too many words
_LONG = 40


def misspelled(schema: Any) -> Iterator[tuple[str, str, str]]:
    """The unknown keywords that are close to one that asserts something.

    Args:
        schema: A JSON Schema; anything that is none is passed over.

    Yields:
        The JSON pointer of the schema object, the keyword, and what it may be meant to be.
    """
    waiting = [("", schema)]
    while waiting:
        pointer, value = waiting.pop()
        if not isinstance(value, dict):
            continue
        for keyword, inner in value.items():
            meant = _meant(keyword)
            if meant is not None and meant not in value:
                yield pointer, keyword, meant
            below = f"{pointer}/{escape(keyword)}"
            if keyword in _MAPS and isinstance(inner, dict):
                waiting += [(f"{below}/{escape(name)}", each) for name, each in inner.items()]
            elif keyword in _SCHEMAS and isinstance(inner, list):
                waiting += [(f"{below}/{index}", each) for index, each in enumerate(inner)]
            elif keyword in _SCHEMAS:
                waiting.append((below, inner))


@lru_cache(maxsize=4096)
def _meant(keyword: str) -> str | None:
    """The known keyword that an unknown one resembles."""
    if keyword in KEYWORDS or keyword in _SILENT or len(keyword) > _LONG:
        return None
    if not (keyword[:1].isalpha() or keyword[:1] == "$") or keyword.startswith("x-"):
        return None  # `_format`, `//pattern`, `x-format`: put aside, or somebody's own
    plain = keyword.replace("_", "").lower()
    close = _CLOSE if len(keyword) >= _SHORT else 1.0
    found = get_close_matches(plain, _FOLDED, 1, close)
    return _FOLDED[found[0]] if found else None
