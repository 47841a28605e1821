"""The HTTP API: validate, ask at the door, return values. No decision is made here.

A command is accepted with 202 and a task; `/tasks/ID/follow` streams the task as JSON lines until it has ended.
Errors are the error tree's, with the sentence, the next command and the exit code that a client should use.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from vmctl import __version__, text
from vmctl.api import console, measure, messages, routes
from vmctl.api.limits import Limits
from vmctl.api.peers import peer
from vmctl.api.routes import Plain
from vmctl.door import Door
from vmctl.errors import (
    NotAllowed,
    NotFound,
    NotLoggedIn,
    Refused,
    RegistryUnusable,
    TooManyRequests,
    Unreachable,
    Usage,
    VmctlError,
    error_to_json,
)

log = logging.getLogger("vmctl.api")
WARNING = "X-Vmctl-Warning"  # percent-encoded
OUT_OF_ORDER = "the controller's registry takes nothing just now"
AUTHENTICATE = {"WWW-Authenticate": "Bearer"}
STATUS: tuple[tuple[type[VmctlError], int], ...] = (
    (Usage, 422),
    (NotFound, 404),
    (Refused, 409),
    (NotLoggedIn, 401),
    (NotAllowed, 403),
    (TooManyRequests, 429),
    (Unreachable, 502),
)


class Served(Protocol):
    """What answers through the door: the controller."""

    door: Door

    async def start(self) -> None:
        """Begin."""

    async def close(self) -> None:
        """End."""


def make_app(served: Served) -> FastAPI:
    """The application; what it serves lives as long as it does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await served.start()
        async with measure.watched(served.door):
            yield
        await served.close()

    app = FastAPI(
        title="vmctl",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,  # an empty name leads nowhere else
        docs_url=None,  # pages that load programs from elsewhere
        redoc_url=None,
        default_response_class=Plain,
    )
    app.state.door = served.door
    app.add_exception_handler(VmctlError, _refuse)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(400, _unreadable)
    for status in (404, 405):
        app.add_exception_handler(status, _no_route)
    app.middleware("http")(_edge)
    app.add_middleware(Limits)
    app.add_middleware(measure.Measured)
    app.add_api_route("/healthz", _alive, include_in_schema=False)
    app.add_api_route("/readyz", _ready, include_in_schema=False)
    app.add_api_route("/metrics", routes.metrics, include_in_schema=False)
    for made in (routes.router(served.door.rows), console.router):
        # As they are: all routes of a router that is included are built again when the first client asks for one.
        app.router.routes.extend(made.routes)
    return app


async def _alive() -> Plain:
    """Whether this process answers: for whoever starts it again where it does not."""
    return Plain({"alive": True})


async def _ready(request: Request) -> Plain:
    """Whether it can do what it is asked for: for whoever shares requests out."""
    ready = not request.app.state.door.trouble()
    return Plain({"ready": ready}, 200 if ready else 503)


async def _refuse(request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, VmctlError)
    if isinstance(err, RegistryUnusable) and not _is_local(request):
        err = RegistryUnusable(OUT_OF_ORDER)  # where its file is, is for its own machine
    status = next((code for kind, code in STATUS if isinstance(err, kind)), 500)
    return Plain({"error": error_to_json(err)}, status, AUTHENTICATE if status == 401 else None)


async def _malformed(_request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, RequestValidationError)
    return Plain({"error": error_to_json(Usage(messages.sentence(err.errors())))}, 422)


async def _unreadable(_request: Request, _err: Exception) -> JSONResponse:
    return Plain({"error": error_to_json(Usage("the body cannot be read"))}, 422)


async def _no_route(request: Request, _err: Exception) -> JSONResponse:
    path = text.shown(request.url.path)
    return Plain({"error": error_to_json(NotFound(f"the API has no {request.method} {path}"))}, 404)


async def _edge(request: Request, call: Callable[[Request], Awaitable[Any]]) -> Any:
    """What nobody expected is logged whole and shown in one sentence: the API's edge."""
    try:
        answer = await call(request)
        if (trouble := request.app.state.door.trouble()) and answer.status_code < 400:
            trouble = trouble if _is_local(request) else OUT_OF_ORDER
            # What is shown may be older than what was done: whoever reads it should know.
            answer.headers[WARNING] = quote(f"{trouble}; what is shown may be out of date")
        return answer
    except Exception as err:
        log.exception("%s %s broke", request.method, request.url.path)
        # What it says may name files of this machine.
        what = f"{type(err).__name__}: {err}" if _is_local(request) else "this broke; the controller's log has why"
        return Plain({"error": error_to_json(VmctlError(what))}, 500)


def _is_local(request: Request) -> bool:
    return peer(request).uid is not None
