"""A server on a free port of this machine, and denoisers that wait for a sign."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

import ctrlgen
from ctrlgen.constraints.atoms import Floats
from ctrlgen.server import Settings
from ctrlgen.server.run import uvicorn_server
from ctrlgen.server.service import Service
from ctrlgen.testing import RandomDenoiser

PATIENCE = 30.0
"""Seconds after which something that should have happened has not."""


@dataclass(frozen=True)
class Address:
    """A server that runs."""

    url: str
    port: int
    service: Service

    def post(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        sent = {"json": body} if body is not None else {}
        return httpx2.post(self.url + path, timeout=PATIENCE, **sent, **options)

    def chat(self, **fields: Any) -> httpx2.Response:
        body = {"messages": [{"role": "user", "content": "Oslo"}], **fields}
        return self.post("/v1/chat/completions", body)


@contextmanager
def running(model: ctrlgen.Model, **settings: Any) -> Iterator[Address]:
    server = uvicorn_server(model, Settings(**settings), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        service = server.config.app.state.service
        yield Address(f"http://127.0.0.1:{port}", port, service)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


def until(condition: Any) -> None:
    """Wait for something that another thread does."""
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.005)


class GatedDenoiser(RandomDenoiser):
    """A denoiser whose forward passes wait until the gate is open.

    Attributes:
        gate: Set it to let passes through.
        batches: How many sequences each pass has seen.
        poisoned: Raised for a pass over a prompt that begins with `!`.
    """

    def __init__(self, seed: int = 0, max_length: int = 512) -> None:
        super().__init__(seed, max_length=max_length)
        self.gate = threading.Event()
        self.batches: list[int] = []
        self.entered = threading.Event()

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        self.batches.append(len(sequences))
        if any(sequence[:1] == [ord("!")] for sequence in sequences):
            raise RuntimeError("a poisoned prompt")
        return super().__call__(sequences, positions)
