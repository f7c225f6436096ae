"""`/v1/completions`: a prompt instead of a conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from ctrlgen.server.body import read_json
from ctrlgen.server.chat import canvas_of, event_stream, head_of, stream_options, told_of, usage_of
from ctrlgen.server.deltas import Deltas
from ctrlgen.server.requests import CompletionRequest, StreamOptions, read
from ctrlgen.server.service import Service, Ticket
from ctrlgen.server.wanted import Wanted, read_wanted


async def completions(service: Service, request: Request) -> Response:
    """Answer a prompt; it is the user's message of a conversation."""
    body = await read_json(request, service.settings)
    asked = read(CompletionRequest, body, service.settings.model_name)
    extras = stream_options(asked.stream, asked.stream_options)
    wanted = read_wanted(
        service.settings,
        response_format=asked.response_format,
        structured_outputs=asked.structured_outputs,
    )
    messages = [{"role": "user", "content": asked.prompt}]
    ticket = await service.open(
        request, asked, wanted, messages, asked.max_tokens, previews=extras.include_canvas
    )
    head = {**head_of("cmpl", service), "object": "text_completion"}
    if asked.stream:
        return event_stream(ticket, _chunks(service, ticket, wanted, extras, head))
    result, tokens = await service.answer(request, ticket)
    return JSONResponse(
        {
            **head,
            "choices": [_choice(result.text, "stop")],
            "usage": usage_of(service, result, tokens),
            "ctrlgen": told_of(result),
        }
    )


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}


async def _chunks(
    service: Service, ticket: Ticket, wanted: Wanted, extras: StreamOptions, head: dict[str, Any]
) -> AsyncIterator[dict[str, Any] | str]:
    deltas = Deltas(wanted)
    async for progress in ticket:
        piece, _ = deltas.advance(progress.text)
        preview = canvas_of(progress)
        if piece or preview:
            yield {**head, "choices": [_choice(piece, None)], **preview}
        if progress.result is not None:
            told = {"ctrlgen": told_of(progress.result)}
            yield {**head, "choices": [_choice("", "stop")], **told}
            usage = usage_of(service, progress.result, progress.tokens)
            if extras.include_usage:
                yield {**head, "choices": [], "usage": usage}
    yield "[DONE]"
