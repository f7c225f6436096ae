"""What a docstring says: of the function, and of each parameter.

Two layouts are read: Google's (`Args:`, then `name: text` or `name (type): text`, indented) and
Sphinx's (`:param name: text`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_SECTION = re.compile(r"^(Args|Arguments|Parameters):\s*$")
_ITEM = re.compile(r"^\*{0,2}(\w+)(?: *\([^)]*\))? *: *(.*)$")
_FIELD = re.compile(r"^:param (?:[^:]*[ *])?(\w+): *(.*)$")
_OTHER = re.compile(r"^(:\w|[A-Z]\w+:\s*$)")


def read(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The description of a function and those of its parameters, each in one line."""
    lines = (inspect.getdoc(function) or "").splitlines()
    start = next((i for i, line in enumerate(lines) if _OTHER.match(line)), len(lines))
    return " ".join(" ".join(lines[:start]).split()), _google(lines) | _sphinx(lines)


def _google(lines: list[str]) -> dict[str, str]:
    start = next((i for i, line in enumerate(lines) if _SECTION.match(line)), None)
    if start is None:
        return {}
    found: dict[str, str] = {}
    last, depth = "", 0
    for line in lines[start + 1 :]:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if text and not indent:
            break
        depth = depth or indent
        item = _ITEM.match(text)
        if item and indent <= depth:
            last = item[1]
            found[last] = item[2]
        elif last and text:
            found[last] = f"{found[last]} {text}".strip()
    return found


def _sphinx(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    last = ""
    for line in lines:
        field = _FIELD.match(line)
        if field:
            last = field[1]
            found[last] = field[2]
        elif last and line.startswith(" "):
            found[last] = f"{found[last]} {line.strip()}".strip()
        else:
            last = ""
    return found
