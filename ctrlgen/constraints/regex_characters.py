r"""The characters that one item of a pattern matches, exactly as Python's `re` has them."""

from __future__ import annotations

import re
from re import _parser
from typing import Any

from .charset import (
    NEWLINE,
    Ranges,
    complement,
    escape_class,
    fold_case,
    is_cased,
    lower_case_in,
    normalise,
)

_CATEGORIES = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}


def members(operation: str, argument: Any, flags: int, *, ecma: bool) -> Ranges:
    """The characters of `.`, a literal or a class, as Python's parser has read it."""
    if operation == "ANY":
        return complement(() if flags & re.DOTALL else NEWLINE)
    items = argument if operation == "IN" else [(_parser.LITERAL, argument)]
    negated = operation == "NOT_LITERAL"
    spelled: list[tuple[int, int]] = []
    categories: list[tuple[int, int]] = []
    for kind, value in items:
        if kind is _parser.NEGATE:
            negated = True
        elif kind is _parser.CATEGORY:
            categories.extend(_category(value, flags))
        else:
            spelled.append(value if kind is _parser.RANGE else (value, value))
    found, named = normalise(spelled), normalise(categories)
    if flags & re.IGNORECASE:
        ascii_only = bool(flags & re.ASCII) and not ecma
        if is_cased(found, ascii_only=ascii_only):
            # Python looks for the lower case of a character in the whole class, but only then.
            named = lower_case_in(named, ascii_only=ascii_only)
            found = fold_case(found, ascii_only=ascii_only)
    found = normalise((*found, *named))
    return complement(found) if negated else found


def _category(value: Any, flags: int) -> Ranges:
    """The members of a category such as `CATEGORY_NOT_SPACE`."""
    name = str(value).removeprefix("CATEGORY_")
    letter = _CATEGORIES[name.removeprefix("NOT_")]
    letter = letter.upper() if name.startswith("NOT_") else letter
    return escape_class(letter, ascii_only=bool(flags & re.ASCII))
