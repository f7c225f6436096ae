"""Runs the server with uvicorn."""

from __future__ import annotations

import uvicorn

from ctrlgen.generator import Model
from ctrlgen.server.app import create_app
from ctrlgen.server.patience import patient
from ctrlgen.server.settings import Settings

CONNECTIONS = 4096
"""Most open connections; the queue's limit comes long before."""


def serve(
    model: Model, settings: Settings | None = None, *, host: str = "127.0.0.1", port: int = 8000
) -> None:
    """Serve until interrupted.

    Args:
        model: The model.
        settings: The limits.
        host: Address to listen at.
        port: Port to listen at; 0 takes a free one.
    """
    uvicorn_server(model, settings or Settings(), host, port).run()


def uvicorn_server(model: Model, settings: Settings, host: str, port: int) -> uvicorn.Server:
    """The server as uvicorn runs it."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(model, settings),
            host=host,
            port=port,
            http=patient(settings.header_seconds),
            ws="none",
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=10,
            log_level="info",
            access_log=False,
        )
    )
