"""Load collection: one long-lived channel per host, on which a small program answers each request with one frame.

The rule: a host may be slow, silent, garbled or hostile, and it costs a limited time, a limited memory and its own
samples only. An answer belongs to its request by number; whatever is not a frame closes the channel, and the next
request opens another.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from vmctl.errors import Unreachable
from vmctl.hosts.facts import RawSample, Unreadable, parse_sample
from vmctl.hosts.programs import command
from vmctl.hosts.ssh import HostSSH, Process

MOST_BYTES = 1 << 20  # of one frame
MOST_HUNG = 4  # programs left hanging on one connection: each may still hold one of sshd's ten sessions
HEADER = re.compile(rb" (\d{1,18}) (\d{1,9}) (\d{1,9})\n")
LONGEST_HEADER = 64


class Frame(NamedTuple):
    """One answer: the number it was asked with, the program's process id on the host, the text."""

    number: int
    pid: int
    text: bytes


class Frames:
    """Cuts a byte stream into frames. Pure. Raises `Unreadable` for what can be none."""

    def __init__(self, token: str, most_bytes: int = MOST_BYTES) -> None:
        self._marker = b"\x1e" + token.encode()
        self._most = most_bytes
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        self._rest = self._rest + data if self._rest else data
        found: list[Frame] = []
        while self._rest and self._at_marker():
            header = HEADER.match(self._rest, len(self._marker), len(self._marker) + LONGEST_HEADER)
            if header is None:
                if len(self._rest) > len(self._marker) + LONGEST_HEADER:
                    raise Unreadable("a frame without a header")
                break
            end = header.end() + int(header[2])
            if end - header.end() > self._most:
                raise Unreadable(f"a frame of {int(header[2])} bytes")
            if len(self._rest) < end:
                break
            found.append(Frame(int(header[1]), int(header[3]), self._rest[header.end() : end]))
            self._rest = self._rest[end:]
        return found

    def _at_marker(self) -> bool:
        """Whether the bytes at hand begin with a whole marker."""
        if not self._marker.startswith(self._rest[: len(self._marker)]):
            raise Unreadable("bytes that are no frame")
        return len(self._rest) >= len(self._marker)


class Collector:
    """Takes samples of one host. One at a time; a request that finds another under way waits for it."""

    def __init__(self, ssh: HostSSH, *, program: str = "", watched: Sequence[str] = ()) -> None:
        """`watched`: names of daemons that samples have beside QEMU's processes."""
        self._ssh = ssh
        self._watched = watched
        self._program = program
        self._number = 0
        self._lock = asyncio.Lock()
        self._process: Process | None = None
        self._answer: asyncio.Future[Frame] | None = None
        self._running: tuple[int, str] | None = None  # process id and token of the program at work
        self._hung = 0  # programs abandoned on this connection since its last answer
        self._login = 0
        self._token = ""

    async def sample(self, timeout_s: float) -> RawSample:
        """Ask for one sample, and read it.

        Raises `Unreachable` when none comes within `timeout_s` seconds (the channel is then closed, and opened again
        at the next call) or the connection is lost, `Unreadable` for an answer that is none.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(timeout_s):
                    frame = await self._ask()
            except TimeoutError as err:
                self._abandon()
                raise Unreachable(
                    f"{self._ssh.target.name}: no sample within {timeout_s:g} s",
                    hint="" if self._running else "does a login there hang? see the rc files of the shell",
                ) from err
            self._running, self._hung = (frame.pid, self._token), 0
            self._rest()
        return parse_sample(frame.text.decode(errors="replace"))

    def close(self) -> None:
        """Close the channel. The next sample opens it again."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _rest(self) -> None:
        """Between samples the program waits; where sshd has a single session, others need it meanwhile."""
        if self._ssh.in_turns:
            self.close()
        elif self._process is not None:
            self._process.busy = False

    async def _ask(self) -> Frame:
        if self._process is None:
            await self._open()
        self._number += 1
        self._answer = asyncio.get_running_loop().create_future()
        assert self._process is not None
        self._process.busy = True
        try:
            self._process.write(b"%d\n" % self._number)
        except BrokenPipeError as err:
            self.close()
            raise Unreachable(f"{self._ssh.target.name}: the collecting program is gone") from err
        return await self._answer

    async def _open(self) -> None:
        if self._login != self._ssh.logins:
            self._login, self._hung, self._running = self._ssh.logins, 0, None
        name = self._ssh.target.name
        if self._hung >= MOST_HUNG:
            raise Unreachable(f"{name}: {self._hung} collecting programs hang there, no more are started")
        self._token = secrets.token_hex(8)
        frames = Frames(self._token)
        line = command(self._token, self._program, self._running, self._watched)
        self._process = await self._ssh.open_process(line, lambda data: self._take(frames, data), self._lost)

    def _take(self, frames: Frames, data: bytes) -> None:
        """Output has come: hand the answer to who waits for it; late answers to earlier requests are dropped."""
        try:
            for frame in frames.feed(data):
                if frame.number == self._number and self._answer is not None and not self._answer.done():
                    self._answer.set_result(frame)
        except Unreadable as err:
            self._fail(Unreadable(f"{self._ssh.target.name} sends {err.message} instead of a sample"))

    def _lost(self, why: str) -> None:
        self._fail(Unreachable(f"{self._ssh.target.name}: the collecting program ended: {why}"))

    def _fail(self, err: Unreachable | Unreadable) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(err)

    def _abandon(self) -> None:
        """The program hangs: leave it. The next one ends it first, if it can be named."""
        self._hung += not self._ssh.in_turns  # there it may only have waited for its turn
        self.close()
