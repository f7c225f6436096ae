"""From a request to the batch, and back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request

from ctrlgen.errors import CtrlgenError, SpecError
from ctrlgen.generator import Model
from ctrlgen.result import Result
from ctrlgen.server.batching import Batcher, Job, Progress
from ctrlgen.server.compiler import Compiler, key_of
from ctrlgen.server.faults import ClientGone, Fault, of_error
from ctrlgen.server.metrics import Metrics
from ctrlgen.server.requests import Fields
from ctrlgen.server.settings import Settings
from ctrlgen.server.wanted import Wanted
from ctrlgen.tool_call.conversation import plain

T = TypeVar("T")

_log = logging.getLogger("ctrlgen.server")


class Ticket:
    """A job in the batch, as the request that waits for it sees it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._progress: asyncio.Queue[Progress] = asyncio.Queue()
        self.job: Job | None = None
        self.begun = Progress()
        self._closed = False

    def tell(self, progress: Progress) -> None:
        """Called on the thread of the batch."""
        with suppress(RuntimeError):  # the loop is closed: the server goes down
            self._loop.call_soon_threadsafe(self._progress.put_nowait, progress)

    async def __aiter__(self) -> AsyncIterator[Progress]:
        """All that happens from the beginning on; the last one holds the result.

        Raises:
            Fault: The job failed.
        """
        progress = self.begun
        yield progress
        while progress.result is None:
            progress = await self.next()
            yield progress

    async def next(self) -> Progress:
        """The next thing that happens.

        Raises:
            Fault: The job failed.
        """
        progress = await self._progress.get()
        error = progress.error
        if error is not None:
            if isinstance(error, CtrlgenError):
                raise of_error(error, "messages") from error
            _log.error("a request failed in the model", exc_info=error)
            raise Fault(500, f"{type(error).__name__} in the model") from error
        return progress

    async def result(self) -> tuple[Result, int]:
        """The result, and the tokens of its text.

        Raises:
            Fault: The job failed.
        """
        async for progress in self:
            if progress.result is not None:
                return progress.result, progress.tokens
        raise AssertionError("a job ends with a result or an error")

    def close(self) -> None:
        """Give the place in the queue back; a job that still runs is stopped."""
        if not self._closed:
            self._closed = True
            self._service.in_flight -= 1
            if self.job is not None:
                self.job.abandoned.set()


class Service:
    """The parts of a running server.

    Args:
        model: The model.
        settings: Its limits.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model, self.settings, self.metrics = model, settings, Metrics()
        self.compiler = Compiler(model.denoiser.vocabulary, settings)
        self.batcher = Batcher(model, settings, self.metrics)
        self.in_flight = 0

    async def start(self) -> None:
        """Start the batch and the compiling process."""
        self.batcher.start()
        await self.compiler.start()

    async def close(self) -> None:
        """Stop both."""
        await asyncio.to_thread(self.batcher.close)
        await self.compiler.close()

    async def open(
        self,
        request: Request,
        asked: Fields,
        wanted: Wanted,
        messages: list[dict[str, Any]],
        limit: int | None,
        *,
        previews: bool = False,
    ) -> Ticket:
        """Compile what is wanted and queue it; returns when it has begun.

        Args:
            request: Whose client may go away.
            asked: Its fields.
            wanted: The form of the answer.
            messages: The conversation.
            limit: Most tokens of the answer.
            previews: Whether the client wants to see the canvas.

        Raises:
            Fault: Too many wait already (429), or the request cannot be answered.
            ClientGone: The client went away.
        """
        opening = self._open(asked, wanted, messages, limit, previews)
        return await self._unless_gone(request, opening)

    async def answer(self, request: Request, ticket: Ticket) -> tuple[Result, int]:
        """The result of a job and the tokens of its text; the ticket is closed.

        Raises:
            Fault: The job failed.
            ClientGone: The client went away.
        """
        try:
            return await self._unless_gone(request, ticket.result())
        finally:
            ticket.close()

    async def _open(
        self,
        asked: Fields,
        wanted: Wanted,
        messages: list[dict[str, Any]],
        limit: int | None,
        previews: bool,
    ) -> Ticket:
        arrived = time.monotonic()
        options = self._options(asked, limit)
        if self.in_flight >= self.settings.max_batch + self.settings.queue:
            message = f"{self.in_flight} requests are being answered or wait; try again later"
            raise Fault(429, message, code="queue_full")
        self.in_flight += 1
        ticket = Ticket(self)
        try:
            prompt = _prompt(wanted, messages)
            grammar = await self.compiler.compile(wanted.spec, wanted.param)
            seconds = self.settings.deadline if asked.deadline is None else asked.deadline
            ticket.job = Job(
                key_of(wanted.spec), wanted.spec, grammar, prompt, options, arrived + seconds,
                ticket.tell, bool(asked.stream), previews,
            )  # fmt: skip
            self.batcher.submit(ticket.job)
            ticket.begun = await ticket.next()
        except BaseException:
            ticket.close()
            raise
        return ticket

    def _options(self, asked: Fields, limit: int | None) -> dict[str, Any]:
        """`ctrlgen.Options` that a request names; lengths are cut to the server's own.

        Raises:
            Fault: It asks for more time or steps than the server has.
        """
        settings = self.settings
        if asked.deadline is not None and asked.deadline > settings.deadline:
            raise Fault(400, f"deadline: at most {settings.deadline:g} s are allowed", "deadline")
        if asked.steps is not None and asked.steps > settings.max_steps:
            raise Fault(400, f"steps: at most {settings.max_steps} are allowed", "steps")
        return {
            "temperature": asked.temperature or 0.0,
            "seed": asked.seed,
            "steps": asked.steps or settings.max_steps,
            "max_new_tokens": min(limit or settings.max_canvas, settings.max_canvas),
        }

    async def _unless_gone(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns, unless the client goes away; then `work` is cancelled.

        Raises:
            ClientGone: It did.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGone
            return task.result()
        finally:
            for each in (task, gone):
                each.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _prompt(wanted: Wanted, messages: list[dict[str, Any]]) -> list[dict[str, str]]:
    try:
        shown = plain(messages)
    except SpecError as error:
        raise Fault(400, str(error), "messages", "invalid_value") from None
    return [*([wanted.told] if wanted.told else []), *shown]
