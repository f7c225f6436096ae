"""The body of a request: bounded in size and time, and JSON all through."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from pydantic_core import from_json
from starlette.requests import ClientDisconnect

from ctrlgen.server.faults import ClientGone, Fault
from ctrlgen.server.settings import Settings

DRAINED = 32
"""A body that is too large is still read, up to so many times the limit, so that its sender hears
why it is refused instead of losing the connection."""


async def read_json(request: Request, settings: Settings) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        Fault: It is too large (413), takes too long (408), or is no JSON object (400).
        ClientGone: The client hangs up in the middle of it.
    """
    try:
        async with asyncio.timeout(settings.body_seconds):
            raw = await _read(request, settings.max_body)
    except ClientDisconnect:
        raise ClientGone from None
    except TimeoutError:
        seconds = settings.body_seconds
        raise Fault(408, f"the body did not arrive within {seconds:g} s") from None
    try:
        # jiter bounds the depth, and refuses text that is not UTF-8.
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Fault(400, f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise Fault(400, "the body is not a JSON object", code="invalid_json")
    return value


async def _read(request: Request, limit: int) -> bytes:
    """The body; one that is too large is thrown away while it comes in."""
    parts: list[bytes] = []
    total = 0
    async for part in request.stream():
        total += len(part)
        if total <= limit:
            parts.append(part)
        elif total > DRAINED * limit:
            break
    if total > limit:
        raise Fault(413, f"the body has more than {limit} bytes", code="request_too_large")
    return b"".join(parts)
