"""Serial consoles."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import libvirt

from vmctl.hosts.virt.connection import Connection
from vmctl.hosts.virt.streams import send_all


class Console:
    """A serial console: what the guest prints arrives in `output` (bounded: a reader too slow loses the oldest)."""

    def __init__(self, stream: Any, loop: asyncio.AbstractEventLoop, close_connection: Callable[[], None]) -> None:
        self.output: asyncio.Queue[bytes | None] = asyncio.Queue(256)
        self._stream, self._loop, self._close_connection = stream, loop, close_connection
        events = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR
        stream.eventAddCallback(events, self._ready, None)

    def _ready(self, stream: Any, events: int, _opaque: Any) -> None:
        try:
            data = stream.recv(65536) if events & libvirt.VIR_STREAM_EVENT_READABLE else b""
        except libvirt.libvirtError:
            data = b""
        if data == -2:  # nothing to read after all
            return
        if not data:
            with contextlib.suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
        with contextlib.suppress(RuntimeError):  # the controller's loop has ended
            self._loop.call_soon_threadsafe(self._put, data or None)

    def _put(self, data: bytes | None) -> None:
        if self.output.full():
            self.output.get_nowait()
        self.output.put_nowait(data)

    def send(self, data: bytes) -> None:
        """Blocking; runs in the host's threads."""
        send_all(self._stream, data)

    def close(self) -> None:
        """Blocking; runs in a thread."""
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.eventRemoveCallback()
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.abort()
        del self._stream  # here, and not in whichever thread collects the garbage: it keeps the connection open
        self._close_connection()


class Consoles(Connection):
    """The serial consoles of a host's guests."""

    async def console(self, uuid: str) -> Console:
        """The guest's serial console; one user at a time, a second one takes it over."""
        loop = asyncio.get_running_loop()

        def call() -> Console:
            conn = self._open()  # of its own: different threads type into it
            stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
            conn.lookupByUUIDString(uuid).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
            return Console(stream, loop, partial(self._close, conn))

        return await self._run(call)

    async def close_console(self, console: Console) -> None:
        """End a console."""
        await asyncio.to_thread(console.close)  # the host's own threads may be gone with the link

    async def send_console(self, console: Console, data: bytes) -> None:
        """Type into a console."""
        await self._run(console.send, data)
