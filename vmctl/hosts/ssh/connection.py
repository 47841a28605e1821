"""HostSSH: the connection to one host, and everything through it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import asyncssh

from vmctl.errors import CommandFailed, NotAllowed, Refused, Unreachable
from vmctl.hosts.ssh.channels import Explained, Listener, Output, Process, Ran, Reader, Writer
from vmctl.hosts.ssh.keys import import_pinned
from vmctl.hosts.ssh.login import Owner, Target, login
from vmctl.hosts.ssh.quoting import check_length, check_private, plain, quoted
from vmctl.hosts.ssh.script import LINE, new_mark, script
from vmctl.local.config import Timeouts

T = TypeVar("T")
log = logging.getLogger("vmctl.ssh")
NO_SESSION = "sshd may have no session left (MaxSessions): a command that hangs there keeps its own"
PAUSES = (0.02, 0.1, 0.5)
COMMANDS_AT_ONCE = 8  # sshd allows 10 sessions per connection; the collecting channel and a console need one each


def backoff(attempt: int) -> float:
    """Seconds to wait before connection attempt `attempt` (0 = the first again): doubling to 30 s, with jitter.

    The jitter keeps many lost connections from coming back at once (sshd drops logins beyond MaxStartups).
    """
    return min(30.0, 0.5 * 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1.0)


class HostSSH:
    """The connection to one host. All methods but `connect` raise `Unreachable` when there is none.

    A time-out leaves the host as it may: the command may still run there, so its outcome is not known.
    """

    def __init__(self, target: Target, keys: Sequence[Path], timeouts: Timeouts) -> None:
        self.target = target
        self._keys = tuple(keys)
        self._timeouts = timeouts
        self._slots = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self._wanted = 0  # commands that have a session, or want one
        self._programs: set[Process] = set()  # that have one
        self.in_turns = False  # sshd has too few sessions: one command or program at a time
        self._connection: asyncssh.SSHClientConnection | None = None
        self.logins = 0  # tells one connection from the next
        self._owner = Owner()

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._connection is not None and not self._owner.lost.is_set()

    @property
    def peer(self) -> str:
        """The IP address that the host was reached at; empty when there is no connection."""
        found = self._connection.get_extra_info("peername") if self._connection is not None else None
        return str(found[0]) if found else ""

    async def connect(self) -> None:
        """Log in. Raises `Unreachable`, `NotAllowed` or `HostKeyChanged` (then nothing was sent, not even a name).

        `Usage` where the registry's key of the host is none.
        """
        await self.close()
        pinned = import_pinned(self.target.name, self.target.host_key)
        self.in_turns, self._slots = False, asyncio.Semaphore(COMMANDS_AT_ONCE)
        self._connection, self._owner = await login(self.target, pinned, self._keys, self._timeouts)
        self.logins += 1

    async def wait_closed(self) -> str:
        """Wait until the connection is gone; why it went, in words."""
        await self._owner.lost.wait()
        return self._owner.why

    async def close(self) -> None:
        """End the connection and everything in it. Safe to call at any time."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await connection.wait_closed()

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float | None = None,
        check: bool = True,
        max_bytes: int = 4 << 20,
    ) -> Ran:
        """Run a command to its end: every word reaches it as it is, whatever the login shell there is.

        At most `max_bytes` of output are kept, then the channel is closed. Raises `CommandFailed` for that, for a
        death by signal and, with `check`, for a status other than 0; `Unreachable` when it takes over `timeout_s`.
        """
        command = quoted(argv)
        limit = self._timeouts.command_s if timeout_s is None else timeout_s
        with self._explained(f"`{plain(command, 80)}` within {limit:g} s", NO_SESSION):
            async with asyncio.timeout(limit), self._slots:
                self._wanted += 1
                try:
                    output = await self._collect(command, stdin, max_bytes)
                finally:
                    self._wanted -= 1
        return self._judged(command, output, check)

    async def open_process(
        self, command: str, receive: Callable[[bytes], None], ended: Callable[[str], None]
    ) -> Process:
        """Start a long-lived program; `receive` gets its output as it comes, `ended` is called once, with a reason.

        `command` is read by /bin/sh: one whole command that ends in an `exec`. The channel has its own session at
        sshd. Raises `CommandFailed` when the program does not begin.
        """
        mark = new_mark()
        text, process = script(command, mark), Process(mark, receive, ended)
        if self.in_turns:
            await self._slots.acquire()
            process.at_end(self._slots.release)
        try:
            with self._explained("starting a program there", NO_SESSION):
                await self._start(lambda: process)
                self._programs.add(process)
                process.at_end(lambda: self._programs.discard(process))
                with contextlib.suppress(BrokenPipeError):  # `begun` tells why it is gone
                    process.write(text)
                async with asyncio.timeout(self._timeouts.command_s):
                    why = await process.begun
        except BaseException:
            process.close()
            raise
        if why:
            process.close()
            self._live()
            raise self._never_began(why)
        return process

    async def open_unix(self, path: str, *, window: int = 2 << 20) -> tuple[Reader, Writer]:
        """A byte stream to a unix socket on the host (a guest's serial port). Needs no session at sshd.

        `window`: bytes that the host may send and we have not read.
        """
        socket = f"the socket {plain(path, 120)}"
        with self._explained(f"opening {socket}"):
            opening = self._live().open_unix_connection(path, window=window)
            reader, writer = await self._opened(opening, lambda pair: pair[1].close())
        return Explained(reader, lambda: self._explained(f"reading {socket}")), writer

    async def reach(self, address: str, port: int) -> str:
        """Whether the host reaches a TCP port elsewhere: "open", "refused" (it does, nobody listens), or why not."""
        try:
            with self._explained(f"reaching {address} port {port}"):
                _, writer = await self._opened(
                    self._live().open_connection(address, port), lambda pair: pair[1].close()
                )
        except (CommandFailed, NotAllowed) as err:
            return "refused" if "refused" in err.message.lower() else err.message
        writer.close()
        return "open"

    async def forward_to_local(self, remote_path: str, local_path: Path) -> Listener:
        """Make a unix socket of the host appear here as `local_path`, in a directory only we can enter.

        Lasts until closed or until the connection ends. Raises `CommandFailed` when nothing answers at
        `remote_path`, `Refused` when the directory is open to others: the socket may equal root on the host.
        """
        check_private(local_path)
        _, writer = await self.open_unix(remote_path)  # a clear answer now, rather than a closed socket later
        writer.close()
        connection = self._live()
        with self._explained(f"forwarding {remote_path}"):
            listener = await connection.forward_local_path(str(local_path), remote_path)
        return Listener(listener, self._owner.at_end, lambda: local_path.unlink(missing_ok=True))

    async def offer(self, remote_path: str, local_path: Path) -> Listener:
        """Make a unix socket of ours appear on the host as `remote_path`, until closed or the connection ends.

        A stale socket file there is replaced (sshd does not do it), one that somebody listens on is `Refused`.
        """
        check_length(remote_path)
        try:
            listener = await self._listen_there(remote_path, local_path)
        except asyncssh.ChannelListenError:
            await self._remove_stale(remote_path)
            try:
                listener = await self._listen_there(remote_path, local_path)
            except asyncssh.ChannelListenError as err:
                raise NotAllowed(
                    f"{self.target.name}: sshd does not let {self.target.user} make the socket {remote_path}",
                    hint="is its directory writable, and does sshd_config allow AllowStreamLocalForwarding?",
                ) from err
        return Listener(listener, self._owner.at_end, later=lambda: self._unlink(remote_path))

    # -- inside

    def _take_turns(self) -> None:
        """Make do with one session at a time from now on; a program that nobody waits for gives its own up."""
        if not self.in_turns:
            log.warning(
                "%s: sshd has too few sessions (MaxSessions): commands and samples take turns", self.target.name
            )
            self.in_turns, self._slots = True, asyncio.Semaphore(1)
        for process in list(self._programs):
            if not process.busy:
                process.give_up("a command needed its session")

    def _live(self) -> asyncssh.SSHClientConnection:
        if self._connection is None or self._owner.lost.is_set():
            raise Unreachable(f"{self.target.name}: not connected ({self._owner.why or 'not yet'})")
        return self._connection

    @contextlib.contextmanager
    def _explained(self, what: str, hint: str = "") -> Iterator[None]:
        """Turn what asyncssh and the clock raise into our errors; ours pass through."""
        name = self.target.name
        try:
            yield
        except TimeoutError as err:
            raise Unreachable(f"{name} did not finish in time: {what}", hint="it may still happen there") from err
        except asyncssh.ChannelOpenError as err:
            if not self.connected:
                raise Unreachable(f"{name}: the connection was lost ({self._owner.why}): {what}") from err
            if err.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
                raise NotAllowed(f"{name}: sshd forbids {what}", hint="see sshd_config on the host") from err
            raise CommandFailed(f"{name}: {what} failed: {plain(err.reason)}", hint=hint) from err
        except (asyncssh.DisconnectError, OSError) as err:
            raise Unreachable(f"{name}: {plain(str(err))}: {what}") from err

    async def _opened(self, opening: Awaitable[T], discard: Callable[[T], object]) -> T:
        """Await a channel with a time limit. One that opens after we have left is closed, so none is ever leaked."""
        task = asyncio.ensure_future(opening)

        def close_late(done: asyncio.Future[T]) -> None:
            if not done.cancelled() and done.exception() is None:
                discard(done.result())

        try:
            async with asyncio.timeout(self._timeouts.command_s):
                return await asyncio.shield(task)
        except (asyncio.CancelledError, TimeoutError):
            task.add_done_callback(close_late)
            raise

    async def _start(self, session: Callable[[], asyncssh.SSHClientSession[bytes]]) -> asyncssh.SSHClientChannel[bytes]:
        """Open a session and start a shell in it that reads its script from us.

        sshd counts a closed session until its next round, so it may say "too many" for a moment though there are
        not: ask again, nothing has been started yet. If it goes on saying so, there are fewer than we want: from then
        on one waits for the other, for as long as the caller has time.
        """
        pauses = iter(PAUSES)
        while True:
            opening = self._live().create_session(session, LINE, encoding=None)
            try:
                channel, _ = await self._opened(opening, lambda pair: pair[0].abort())
                return channel
            except AttributeError as err:  # asyncssh, where the connection is lost just as the shell has begun
                if self.connected:
                    raise
                raise asyncssh.ConnectionLost("it was lost as a session began") from err
            except asyncssh.ChannelOpenError as err:
                if err.code != asyncssh.OPEN_CONNECT_FAILED or not self.connected:
                    raise
                pause_s = next(pauses, None)
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
                elif self.in_turns and self._wanted <= 1 and not self._programs:
                    raise  # nobody of ours has one
                else:
                    self._take_turns()
                    pauses = iter(PAUSES)

    async def _collect(self, command: str, stdin: bytes, max_bytes: int) -> Output:
        mark = new_mark()
        text, output = script(f"exec {command}", mark), Output(mark, max_bytes)
        channel = await self._start(lambda: output)
        try:
            with contextlib.suppress(BrokenPipeError):  # it may have ended already, without reading
                channel.write(text)
                if stdin:
                    await output.begun  # the shell may read ahead: what comes after its script is not for it
                    channel.write(stdin)
                channel.write_eof()
            await output.ended
        finally:
            channel.abort()
        return output

    def _judged(self, command: str, output: Output, check: bool) -> Ran:
        name, words = self.target.name, plain(command, 80)
        out, err = (bytes(part).decode(errors="replace") for part in output.parts)
        if output.left < 0:
            raise CommandFailed(f"{name}: `{words}` printed too much, its channel was closed")
        if not output.ran and output.status is not None:
            raise self._never_began(output.noise)
        if output.status is None:
            why = self._owner.why or "its channel was closed"
            raise Unreachable(f"{name}: lost while `{words}` ran ({why})", hint="it may have been done all the same")
        if output.status < 0:
            raise CommandFailed(f"{name}: `{words}` was killed by a signal")
        if check and output.status:
            said = plain((err.strip() or out.strip()).rpartition("\n")[2]) or "and said nothing"
            raise CommandFailed(f"{name}: `{words}` exited {output.status}: {said}")
        return Ran(output.status, out, err)

    def _never_began(self, said: str) -> CommandFailed:
        """The login shell did something else than what it was told: a ForceCommand is the likeliest cause."""
        user, name = self.target.user, self.target.name
        return CommandFailed(
            f"{name}: sshd or {user}'s login shell runs something else than our commands"
            + (f": {said}" if said else ""),
            hint=f"on {name}: no ForceCommand in sshd_config, no command= in {user}'s authorized_keys, and a login "
            f"shell in which `{LINE}` works",
        )

    async def _listen_there(self, remote_path: str, local_path: Path) -> asyncssh.SSHListener:
        connection = self._live()
        with self._explained(f"offering {remote_path}"):
            opening = connection.forward_remote_path(remote_path, str(local_path))
            return await self._opened(opening, lambda listener: listener.close())

    async def _remove_stale(self, remote_path: str) -> None:
        with contextlib.suppress(CommandFailed, NotAllowed):
            _, writer = await self.open_unix(remote_path)
            writer.close()
            raise Refused(f"{self.target.name}: somebody listens on {remote_path} already")
        await self._unlink(remote_path)

    async def _unlink(self, remote_path: str) -> None:
        """Remove a socket, and nothing but a socket."""
        if self.connected:
            await self.run(["sh", "-c", 'if [ -S "$1" ]; then rm -f -- "$1"; fi', "sh", remote_path])
