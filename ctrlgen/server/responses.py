"""`/v1/responses`: OpenAI's newer interface. Nothing is stored between requests."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from ctrlgen.result import Result
from ctrlgen.server.body import read_json
from ctrlgen.server.chat import event_stream, told_of, usage_of
from ctrlgen.server.conversation_items import messages_of
from ctrlgen.server.deltas import Deltas
from ctrlgen.server.requests import ResponsesRequest, read
from ctrlgen.server.service import Service, Ticket
from ctrlgen.server.wanted import Wanted, read_wanted
from ctrlgen.tool_call.calls import call_id, calls_of

Event = dict[str, Any]


async def responses(service: Service, request: Request) -> Response:
    """Answer a conversation of items."""
    body = await read_json(request, service.settings)
    asked = read(ResponsesRequest, body, service.settings.model_name)
    wanted = read_wanted(
        service.settings,
        response_format=asked.text.format if asked.text else None,
        structured_outputs=asked.structured_outputs,
        offered=asked.tools,
        tool_choice=asked.tool_choice,
        parallel=asked.parallel_tool_calls,
        format_param="text.format",
    )
    messages = messages_of(asked.input, asked.instructions)
    ticket = await service.open(request, asked, wanted, messages, asked.max_output_tokens)
    head = _head(service, asked)
    if asked.stream:
        return event_stream(ticket, _events(service, ticket, wanted, head))
    result, tokens = await service.answer(request, ticket)
    return JSONResponse(_completed(service, head, _output(result, wanted), result, tokens))


def _head(service: Service, asked: ResponsesRequest) -> dict[str, Any]:
    """What an answer repeats of its question."""
    return {
        "id": _id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "model": service.settings.model_name,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "metadata": {},
        "output": [],
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "temperature": asked.temperature or 0.0,
        "top_p": 1.0,
        "tool_choice": asked.tool_choice or "auto",
        "tools": asked.tools or [],
        "text": {"format": (asked.text and asked.text.format) or {"type": "text"}},
        "usage": None,
    }


def _completed(
    service: Service, head: dict[str, Any], output: list[Event], result: Result, tokens: int
) -> dict[str, Any]:
    counted = usage_of(service, result, tokens)
    usage = {
        "input_tokens": counted["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counted["total_tokens"],
    }
    done = {"status": "completed", "output": output, "usage": usage}
    return {**head, **done, "ctrlgen": told_of(result)}


def _output(result: Result, wanted: Wanted) -> list[Event]:
    """The items of an answer."""
    if wanted.kind == "content":
        return [_message(_id("msg"), result.text)]
    calls = calls_of(result.output)
    if not calls:
        return [_message(_id("msg"), result.output)]
    return [
        _call(_id("fc"), call_id(), call.name, call.arguments_json())
        if call.input is None
        else _custom(_id("ctc"), call_id(), call.name, call.input)
        for call in calls
    ]


def _id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def _message(key: str, text: str | None, status: str = "completed") -> Event:
    content = [] if text is None else [_part(text)]
    return {"type": "message", "id": key, "role": "assistant", "status": status, "content": content}


def _part(text: str) -> Event:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(key: str, call: str, name: str, arguments: str, status: str = "completed") -> Event:
    told = {"type": "function_call", "id": key, "call_id": call, "name": name}
    return {**told, "arguments": arguments, "status": status}


def _custom(key: str, call: str, name: str, text: str) -> Event:
    return {"type": "custom_tool_call", "id": key, "call_id": call, "name": name, "input": text}


class _Items:
    """The items of a stream, one open at a time."""

    def __init__(self) -> None:
        self.done: list[Event] = []
        self._kind, self._key, self._call, self._name, self._text = "", "", "", "", ""

    @property
    def _at(self) -> Event:
        return {"output_index": len(self.done), "item_id": self._key}

    def open_message(self) -> list[Event]:
        """The beginning of a text."""
        self._kind, self._key, self._text = "message", _id("msg"), ""
        item = _message(self._key, None, "in_progress")
        part = {**self._at, "content_index": 0, "part": _part("")}
        return [
            {"type": "response.output_item.added", "output_index": len(self.done), "item": item},
            {"type": "response.content_part.added", **part},
        ]

    def open_call(self, name: str, kind: str) -> list[Event]:
        """The beginning of a call."""
        custom = kind == "input"
        self._kind, self._key = kind, _id("ctc" if custom else "fc")
        self._call, self._name, self._text = call_id(), name, ""
        item = self._item("in_progress")
        return [
            {"type": "response.output_item.added", "output_index": len(self.done), "item": item}
        ]

    def write(self, piece: str) -> list[Event]:
        """A piece of what is open."""
        if not piece:
            return []
        self._text += piece
        told = {**self._at, "delta": piece}
        if self._kind == "message":
            told |= {"content_index": 0, "logprobs": []}
        return [{"type": f"{_STREAMS[self._kind]}.delta", **told}]

    def close(self) -> list[Event]:
        """The end of what is open."""
        if not self._kind:
            return []
        at, item = self._at, self._item("completed")
        events: list[Event] = []
        if self._kind == "message":
            part = {**at, "content_index": 0}
            events += [
                {"type": "response.output_text.done", **part, "text": self._text, "logprobs": []},
                {"type": "response.content_part.done", **part, "part": _part(self._text)},
            ]
        else:
            told = {**at, self._kind: self._text, "name": self._name}
            events.append({"type": f"{_STREAMS[self._kind]}.done", **told})
        done = {"output_index": len(self.done), "item": item}
        self.done.append(item)
        self._kind = ""
        return [*events, {"type": "response.output_item.done", **done}]

    def _item(self, status: str) -> Event:
        if self._kind == "message":
            return _message(self._key, self._text, status)
        if self._kind == "input":
            return _custom(self._key, self._call, self._name, self._text)
        return _call(self._key, self._call, self._name, self._text, status)


_STREAMS = {
    "message": "response.output_text",
    "arguments": "response.function_call_arguments",
    "input": "response.custom_tool_call_input",
}


async def _events(
    service: Service, ticket: Ticket, wanted: Wanted, head: dict[str, Any]
) -> AsyncIterator[Event | str]:
    """All events of a stream, numbered."""
    number = 0
    async for event in _unnumbered(service, ticket, wanted, head):
        yield {**event, "sequence_number": number}
        number += 1


async def _unnumbered(
    service: Service, ticket: Ticket, wanted: Wanted, head: dict[str, Any]
) -> AsyncIterator[Event]:
    yield {"type": "response.created", "response": head}
    yield {"type": "response.in_progress", "response": head}
    deltas, items, begun = Deltas(wanted), _Items(), False
    async for progress in ticket:
        known = len(deltas.calls)
        piece, news = deltas.advance(progress.text)
        events: list[Event] = []
        if piece:
            events += [] if begun else items.open_message()
            events += items.write(piece)
            begun = True
        for i, call, text in news:
            if i >= known:
                events += [*items.close(), *items.open_call(call.name, call.kind)]
            events += items.write(text)
        for event in events:
            yield event
        if progress.result is not None:
            for event in items.close():
                yield event
            done = _completed(service, head, items.done, progress.result, progress.tokens)
            yield {"type": "response.completed", "response": done}
