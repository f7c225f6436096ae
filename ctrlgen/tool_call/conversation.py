"""Chat messages, with calls and results in them, as the plain messages that denoisers take.

A call is shown as the text that ctrlgen itself generates for it. A result comes from the user's
side: the chat templates of diffusion models know no other role for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ctrlgen.errors import SpecError
from ctrlgen.tool_call.descriptions import Tool

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def plain(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Messages with a role (system, user or assistant) and a text each.

    Args:
        messages: As OpenAI has them: `role`, `content` (a text, or a list of text parts), the
            assistant's `tool_calls`, and `tool_call_id` of a message with the role `tool`.

    Raises:
        SpecError: A message has no known role, holds something else than text, or answers a call
            that nobody made.
    """
    out: list[dict[str, str]] = []
    called: dict[str, str] = {}
    for i, message in enumerate(messages):
        role = message.get("role")
        if role in ("tool", "function"):
            key = message.get("tool_call_id")
            name = called.get(str(key)) or message.get("name")
            if name is None:
                raise SpecError(f"message {i} answers a call that nobody made: {key!r}")
            out.append({"role": "user", "content": f"{name}: {_text(message, i)}"})
        elif role in _ROLES:
            calls = message.get("tool_calls") or []
            called |= {str(call.get("id")): _name(call, i) for call in calls}
            texts = [*([_text(message, i)] if message.get("content") else []), *_shown(calls)]
            if not texts and not (role == "assistant" or message.get("content") == ""):
                raise SpecError(f"message {i} has no content")
            out.append({"role": _ROLES[role], "content": "\n".join(texts)})
        else:
            raise SpecError(
                f"message {i} has the role {role!r}",
                hint="there are system, developer, user, assistant and tool",
            )
    return out


def _text(message: Mapping[str, Any], i: int) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        if all(isinstance(text, str) for text in texts):
            return "".join(str(text) for text in texts)
    raise SpecError(f"the content of message {i} is no text", hint="there are text parts only")


def _name(call: Any, i: int) -> str:
    function = call.get("function") or call.get("custom") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise SpecError(f"a tool call of message {i} has no name")
    return str(function["name"])


def _shown(calls: Sequence[Mapping[str, Any]]) -> list[str]:
    shown = []
    for call in calls:
        function = call.get("function") or call["custom"]
        name = json.dumps(function["name"], ensure_ascii=False)
        if "input" in function:
            body = f'"input":{json.dumps(function["input"], ensure_ascii=False)}'
        else:
            body = f'"arguments":{function.get("arguments") or "{}"}'
        shown.append(f'{{"name":{name},{body}}}')
    return [f"[{','.join(shown)}]" if len(shown) > 1 else shown[0]] if shown else []


def instructions(tools: Iterable[Tool]) -> dict[str, str]:
    """A system message that describes tools, for models that learned to read descriptions."""
    lines = ["You can call these tools:"]
    for tool in tools:
        takes = "takes a text" if tool.input else json.dumps(tool.parameters, ensure_ascii=False)
        lines.append(f"- {tool.name}: {tool.description} {takes}".replace("  ", " "))
    lines.append(
        'Call one with {"name":...,"arguments":{...}}, several with a list of such objects, or '
        'answer with {"content":"..."}.'
    )
    return {"role": "system", "content": "\n".join(lines)}
