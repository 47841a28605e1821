"""Serial consoles."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import libvirt

from vmctl.errors import LibvirtError, Refused
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

    async def console(self, uuid: str, *, force: bool = False) -> Console:
        """The guest's serial console, which has one user at a time. Refused if it has one, unless `force` ends that."""
        loop = asyncio.get_running_loop()

        def call() -> Console:
            conn = self._open()  # of its own: different threads type into it
            stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
            flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else 0
            try:
                conn.lookupByUUIDString(uuid).openConsole(None, stream, flags)
            except libvirt.libvirtError:
                del stream  # it keeps the connection open
                self._close(conn)
                raise
            return Console(stream, loop, partial(self._close, conn))

        try:
            return await self._run(call)
        except LibvirtError as err:
            if err.code_number == libvirt.VIR_ERR_OPERATION_FAILED:  # what libvirt says of a console in use
                raise Refused("the console is in use, past vmctl", hint="--force takes it over") from err
            raise

    async def close_console(self, console: Console) -> None:
        """End a console."""
        await asyncio.to_thread(console.close)  # the host's own threads may be gone with the link

    async def send_console(self, console: Console, data: bytes) -> None:
        """Type into a console."""
        await self._run(console.send, data)
