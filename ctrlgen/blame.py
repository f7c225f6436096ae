"""Which fields of an answer pydantic refuses, as JSON pointers (RFC 6901)."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from ctrlgen.json_pointer import escape


def blamed(error: ValidationError, text: str) -> tuple[str, ...]:
    """The pointers of the values that an error names; "" where it is the answer as a whole.

    Args:
        error: What pydantic said.
        text: The JSON text that it said it of.
    """
    value = json.loads(text)
    return tuple(sorted({_pointer(value, each["loc"]) for each in error.errors()}))


def _pointer(value: Any, location: tuple[int | str, ...]) -> str:
    """The pointer of a location; what is no key or index in the value is the tag of a union."""
    out = ""
    for part in location:
        inside = part in value if isinstance(value, dict) else isinstance(value, list)
        if inside and not (isinstance(value, list) and part not in range(len(value))):
            value = value[part]
            out += "/" + escape(str(part))
    return out
