"""How many clients may be connected, and how long each may take to say what it wants."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from vmctl.api.peers import STATE, peer_of
from vmctl.api.problems import MEDIA_TYPE, details
from vmctl.errors import Refused

MOST = 512  # connections at once; those who follow tasks have one each
HEAD_LIMIT_S = 10.0  # for the head of a request, whether it is the first of its connection or not


class Patient(H11Protocol):
    """uvicorn's protocol, whose patience with a silent or a slow client ends."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; one too many is told so and sent away."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, STATE: peer_of(transport)}
        if len(self.connections) > MOST:
            transport.write(_too_many())
            transport.close()
        else:
            self._begin_waiting()

    def on_response_complete(self) -> None:
        """The next request may come, in its time."""
        super().on_response_complete()
        self._begin_waiting()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection is another protocol's from here on."""
        self._end_waiting()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._end_waiting()
        super().connection_lost(exc)

    def _begin_waiting(self) -> None:
        self._end_waiting()
        self._patience = self.loop.call_later(HEAD_LIMIT_S, self._give_up)

    def _end_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            self.transport.close()


def _too_many() -> bytes:
    body = json.dumps(details(Refused(f"more than {MOST} clients are connected"), 503)).encode()
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {MEDIA_TYPE}\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
