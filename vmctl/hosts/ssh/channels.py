"""What runs inside a connection: a command, a program, a stream, a forwarded socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import asyncssh

from vmctl.hosts.ssh.quoting import plain
from vmctl.hosts.ssh.script import Marked


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


class Reader(Protocol):
    """The reading end of a byte stream, as asyncio's StreamReader."""

    async def read(self, n: int = -1) -> bytes: ...
    async def readline(self) -> bytes: ...
    async def readexactly(self, n: int) -> bytes: ...


class Writer(Protocol):
    """The writing end of a byte stream, as asyncio's StreamWriter."""

    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    async def drain(self) -> None: ...
    async def wait_closed(self) -> None: ...


class Explained:
    """The reading end of a stream on a host; what breaks it leaves as an error that names the host."""

    def __init__(self, reader: Reader, explained: Callable[[], AbstractContextManager[None]]) -> None:
        self._reader, self._explained = reader, explained

    async def read(self, n: int = -1) -> bytes:
        """As asyncio's."""
        with self._explained():
            return await self._reader.read(n)

    async def readline(self) -> bytes:
        """As asyncio's."""
        with self._explained():
            return await self._reader.readline()

    async def readexactly(self, n: int) -> bytes:
        """As asyncio's."""
        with self._explained():
            return await self._reader.readexactly(n)


class Output(asyncssh.SSHClientSession[bytes]):
    """Gathers what a script prints after its mark, up to a limit."""

    def __init__(self, mark: str, max_bytes: int) -> None:
        self.parts = (bytearray(), bytearray())
        self.left = max_bytes
        self.status: int | None = None
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.begun: asyncio.Future[None] = loop.create_future()  # done at the end, too
        self._streams = (Marked(mark), Marked(mark))

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """asyncssh: something was printed, on standard error when there is a data type."""
        try:
            data = self._streams[datatype is not None].feed(data)
        except ValueError:  # noise without end
            self.left = 0
        if self._streams[0].begun and not self.begun.done():
            self.begun.set_result(None)
        self.left -= len(data)
        if self.left >= 0:
            self.parts[datatype is not None].extend(data)
        else:
            self._finish()

    @property
    def ran(self) -> bool:
        """Whether the script began at all."""
        return self._streams[0].begun

    @property
    def noise(self) -> str:
        """What was printed instead of the script's own output, in part."""
        return plain(b" ".join(stream.noise for stream in self._streams).decode(errors="replace").strip())

    def exit_status_received(self, status: int) -> None:
        """asyncssh: it ended."""
        self.status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """asyncssh: a signal killed it."""
        self.status = -1

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh: the channel is closed."""
        self._finish()

    def _finish(self) -> None:
        for waited in (self.begun, self.ended):
            if not waited.done():
                waited.set_result(None)


class Process(asyncssh.SSHClientSession[bytes]):
    """A long-lived program on a host. Its standard error is kept in part (`complaint`), never delivered."""

    def __init__(self, mark: str, receive: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        self._receive = receive
        self._ended = ended
        self._out = Marked(mark)
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._at_end: list[Callable[[], None]] = []
        self.begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # empty, or why it never began
        self.complaint = ""
        self.busy = True  # somebody waits for what it prints

    def write(self, data: bytes) -> None:
        """Send to its standard input. Raises BrokenPipeError when it is gone."""
        if self._channel is None:
            raise BrokenPipeError("closed")
        self._channel.write(data)

    def close(self) -> None:
        """Close the channel at once; neither callback is called any more."""
        self._receive, self._ended = _ignore, _ignore
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.abort()
        self._leave("closed")

    def give_up(self, why: str) -> None:
        """Close the channel and say so to `ended`."""
        ended = self._ended
        self.close()
        ended(why)

    def at_end(self, action: Callable[[], None]) -> None:
        """Call this once when it is over, however that comes."""
        self._at_end.append(action)

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """asyncssh: the channel is open."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """asyncssh: the program printed."""
        if datatype is not None:
            self.complaint = plain((self.complaint + data.decode(errors="replace"))[-300:])
            return
        try:
            data = self._out.feed(data)
        except ValueError as err:
            self._leave(str(err))
            return
        if self._out.begun and not self.begun.done():
            self.complaint = ""  # what its login shell said
            self.begun.set_result("")
        if data:
            self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh: the channel is closed."""
        self._channel = None
        said = self.complaint or plain(self._out.noise.decode(errors="replace").strip())
        why = plain(str(exc)) if exc else said or "it ended"
        began = self._out.begun
        self._leave(why)
        if began:
            self._ended(why)

    def _leave(self, why: str) -> None:
        if not self.begun.done():
            self.begun.set_result(why or "it ended")
        actions, self._at_end = self._at_end, []
        for action in actions:
            action()


def _ignore(_: object) -> None:
    """Nobody listens any more."""


class Listener:
    """A forwarded socket. `close` removes it on both sides as far as the connection still stands."""

    def __init__(
        self,
        listener: asyncssh.SSHListener,
        at_end: list[Callable[[], None]],
        now: Callable[[], None] = lambda: None,
        later: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._listener = listener
        self._now = now
        self._later = later
        at_end.append(now)

    async def close(self) -> None:
        """Stop listening and remove the socket file. Connections already made go on."""
        self._listener.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._listener.wait_closed()
        self._now()
        if self._later is not None:
            await self._later()
