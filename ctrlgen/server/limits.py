"""How large a constraint may be before anything is made of it."""

from __future__ import annotations

import json
import re
from typing import Any

from ctrlgen.server.faults import Fault
from ctrlgen.server.settings import Settings

# Lark reads files that a grammar imports, its own `common` among them.
_IMPORT = re.compile(r"%import\s*+(?!common\b)\S*")


def check_schema(schema: Any, settings: Settings, param: str) -> None:
    """Refuse a schema that is too large or too deep.

    Raises:
        Fault: It is.
    """
    level, depth = [schema], 0
    while level := [inner for value in level for inner in _inside(value)]:
        depth += 1
        if depth > settings.max_depth:
            raise _too_large("the schema is nested too deeply", settings.max_depth, param)
    size = len(json.dumps(schema, separators=(",", ":")))  # recurses: only so deep
    if size > settings.max_schema:
        raise _too_large(f"the schema has {size} characters", settings.max_schema, param)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def check_text(text: Any, limit: int, param: str) -> str:
    """A pattern or a grammar, if it is a text that is not too long.

    Raises:
        Fault: It is not.
    """
    if not isinstance(text, str):
        raise Fault(400, f"{param}: a text is expected", param, "invalid_value")
    if len(text) > limit:
        raise _too_large(f"{param} has {len(text)} characters", limit, param)
    return text


def read_json_text(text: Any, settings: Settings, param: str) -> Any:
    """What a text holds that is no longer than a schema may be.

    Raises:
        Fault: It is no text, too long, or not JSON.
    """
    try:
        return json.loads(check_text(text, settings.max_schema, param))
    except (ValueError, RecursionError):
        raise Fault(400, f"{param} is not JSON", param, "invalid_value") from None


def check_grammar(text: Any, settings: Settings, param: str) -> str:
    """A grammar that reads no files.

    Raises:
        Fault: It is no text, too long, or imports something else than `common`.
    """
    grammar = check_text(text, settings.max_grammar, param)
    found = _IMPORT.search(grammar)
    if found:
        message = f"a grammar imports from `common` only, not {found[0]!r:.80}"
        raise Fault(400, message, param, "invalid_constraint")
    return grammar


def _too_large(what: str, limit: int, param: str) -> Fault:
    return Fault(400, f"{what}; at most {limit} are allowed", param, "constraint_too_large")
