"""`structural_tag`, as xgrammar and vLLM write it, as a Spec.

Of its formats those are taken whose place on a canvas is known: texts, schemas, tags, sequences and
alternatives. What waits for a trigger in free text (`triggered_tags`, `tags_with_separator`) is
refused.
"""

from __future__ import annotations

from typing import Any

from ctrlgen.server.faults import Fault
from ctrlgen.server.limits import check_grammar, check_schema, check_text, read_json_text
from ctrlgen.server.settings import Settings
from ctrlgen.spec import Spec, regex
from ctrlgen.tool_call.choice import literal
from ctrlgen.tool_call.descriptions import ANY_TEXT

MAX_DEPTH = 16
MAX_PARTS = 200


def read_structural_tag(value: Any, settings: Settings, param: str) -> Spec:
    """The spec of a structural tag, given as an object or as its JSON text.

    Raises:
        Fault: It is none, or of a kind that is not supported.
    """
    if isinstance(value, str):
        value = read_json_text(value, settings, param)
    if not isinstance(value, dict) or "format" not in value:
        raise Fault(
            400,
            f'{param} is an object {{"type": "structural_tag", "format": {{...}}}}',
            param,
            "invalid_value",
        )
    check_schema(value, settings, param)
    return _Reader(settings).format(value["format"], f"{param}.format", 0)


class _Reader:
    """Reads formats inside formats, so many and so deep at most."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.count = settings, 0

    def format(self, value: Any, param: str, depth: int) -> Spec:
        """The spec of one format."""
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_PARTS:
            raise Fault(400, f"{param}: too many formats", param, "constraint_too_large")
        match value:
            case {"type": "const_string", "value": str(text)} if text:
                return literal(text)
            case {"type": "json_schema", "json_schema": dict() | bool() as schema}:
                return Spec("json", schema=schema)
            case {"type": "regex", "pattern": pattern}:
                return regex(check_text(pattern, self.settings.max_regex, f"{param}.pattern"))
            case {"type": "grammar", "grammar": grammar}:
                return read_grammar(grammar, self.settings, f"{param}.grammar")
            case {"type": "any_text"} if not value.keys() - {"type"}:
                return regex(ANY_TEXT)
            case {"type": "sequence" | "or" as kind, "elements": list(items)} if items:
                parts = [self.format(v, f"{param}.{i}", depth + 1) for i, v in enumerate(items)]
                return Spec("sequence" if kind == "sequence" else "either", parts=tuple(parts))
            case {"type": "tag", "begin": str(begin), "content": content, "end": str(end)}:
                inner = self.format(content, f"{param}.content", depth + 1)
                ends = [literal(text) for text in (begin, end) if text]
                first = ends[:1] if begin else []
                return Spec("sequence", parts=(*first, inner, *ends[len(first) :]))
        kind = value.get("type") if isinstance(value, dict) else value
        raise Fault(
            400,
            f"{param}: {kind!r:.40} is no supported format; there are const_string, json_schema, "
            "regex, grammar, any_text, sequence, or, tag",
            param,
            "unsupported_constraint",
        )


def read_grammar(text: Any, settings: Settings, param: str) -> Spec:
    """A grammar in Lark's notation or, where rules are written with `::=`, in GBNF."""
    grammar = check_grammar(text, settings, param)
    return Spec("grammar", grammar=grammar, syntax="gbnf" if "::=" in grammar else "lark")
