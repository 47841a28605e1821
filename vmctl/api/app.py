"""The HTTP API: validate, ask at the door, return values. No decision is made here.

A command is accepted with 202 and a task; `/tasks/ID/follow` streams the task as JSON lines until it has ended.
Errors are the error tree's, as problem details (`problems.py`).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from vmctl import __version__, text
from vmctl.api import console, document, feed, measure, messages, routes, told
from vmctl.api.edge import Edge
from vmctl.api.limits import Limits
from vmctl.api.peers import is_local
from vmctl.api.problems import ProblemResponse, for_whom
from vmctl.api.routes import Plain
from vmctl.door import Door
from vmctl.errors import NotFound, Usage, VmctlError


class Served(Protocol):
    """What answers through the door: the controller."""

    door: Door

    cluster: Any  # which controllers there are (`among.Cluster`)

    async def start(self) -> None:
        """Begin."""

    async def close(self) -> None:
        """End."""


def make_app(served: Served, speaks: tuple[ssl.SSLContext, ssl.SSLContext] | None = None) -> FastAPI:
    """The application; what it serves lives as long as it does.

    `speaks`: what it speaks with other controllers, as server and as client, where there may be any.
    """
    peers: Any = None
    if speaks is not None:
        from vmctl.api.among import Peers  # its libraries take a while to load

        peers = Peers(served.cluster, *speaks)
        served.door.others.ask = peers.guests

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with peers.watched() if peers is not None else nullcontext():
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
    app.state.door, app.state.peers = served.door, peers
    app.add_exception_handler(VmctlError, _refuse)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(400, _unreadable)
    for status in (404, 405):
        app.add_exception_handler(status, _no_route)
    if peers is not None:
        _pass_on(app, peers, served.door)
    app.add_middleware(Edge)
    app.add_middleware(Limits)
    app.add_middleware(measure.Measured)
    app.add_api_route("/healthz", _alive, include_in_schema=False)
    app.add_api_route("/readyz", _ready, include_in_schema=False)
    app.add_api_route(told.GUESTS, told.guests, methods=["POST"], include_in_schema=False)
    app.add_api_route("/metrics", routes.metrics, include_in_schema=False)
    for made in (routes.router(served.door.rows), console.router, feed.router):
        # As they are: all routes of a router that is included are built again when the first client asks for one.
        app.router.routes.extend(made.routes)
    app.openapi = lambda: document.document(app)  # type: ignore[method-assign]
    return app


def _pass_on(app: FastAPI, peers: Any, door: Door) -> None:
    """What it is asked while another one leads."""
    from vmctl.api.instead import Instead
    from vmctl.api.pass_on import PassOn

    app.add_middleware(PassOn, peers=peers, draw=door.new_id, instead=Instead(door))


async def _alive() -> Plain:
    """Whether this process answers: for whoever starts it again where it does not."""
    return Plain({"alive": True})


async def _ready(request: Request) -> Plain:
    """Whether it can do what it is asked for: for whoever shares requests out.

    Where nobody leads it can: it answers questions, and commands wait for the next one. Else a cluster that changes
    its leader would be away as a whole.
    """
    ready = not request.app.state.door.trouble()
    return Plain({"ready": ready}, 200 if ready else 503)


async def _refuse(request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, VmctlError)
    return ProblemResponse(for_whom(err, local=is_local(request)))


async def _malformed(_request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, RequestValidationError)
    return ProblemResponse(Usage(messages.sentence(err.errors())))


async def _unreadable(_request: Request, _err: Exception) -> JSONResponse:
    return ProblemResponse(Usage("the body cannot be read"))


async def _no_route(request: Request, _err: Exception) -> JSONResponse:
    path = text.shown(request.url.path)
    return ProblemResponse(NotFound(f"the API has no {request.method} {path}"))
