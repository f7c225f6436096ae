"""The Spec in words, for models that read instructions.

A constraint makes any answer valid; a model that was told what is wanted puts more of its own
probability there. The embedded model sees the scaffold instead and was trained without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Any

from ctrlgen.spec import Spec

_ONLY = "Answer with nothing but"
_NOTATION = {"lark": "Lark", "gbnf": "GBNF", "ebnf": "EBNF"}
_NULL = "Write null for every key that the text gives no value for."
Messages = Sequence[Mapping[str, str]]


def description(spec: Spec) -> str:
    """What an answer must look like."""
    return f"{_ONLY} {_wanted(spec)}"


def _wanted(spec: Spec) -> str:
    match spec.kind:
        case "regex":
            return f"text that matches this regular expression:\n{spec.pattern}"
        case "grammar":
            rule = f", from the rule {spec.start!r} on" if spec.start else ""
            return f"text of this {_NOTATION[spec.syntax]} grammar{rule}:\n{spec.grammar.strip()}"
        case "choice":
            return "\n".join(["one of these lines:", *spec.choices])
        case "sequence":
            return _of_parts("these parts, with nothing between them", spec.parts)
        case "either" if len(spec.parts) > 1:
            return _of_parts("one of these", spec.parts)
        case "either":
            return _wanted(spec.parts[0])
        case "list":
            return f"a JSON array of two or more elements, each of them {_wanted(spec.parts[0])}"
        case "quoted":
            return f"a JSON string, in quotes and escaped, of {_wanted(spec.parts[0])}"
    schema = json.dumps(spec.schema, ensure_ascii=False, separators=(",", ":"))
    return f"JSON of this JSON Schema:\n{schema}"


def _of_parts(head: str, parts: Sequence[Spec]) -> str:
    """A numbered list; what a part says on further lines is indented below it."""
    lines = [f"{i}. {indent(_part(part), '   ').lstrip()}" for i, part in enumerate(parts, 1)]
    return "\n".join([f"{head}:", *lines])


def _part(part: Spec) -> str:
    if part.kind == "choice" and len(part.choices) == 1:
        return f"exactly this text: {part.choices[0]}"
    return _wanted(part)


def _has_optional_keys(schema: Any) -> bool:
    """Whether a member may be left out anywhere in a schema."""
    if isinstance(schema, list):
        return any(map(_has_optional_keys, schema))
    if not isinstance(schema, dict):
        return False
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(properties, dict) and not properties.keys() <= set(required or ()):
        return True
    return any(map(_has_optional_keys, schema.values()))


def described(
    messages: Messages, spec: Spec, *, null_is_absent: bool = False
) -> list[dict[str, str]]:
    """The messages with the description behind the last one of the user.

    It is not a system message, since templates may know none or only the first.

    Args:
        messages: The prompt.
        spec: What is wanted.
        null_is_absent: Whether a key without a value is to be told by `null`, as S3 does
            (arXiv:2507.04504), since the model knows no other sign.
    """
    wanted = description(spec)
    if null_is_absent and _has_optional_keys(spec.schema):
        wanted += f"\n{_NULL}"
    out = [dict(message) for message in messages]
    last = next((m for m in reversed(out) if m["role"] == "user"), None)
    if last is None:
        return [*out, {"role": "user", "content": wanted}]
    last["content"] = f"{last['content']}\n\n{wanted}"
    return out
