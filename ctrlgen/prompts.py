"""What may be asked: a text, or chat messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ctrlgen.errors import PromptError

Prompt = str | Sequence[dict[str, str]]

ROLES = ("system", "developer", "user", "assistant", "tool", "record")
"""Whose words a message may be; a `record` is what the embedded model puts into words."""


def messages_of(prompt: Any) -> list[dict[str, Any]]:
    """The chat messages that a prompt is.

    Raises:
        PromptError: It is neither a text nor messages, or holds what no UTF-8 can spell.
    """
    if isinstance(prompt, str):
        return [{"role": "user", "content": _text(prompt, "the prompt")}]
    if not isinstance(prompt, Sequence) or isinstance(prompt, bytes) or not prompt:
        raise PromptError(
            f"a prompt is a text or a list of chat messages, not {prompt!r:.80}",
            hint='give "…", or [{"role": "user", "content": "…"}]',
        )
    return [_message(message, number) for number, message in enumerate(prompt)]


def _message(message: Any, number: int) -> dict[str, Any]:
    name = f"message {number}"
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        role = message.get("role") if isinstance(message, dict) else message
        raise PromptError(f"{name} has no role that is known: {role!r:.80}", hint=", ".join(ROLES))
    return {**message, "content": _text(message.get("content"), f"the content of {name}")}


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise PromptError(f"{name} is not a text but {value!r:.80}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"{name} holds a lone surrogate at position {error.start}",
            hint="decode the bytes that it came from as UTF-8",
        ) from error
    return value
