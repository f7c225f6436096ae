"""Routes, keys and metrics."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ctrlgen.generator import Model
from ctrlgen.server.chat import chat
from ctrlgen.server.completions import completions
from ctrlgen.server.faults import ClientGone, Fault
from ctrlgen.server.responses import responses
from ctrlgen.server.service import Service
from ctrlgen.server.settings import Settings

Route = Callable[[Service, Request], Awaitable[Response]]

GONE = 499
"""Counted for clients that went away; nobody reads it."""

_log = logging.getLogger("ctrlgen.server")


def create_app(model: Model, settings: Settings | None = None) -> FastAPI:
    """The server as an ASGI application.

    Args:
        model: The model; from now on it belongs to the server's own thread.
        settings: Its limits.
    """
    settings = settings or Settings()
    service = Service(model, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.close()

    app = FastAPI(title="ctrlgen", lifespan=lifespan, openapi_url=None)
    app.state.service = service
    posts: dict[str, Route] = {
        "/v1/chat/completions": chat,
        "/v1/completions": completions,
        "/v1/responses": responses,
    }
    for path, route in posts.items():
        app.add_api_route(path, _guarded(service, path, route), methods=["POST"])
    gets: dict[str, Route] = {"/v1/models": _models, "/v1/models/{name}": _model}
    for path, route in gets.items():
        app.add_api_route(path, _guarded(service, path, route), methods=["GET"])

    @app.get("/health")
    async def health() -> Response:
        alive = service.batcher.alive
        return JSONResponse({"status": "ok" if alive else "down"}, 200 if alive else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.page(), media_type="text/plain; version=0.0.4")

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        fault = Fault(error.status_code, f"{request.method} {request.url.path}: {error.detail}")
        return JSONResponse(fault.body(), error.status_code)

    return app


def _guarded(service: Service, path: str, route: Route) -> Callable[[Request], Awaitable[Response]]:
    """A route behind the key, with faults as answers, counted."""

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        try:
            _check_key(request, service.settings.api_key)
            response = await route(service, request)
        except Fault as fault:
            response = _refusal(fault)
        except ClientGone:
            response = Response(status_code=GONE)
        except Exception:
            _log.exception("%s failed", path)
            response = _refusal(Fault(500, "something went wrong in the server"))
        service.metrics.request(path, response.status_code, time.perf_counter() - started)
        return response

    return endpoint


def _refusal(fault: Fault) -> Response:
    headers = {429: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}}.get(fault.status)
    return JSONResponse(fault.body(), fault.status, headers)


def _check_key(request: Request, key: str | None) -> None:
    """Compare in constant time: how long it takes tells nothing about the key.

    Raises:
        Fault: The key is missing or wrong.
    """
    if key is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode())
    if scheme.lower() != "bearer" or not same:
        raise Fault(401, "the api key is missing or wrong", code="invalid_api_key")


def _card(service: Service) -> dict[str, Any]:
    name = service.settings.model_name
    return {"id": name, "object": "model", "created": 0, "owned_by": "ctrlgen"}


async def _models(service: Service, request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [_card(service)]})


async def _model(service: Service, request: Request) -> Response:
    name = request.path_params["name"]
    if name != service.settings.model_name:
        message = f"the model {name!r:.80} does not exist"
        raise Fault(404, message, "model", "model_not_found")
    return JSONResponse(_card(service))
