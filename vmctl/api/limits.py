"""What one client may take of the controller: so large a body, so long to send it, and text that stays in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from vmctl.api.problems import ProblemResponse
from vmctl.errors import Usage

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
MOST_BODY = 1 << 20
BODY_LIMIT_S = 10.0


class Limits:
    """Between the server and the application: the application gets whole requests only."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if b"%2f" in scope.get("raw_path", b"").lower():  # it would be taken for the end of a name
            await _refuse(422, "a name has no slash in it")(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_LIMIT_S):
                body = await _whole(scope, receive)
        except TimeoutError:
            refusal = _refuse(408, f"the request did not arrive within {BODY_LIMIT_S:g} s")
            await refusal(scope, receive, send)
            return
        if body is None:
            await _refuse(413, f"the request is too large: at most {MOST_BODY >> 20} MiB")(scope, receive, send)
            return
        await self._app(scope, _again(body, receive), send)


async def _whole(scope: Scope, receive: Receive) -> bytes | None:
    """The body, or None where there is too much of it."""
    told = dict(scope["headers"]).get(b"content-length", b"0")
    if int(told) > MOST_BODY:
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """What the application receives: the body at once, then whatever follows."""
    given = False

    async def take() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return take


def _refuse(status: int, why: str) -> ProblemResponse:
    return ProblemResponse(Usage(why), status, {"Connection": "close"})
