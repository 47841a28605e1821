"""The HTTP API: validate, call the controller, return values. No decision is made here.

A command is accepted with 202 and a task; `/tasks/ID/follow` streams the task as JSON lines until it has ended.
Errors are the error tree's, with the sentence, the next command and the exit code that a client should use.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from vmctl import __version__, config
from vmctl.api import cluster, console, health, hosts, processes, vms
from vmctl.controller import Controller
from vmctl.errors import NotAllowed, NotFound, Refused, Unreachable, Usage, VmctlError, error_to_json

log = logging.getLogger("vmctl.api")
STATUS: tuple[tuple[type[VmctlError], int], ...] = (
    (Usage, 422),
    (NotFound, 404),
    (Refused, 409),
    (NotAllowed, 403),
    (Unreachable, 502),
)


def make_app(settings: config.Settings, data: Path, runtime: Path) -> FastAPI:
    """The application; its controller lives as long as it is served. Raises AlreadyRuns if another one does."""
    controller = Controller(settings, data, runtime)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.controller = controller
        await controller.start()
        yield
        await controller.close()

    app = FastAPI(title="vmctl", version=__version__, lifespan=lifespan)
    app.add_exception_handler(VmctlError, _refuse)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.middleware("http")(_edge)
    for room in (hosts, vms, health, cluster, processes, console):
        app.include_router(room.router, prefix="/api/v1")
    return app


async def _refuse(_request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, VmctlError)
    status = next((code for kind, code in STATUS if isinstance(err, kind)), 500)
    return JSONResponse({"error": error_to_json(err)}, status)


async def _malformed(_request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, RequestValidationError)
    parts = [f"{'.'.join(str(p) for p in e['loc'][1:])}: {e['msg']}" for e in err.errors()]
    return JSONResponse({"error": error_to_json(Usage("; ".join(parts)))}, 422)


async def _edge(request: Request, call: Callable[[Request], Awaitable[Any]]) -> Any:
    """What nobody expected is logged whole and shown in one sentence: the API's edge."""
    try:
        return await call(request)
    except Exception as err:
        log.exception("%s %s broke", request.method, request.url.path)
        return JSONResponse({"error": error_to_json(VmctlError(f"{type(err).__name__}: {err}"))}, 500)
