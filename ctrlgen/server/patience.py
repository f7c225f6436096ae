"""An HTTP protocol that does not wait for ever: what sends its head too slowly is cut off."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(seconds: float) -> type[H11Protocol]:
    """The protocol of uvicorn with a limit on how long the head of a request may take."""
    return type("PatientProtocol", (_PatientProtocol,), {"seconds": seconds})


class _PatientProtocol(H11Protocol):
    """Closes a connection on which no request has begun in time.

    uvicorn ends idle connections after an answer, but waits for the first request, and for the rest
    of a head that has begun, without end.
    """

    seconds: float
    _alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Count the seconds while no request is being answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._rest()
        elif self._alarm is None:
            self._alarm = self.loop.call_later(self.seconds, self.transport.close)

    def _rest(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
