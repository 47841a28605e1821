"""Requests as they come by the controller's own socket, or from elsewhere, without a socket."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from vmctl.api.peers import STATE, Peer

App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
LOCAL = Peer(uid=os.geteuid())
ELSEWHERE = Peer(address="192.0.2.7")


def by(peer: Peer, app: App) -> App:
    """The application as that peer reaches it."""

    async def called(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        scope["state"] = {**scope.get("state", {}), STATE: peer}
        await app(scope, receive, send)

    return called
