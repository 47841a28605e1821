"""What runs inside a connection: a command, a program, a terminal, a stream, a forwarded socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import asyncssh

from vmctl.hosts.ssh.words import plain


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


class Output(asyncssh.SSHClientSession[bytes]):
    """Gathers what a command prints, up to a limit."""

    def __init__(self, max_bytes: int) -> None:
        self.parts = (bytearray(), bytearray())
        self.left = max_bytes
        self.status: int | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """asyncssh: it printed, on standard error when there is a data type."""
        self.left -= len(data)
        if self.left >= 0:
            self.parts[datatype is not None].extend(data)
        else:
            self._finish()

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
        if not self.ended.done():
            self.ended.set_result(None)


class Process(asyncssh.SSHClientSession[bytes]):
    """A long-lived program on a host. Its standard error is kept in part (`complaint`), never delivered."""

    def __init__(self, receive: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        self._receive = receive
        self._ended = ended
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self.complaint = ""

    def write(self, data: bytes) -> None:
        """Send to its standard input. Raises BrokenPipeError when it is gone."""
        if self._channel is None:
            raise BrokenPipeError("closed")
        self._channel.write(data)

    def close(self) -> None:
        """Close the channel at once; neither callback is called any more."""
        self._receive, self._ended = _ignore, _ignore
        if self._channel is not None:
            self._channel.abort()
            self._channel = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """asyncssh: the channel is open."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """asyncssh: the program printed."""
        if datatype is None:
            self._receive(data)
        else:
            self.complaint = plain((self.complaint + data.decode(errors="replace"))[-300:])

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh: the channel is closed."""
        self._channel = None
        self._ended(plain(str(exc)) if exc else self.complaint or "it ended")


def _ignore(_: object) -> None:
    """Nobody listens any more."""


class Terminal:
    """A command on a terminal: bytes in, bytes out, a size, an end."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], release: Callable[[], None]) -> None:
        self._process = process
        self._release = release
        self.reader: Reader = process.stdout
        self.writer: Writer = process.stdin

    def resize(self, columns: int, rows: int) -> None:
        """Tell the command that its terminal has another size."""
        self._process.change_terminal_size(columns, rows)

    async def wait(self) -> int:
        """Wait for its end; its status, -1 for a signal or a lost connection."""
        await self._process.wait_closed()
        status = self._process.exit_status
        return -1 if status is None else status

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        self._process.close()
        release, self._release = self._release, lambda: None
        release()


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
