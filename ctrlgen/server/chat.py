"""`/v1/chat/completions`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from ctrlgen.result import Result
from ctrlgen.server.batching import Progress
from ctrlgen.server.body import read_json
from ctrlgen.server.deltas import Deltas, chat_deltas
from ctrlgen.server.faults import Fault
from ctrlgen.server.requests import ChatRequest, StreamOptions, read
from ctrlgen.server.service import Service, Ticket
from ctrlgen.server.wanted import Wanted, read_wanted
from ctrlgen.tool_call.calls import call_id, call_message, calls_of


async def chat(service: Service, request: Request) -> Response:
    """Answer a conversation."""
    body = await read_json(request, service.settings)
    asked = read(ChatRequest, body, service.settings.model_name)
    extras = stream_options(asked.stream, asked.stream_options)
    wanted = read_wanted(
        service.settings,
        response_format=asked.response_format,
        structured_outputs=asked.structured_outputs,
        offered=asked.tools,
        tool_choice=asked.tool_choice,
        parallel=asked.parallel_tool_calls,
    )
    limit = asked.max_completion_tokens or asked.max_tokens
    ticket = await service.open(
        request, asked, wanted, asked.messages, limit, previews=extras.include_canvas
    )
    head = head_of("chatcmpl", service)
    if asked.stream:
        return event_stream(ticket, _chunks(service, ticket, wanted, extras, head))
    result, tokens = await service.answer(request, ticket)
    message, reason = _message(result, wanted)
    return JSONResponse(
        {
            **head,
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
            ],
            "usage": usage_of(service, result, tokens),
            "ctrlgen": told_of(result),
        }
    )


def stream_options(stream: bool | None, options: StreamOptions | None) -> StreamOptions:
    """What a stream says besides the answer.

    Raises:
        Fault: There are options, but no stream.
    """
    if options is not None and not stream:
        raise Fault(400, "stream_options without stream", "stream_options", "invalid_value")
    return options or StreamOptions()


def head_of(prefix: str, service: Service) -> dict[str, Any]:
    """Id, time and model of an answer."""
    key = f"{prefix}-{secrets.token_hex(12)}"
    return {"id": key, "created": int(time.time()), "model": service.settings.model_name}


def usage_of(service: Service, result: Result, tokens: int) -> dict[str, int]:
    """What an answer cost, as OpenAI counts it."""
    prompt = result.usage.prompt_tokens
    service.metrics.tokens(prompt, tokens)
    total = prompt + tokens
    return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": total}


def told_of(result: Result) -> dict[str, Any]:
    """What an answer cost, as ctrlgen counts it; `finish_reason` tells a deadline from the rest."""
    usage = result.usage
    return {
        "finish_reason": result.finish_reason,
        "forward_passes": usage.forward_passes,
        "canvas_tokens": usage.canvas_tokens,
    }


def _message(result: Result, wanted: Wanted) -> tuple[dict[str, Any], str]:
    """The message and the finish reason of an answer."""
    message: dict[str, Any] = {"role": "assistant", "content": result.text, "refusal": None}
    if wanted.kind == "content":
        return message, "stop"
    calls = calls_of(result.output)
    if not calls:
        return message | {"content": result.output}, "stop"
    written = [call_message(call, call_id()) for call in calls]
    return message | {"content": None, "tool_calls": written}, _reason(wanted)


def _reason(wanted: Wanted) -> str:
    """A call of a tool that the request named counts as an answer."""
    return "stop" if wanted.named else "tool_calls"


async def _chunks(
    service: Service, ticket: Ticket, wanted: Wanted, extras: StreamOptions, head: dict[str, Any]
) -> AsyncIterator[dict[str, Any] | str]:
    """Chat chunks, and the mark that ends them."""
    head = {**head, "object": "chat.completion.chunk"}
    if extras.include_usage:
        head["usage"] = None

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**head, "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    deltas = Deltas(wanted)
    async for progress in ticket:
        for delta in chat_deltas(deltas, progress.text):
            yield chunk(delta)
        if preview := canvas_of(progress):
            yield {**chunk({}), **preview}
        if progress.result is not None:
            reason = _reason(wanted) if deltas.calls else "stop"
            yield {**chunk({}, reason), "ctrlgen": told_of(progress.result)}
            usage = usage_of(service, progress.result, progress.tokens)
            if extras.include_usage:
                yield {**head, "choices": [], "usage": usage}
    yield "[DONE]"


def canvas_of(progress: Progress) -> dict[str, Any]:
    """A picture of the canvas as a field of a chunk; nothing where none is asked for."""
    if progress.cells is None:
        return {}
    cells = [[cell.text, cell.state, round(cell.confidence, 4)] for cell in progress.cells]
    return {"canvas": {"forward_passes": progress.forward_passes, "cells": cells}}


class _TicketStream(StreamingResponse):
    """A stream that closes its ticket however it ends, also when it never begins."""

    ticket: Ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.ticket.close()


def event_stream(ticket: Ticket, events: AsyncIterator[dict[str, Any] | str]) -> StreamingResponse:
    """Server-sent events; an event with a `type` is sent under its name.

    When the client goes away, the ticket is closed and the job stops.
    """

    async def lines() -> AsyncIterator[str]:
        try:
            async for event in events:
                name = event.get("type") if isinstance(event, dict) else None
                text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
                yield f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n"
        except Fault as fault:
            yield f"data: {json.dumps(fault.body())}\n\n"

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    stream = _TicketStream(lines(), media_type="text/event-stream", headers=headers)
    stream.ticket = ticket
    return stream
