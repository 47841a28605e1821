"""Requests that come to a controller that does not lead: passed on to the one that does, whoever that is by then.

A client sees no difference. Where the leader dies under a request, the next one is asked: a command has a key, so that
it is done once (`door/given.py`). What has begun to come is cut off, as it would be if this controller ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

import httpx
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from vmctl.api.among import CONNECT_S, Peers, first
from vmctl.api.how import KEY
from vmctl.api.instead import Instead
from vmctl.api.limits import App, Receive, Scope, Send, reads_bytes
from vmctl.api.peers import FOR, is_local, of_a_controller, speaks_for
from vmctl.api.problems import ProblemResponse, for_whom
from vmctl.api.told import GUESTS
from vmctl.errors import NoLeader, VmctlError
from vmctl.model.replicas import Replica

log = logging.getLogger("vmctl.api.pass_on")
HERE = ("/healthz", "/readyz", GUESTS)  # asked of this very process
PATIENCE_S = 20.0  # until one leads: it takes about ten seconds from the death of the one before
LOOK_AGAIN_S = 0.3
ANSWER_S = 10.0  # nor is one that lives and does not answer, or has just begun
SOON_S = 1.0  # one that lives is asked again meanwhile: it may not know a controller that has just begun
SILENT_S = 2.5  # a leader beats each 2 s: what can be answered here is not waited for any longer
REFUSED, MOST_REASON = 4000, 120  # how a console is closed that could not be opened; bytes of a reason
# Of one connection, or written anew by who sends
HOPS = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "expect", FOR.lower()}
LINES, FEED = b"application/x-ndjson", b"text/event-stream"
OF_SOCKETS = "sec-websocket-"


class Asked:
    """A request as it is passed on."""

    def __init__(self, scope: Scope, receive: Receive, who: str, key: str) -> None:
        """`who` it speaks for; `key`: for a command that has none."""
        http = HTTPConnection(scope)
        self.method: str = scope["method"]
        query = scope["query_string"].decode("latin-1")
        path = scope.get("raw_path", quote(scope["path"]).encode()).decode("latin-1")
        self.target = f"{path}?{query}" if query else path
        self.headers = passed(http, who)
        self.repeatable = not reads_bytes(scope)
        if self.method not in ("GET", "HEAD") and self.repeatable and KEY not in http.headers:
            self.headers.append((KEY, key))
        self._receive = receive
        self._body = b""

    async def read(self) -> None:
        """Take the whole body, where it is bounded."""
        more = self.repeatable
        while more:
            message = await self._receive()
            self._body += message.get("body", b"")
            more = message.get("more_body", False)

    def request(self, by: httpx.AsyncClient, where: str) -> httpx.Request:
        """The request to another controller."""
        return by.build_request(self.method, f"{where}{self.target}", headers=self.headers, content=self._content())

    def _content(self) -> bytes | AsyncIterator[bytes]:
        """The body."""
        return self._body if self.repeatable else self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return

    def again(self) -> Receive:
        """For whoever answers it here after all."""
        given = False

        async def take() -> MutableMapping[str, Any]:
            nonlocal given
            if given or not self.repeatable:
                return await self._receive()
            given = True
            return {"type": "http.request", "body": self._body, "more_body": False}

        return take


def passed(http: HTTPConnection, who: str) -> list[tuple[str, str]]:
    """The headers of a request that go on with it, and whom it speaks for."""
    kept = [(name, value) for name, value in http.headers.items() if name not in HOPS]
    return [*((name, value) for name, value in kept if not name.startswith(OF_SOCKETS)), (FOR, who)]


class PassOn:
    """Around the application."""

    def __init__(self, app: App, peers: Peers, draw: Callable[[], str], instead: Instead) -> None:
        """`draw` gives a key to a command that has none; `instead`: what is answered here while nobody leads."""
        self._app, self._peers, self._draw, self._instead = app, peers, draw, instead
        self._noted = ("", "")  # the life that was not reached, and why

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one console."""
        asked_here = scope["type"] not in ("http", "websocket") or scope["path"] in HERE
        if asked_here or self._peers.cluster.acting:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            try:
                await self._request(scope, receive, send)
            except VmctlError as err:
                local = is_local(HTTPConnection(scope))
                await ProblemResponse(for_whom(err, local=local))(scope, receive, send)
        else:
            await self._console(scope, receive, send)

    async def _leader(self, scope: Scope, until: float) -> Replica | None:
        """The one that leads; None: this one. Raises NoLeader."""
        loop, cluster = asyncio.get_running_loop(), self._peers.cluster
        from_another = of_a_controller(HTTPConnection(scope))  # that took this one for the leader: it is about to be
        while not cluster.acting:
            leader = cluster.leader
            if leader is not None and leader.address and not from_another:
                return leader
            left_s = until - loop.time()
            if left_s <= 0:
                raise NoLeader("no controller leads just now", hint="vmctl controller list")
            await cluster.news(left_s)
        return None

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked(scope, receive, speaks_for(HTTPConnection(scope)), self._draw())
        await asked.read()
        relay, loop = Relay(receive, send), asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        instead, soon = self._instead.answers(scope), loop.time() + SOON_S
        while True:
            if instead and not (self._peers.cluster.leads or self._peers.cluster.leader):
                await self._instead.answer(self._app, scope, asked.again(), relay.go_on)
                return
            leader = await self._leader(scope, until)
            if leader is None:
                await self._app(scope, asked.again(), relay.go_on)
                return
            try:
                async with asyncio.timeout(ANSWER_S if instead else None):
                    answer = await self._peers.send(leader, asked.request, SILENT_S if instead else math.inf)
                until = loop.time() + PATIENCE_S
                await self._peers.unless_it_ends(leader, asyncio.create_task(relay.pass_on(answer)))
            except (httpx.TransportError, TimeoutError) as err:
                if relay.cut:
                    await relay.break_off(leader.name)
                    return
                self._note(leader, err)
                lives = self._peers.cluster.silent_s(leader.life) < SILENT_S
                if instead and not self._peers.cluster.leads and not (lives and loop.time() < soon):
                    await self._instead.answer(self._app, scope, asked.again(), relay.go_on)
                    return
                if not asked.repeatable or loop.time() > until:
                    raise NoLeader(f"{leader.name}, which leads, {_why(err)}", hint="try again") from err
                await self._peers.cluster.news(LOOK_AGAIN_S)
                continue
            return

    def _note(self, leader: Replica, err: Exception) -> None:
        """Write down why it is not reached: once, as it is asked again and again."""
        if (now := (leader.life, _why(err))) != self._noted:
            self._noted = now
            log.warning("%s, which leads, at %s, %s", leader.name, leader.address, _why(err))

    async def _console(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        code, why = REFUSED, ""
        try:
            who = speaks_for(socket)
            leader = await self._leader(scope, asyncio.get_running_loop().time() + PATIENCE_S)
            if leader is None:
                raise NoLeader("this controller leads from now on", hint="try again")
            self._peers.believe()
            url = f"wss://{leader.address}{scope['path']}?{scope['query_string'].decode('latin-1')}"
            there = connect(
                url, ssl=self._peers.client, additional_headers=passed(socket, who), proxy=None, open_timeout=CONNECT_S
            )
            async with there as other:
                both = asyncio.create_task(_both_ways(socket, other))
                code, why = await self._peers.unless_it_ends(leader, both)
        except VmctlError as err:
            why = err.message
        except (OSError, TimeoutError, WebSocketException, httpx.TransportError):
            why = "the controller that leads does not answer (any more): try again"
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the user has gone already
            await socket.close(code, why.encode()[:MOST_REASON].decode(errors="ignore"))


def _why(err: Exception) -> str:
    return f"does not answer: {err}" if str(err) else "does not answer"


class Relay:
    """An answer on its way to the client. One of lines goes on with the next leader's: each line is whole, and new."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._lines = self._feed = self._begun = False

    @property
    def cut(self) -> bool:
        """Whether the client has the beginning of what cannot be gone on with."""
        return self._begun and not self._lines

    async def pass_on(self, answer: httpx.Response) -> None:
        """Send an answer on, until it ends or nobody listens any more. Raises httpx.TransportError where it breaks."""
        try:
            headers = [(name, value) for name, value in answer.headers.raw if name.decode().lower() not in HOPS]
            await self.go_on({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            await first(asyncio.create_task(self._pump(answer)), asyncio.create_task(self._until_gone()))
        finally:
            await answer.aclose()

    async def break_off(self, leader: str) -> None:
        """End what cannot be gone on with: who follows a feed comes again, with the last message that he has."""
        if not self._feed:
            raise ConnectionAbortedError(f"{leader} leads no more: half an answer is no answer")
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def go_on(self, message: MutableMapping[str, Any]) -> None:
        """Send a message of an answer, of which the client may have the beginning already."""
        if message["type"] == "http.response.start":
            if self._begun:
                if message["status"] >= 400:  # why it does not go on is no line of it
                    raise ConnectionAbortedError(f"the next leader answers {message['status']}")
                return
            self._begun = True
            kind = next((value for name, value in message["headers"] if name.lower() == b"content-type"), b"")
            self._lines, self._feed = LINES in kind, FEED in kind
        await self._send(message)

    async def _pump(self, answer: httpx.Response) -> None:
        rest = b""
        async for some in answer.aiter_raw():
            whole, _, rest = (rest + some).rpartition(b"\n") if self._lines else (some, b"", b"")
            if whole:
                end = b"\n" if self._lines else b""
                await self._send({"type": "http.response.body", "body": whole + end, "more_body": True})
        await self._send({"type": "http.response.body", "body": rest, "more_body": False})

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _both_ways(user: WebSocket, there: ClientConnection) -> tuple[int, str]:
    """How it was closed there, and why."""

    async def typed() -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await there.send(await user.receive_bytes())

    async def shown() -> None:
        async for some in there:
            await user.send_bytes(some if isinstance(some, bytes) else some.encode())

    with contextlib.suppress(WebSocketException):
        await first(asyncio.create_task(typed()), asyncio.create_task(shown()))
    await there.close()
    return there.close_code or 1000, there.close_reason or ""
