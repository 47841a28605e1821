"""Route: a VM's serial console over a WebSocket; bytes both ways."""

from __future__ import annotations

import contextlib

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from vmctl import text
from vmctl.api.peers import principal
from vmctl.api.routes import PREFIX
from vmctl.door import Door
from vmctl.door.console import End
from vmctl.errors import VmctlError

router = APIRouter(prefix=PREFIX)
# WebSocket close codes; the reason is a sentence
CODES = {End.LEFT: 1000, End.REFUSED: 4000, End.TAKEN: 4001, End.ENDED: 4002}
MOST_REASON = 120  # bytes that fit into a close frame


class Socket:
    """The WebSocket as the way to the user."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def send(self, data: bytes) -> None:
        """Show it."""
        await self._socket.send_bytes(data)

    async def receive(self) -> bytes | None:
        """What was typed; None when the user has left."""
        with contextlib.suppress(WebSocketDisconnect):
            return await self._socket.receive_bytes()
        return None


@router.websocket("/vms/{name}/console")
async def console(socket: WebSocket, name: str, force: bool = False, who: str = "") -> None:
    """What the guest prints goes out, what the user types goes in, until either side ends it."""
    await socket.accept()
    door: Door = socket.app.state.door
    label = who if not text.bad_text(who, 60) else ""
    try:
        end, why = await door.console(name, principal(socket), label, Socket(socket), force=force)
    except VmctlError as err:
        end, why = End.REFUSED, err.message
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the user has gone already
        await socket.close(CODES[end], why.encode()[:MOST_REASON].decode(errors="ignore"))
