"""What a stream of chat chunks has sent, and what it sends next.

Clients append what they are sent, so only what is certain is sent: the committed prefix. Of an
answer with tools, names come whole and arguments in pieces, as OpenAI streams them.
"""

from __future__ import annotations

from typing import Any

from ctrlgen.server.wanted import Wanted
from ctrlgen.tool_call.calls import call_id
from ctrlgen.tool_call.partial import PartialCall, partial_calls, partial_text


class Deltas:
    """The pieces of one answer.

    Args:
        wanted: The form of the answer.

    Attributes:
        content: The text sent so far.
        calls: The calls sent so far, each with its id.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._holds_calls = wanted.kind == "calls"
        self.content = ""
        self.calls: list[tuple[str, PartialCall]] = []

    def advance(self, prefix: str) -> tuple[str, list[tuple[int, PartialCall, str]]]:
        """What is new in a committed prefix.

        Returns:
            The piece of text; and per call with something new its number, the call, and the piece
            of its arguments. A call that is heard of for the first time is there even if the piece
            is empty.
        """
        content = partial_text(prefix) if self._holds_calls else prefix
        piece, self.content = content[len(self.content) :], content
        found = partial_calls(prefix) if self._holds_calls else []
        news = []
        for i, call in enumerate(found):
            if i == len(self.calls):
                self.calls.append((call_id(), call))
                news.append((i, call, call.text))
                continue
            key, sent = self.calls[i]
            if call.text != sent.text:
                news.append((i, call, call.text[len(sent.text) :]))
                self.calls[i] = key, call
        return piece, news


def chat_deltas(deltas: Deltas, prefix: str) -> list[dict[str, Any]]:
    """The `delta` objects of chat chunks for what is new in a prefix."""
    known = len(deltas.calls)
    piece, news = deltas.advance(prefix)
    out: list[dict[str, Any]] = [{"content": piece}] if piece else []
    for i, call, text in news:
        kind = "function" if call.kind == "arguments" else "custom"
        if i >= known:
            opened = {"name": call.name, call.kind: ""}
            first = {"index": i, "id": deltas.calls[i][0], "type": kind, kind: opened}
            out.append({"tool_calls": [first]})
        if text:
            out.append({"tool_calls": [{"index": i, kind: {call.kind: text}}]})
    return out
