"""The Spec in words, for models that read instructions.

A constraint makes any answer valid; a model that was told what is wanted puts more of its own
probability there. The embedded model sees the scaffold instead and was trained without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ctrlgen.spec import Spec

_ONLY = "Answer with nothing but"
Messages = Sequence[Mapping[str, str]]


def description(spec: Spec) -> str:
    """What an answer must look like."""
    match spec.kind:
        case "regex":
            return f"{_ONLY} text that matches this regular expression:\n{spec.pattern}"
        case "grammar":
            rule = "" if spec.start == "start" else f", from the rule {spec.start!r} on"
            return f"{_ONLY} text of this Lark grammar{rule}:\n{spec.grammar.strip()}"
        case "choice":
            return "\n".join([f"{_ONLY} one of these lines:", *spec.choices])
    schema = json.dumps(spec.schema, ensure_ascii=False, separators=(",", ":"))
    return f"{_ONLY} JSON of this JSON Schema:\n{schema}"


def described(messages: Messages, spec: Spec) -> list[dict[str, str]]:
    """The messages with the description behind the last one of the user.

    It is not a system message, since templates may know none or only the first.
    """
    out = [dict(message) for message in messages]
    last = next((m for m in reversed(out) if m["role"] == "user"), None)
    if last is None:
        return [*out, {"role": "user", "content": description(spec)}]
    last["content"] = f"{last['content']}\n\n{description(spec)}"
    return out
