"""Around every request: it has a name, its answer is counted, and one that is slow or breaks is logged.

A route is counted by its template, as there is no end to paths.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from vmctl.api import request_id
from vmctl.api.limits import App, Receive, Scope, Send
from vmctl.door import Door
from vmctl.local import logcontext

log = logging.getLogger("vmctl.api")
SLOW_S = 5.0  # until an answer begins: what is followed for long has begun at once
LAG_EVERY_S = 1.0
NO_ROUTE = "none"  # a label for paths that lead nowhere, or whose request was refused before


class Measured:
    """Outside everything else, so that what others refuse counts, too."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one console."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        door: Door = scope["app"].state.door
        name = request_id.given(scope["headers"]) or door.new_id()
        with logcontext.within(request=name):
            if scope["type"] == "http":
                await self._answer(door, name, scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _answer(self, door: Door, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def named(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status, took_s = message["status"], loop.time() - began
                door.meters.answered(_route(scope), scope["method"], status, took_s)
                if status >= 500 or took_s > SLOW_S:
                    # As it came: without control characters.
                    path = scope["raw_path"].decode("ascii", "backslashreplace")
                    log.warning("%s %s was answered with %d after %.2f s", scope["method"], path, status, took_s)
                message["headers"] = [*message.get("headers", ()), (request_id.HEADER, name.encode())]
            await send(message)

        await self._app(scope, receive, named)


def _route(scope: Scope) -> str:
    """The template of the route that a request has found: `Limits` refuses some before one is looked for."""
    return getattr(scope.get("route"), "path", NO_ROUTE)


@contextlib.asynccontextmanager
async def watched(door: Door) -> AsyncIterator[None]:
    """How late the event loop is, is measured meanwhile: whatever keeps it busy keeps every answer waiting."""
    watch = asyncio.create_task(_watch(door), name="measure the event loop")
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _watch(door: Door) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        door.meters.lagged(max(0.0, loop.time() - due))
