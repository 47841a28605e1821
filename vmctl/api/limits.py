"""What one client may take of the controller: so large a body, so long to send it, and text that stays in its place."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from vmctl.api import routes
from vmctl.api.problems import ProblemResponse
from vmctl.commands import catalogue
from vmctl.errors import Usage
from vmctl.model.uploads import MOST_PIECE

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
MOST_BODY = 1 << 20
BODY_LIMIT_S = 10.0
# Routes whose body is bytes: (method, path). It is read by who answers, and not before he knows who sends it.
BYTES = tuple(
    (row.method, re.compile(routes.ARGUMENT.sub("[^/]+", f"{routes.PREFIX}/{row.path}")))
    for row in catalogue.ROWS
    if row.way and routes.reads_body(row)
)


def reads_bytes(scope: Scope) -> bool:
    """Whether a request's body is bytes that whoever answers reads."""
    return any(scope["method"] == method and path.fullmatch(scope["path"]) for method, path in BYTES)


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
        if reads_bytes(scope):
            await self._bytes(scope, receive, send)
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

    async def _bytes(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request whose body is read by who answers."""
        if _told_length(scope) > MOST_PIECE:
            refusal = _refuse(413, f"the request is too large: at most {MOST_PIECE >> 20} MiB")
            await refusal(scope, receive, send)
            return
        rest = _Rest(receive)

        async def after_all(message: MutableMapping[str, Any]) -> None:
            """Who is refused hears why: an answer is lost where what he still sends is not taken."""
            if message["type"] == "http.response.start":
                await rest.drop()
            await send(message)

        await self._app(scope, rest.take, after_all)


class _Rest:
    """What is left of a body."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size, self._ended = 0, asyncio.Event()

    async def take(self) -> MutableMapping[str, Any]:
        """The next of it."""
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if not message.get("more_body", False) or self._size > MOST_PIECE:
            self._ended.set()
        return message

    async def drop(self) -> None:
        """Let the rest pass by, for a while, and no more than a piece."""
        passing = asyncio.create_task(self._pass_by())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BODY_LIMIT_S):
                # The framework may listen, too, for who goes away: the end may come to either of us.
                await self._ended.wait()
        passing.cancel()

    async def _pass_by(self) -> None:
        while not self._ended.is_set():
            await self.take()


def _told_length(scope: Scope) -> int:
    return int(dict(scope["headers"]).get(b"content-length", b"0"))


async def _whole(scope: Scope, receive: Receive) -> bytes | None:
    """The body, or None where there is too much of it."""
    if _told_length(scope) > MOST_BODY:
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
