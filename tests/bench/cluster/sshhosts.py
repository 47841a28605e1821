"""All simulated hosts behind one listening socket: an SSH server, in a process of its own.

    python -m tests.bench.cluster.sshhosts FOLDER HOSTS VMS SEED

Which host is meant tells the address that was connected to. What is asked of a host is known by its script: the
collecting program, which session this is, the end of others. The folder has `client.pub`, which may log in; once the
server listens, it prints its port and its host key.
"""

from __future__ import annotations

import asyncio
import itertools
import shlex
import sys
import time
from pathlib import Path

import asyncssh

from tests.bench.cluster.simhosts import SimHost, number_at
from vmctl.hosts import sessions
from vmctl.hosts.letin import LET_IN
from vmctl.hosts.programs import PERL
from vmctl.hosts.ssh import ensure_key
from vmctl.hosts.ssh.quoting import quoted
from vmctl.hosts.ssh.script import LINE

COLLECTS = f"perl -e {shlex.quote(PERL.strip())} "  # the token follows
TOKEN = 16
OWN = f"exec {quoted(sessions.OWN_SESSION.command)}"
LETS_IN = f"exec {quoted(('sh', '-c', LET_IN, 'sh'))}"
END = f"exec {quoted(('sh', '-c', sessions.END, 'sh'))}"


class Hosts:
    """All of them, and who is logged in."""

    def __init__(self, count: int, vms: int, seed: int) -> None:
        self.all = [SimHost(number, vms, seed) for number in range(count)]
        self.pids = itertools.count(10_000)
        self.logged_in: dict[str, Login] = {}  # by "pid:ticks"

    def end(self, words: list[str]) -> None:
        """End these sessions."""
        for word in words:
            if (found := self.logged_in.pop(word, None)) is not None:
                found.connection.abort()


class Login(asyncssh.SSHServer):
    """One connection."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts, self.pid = hosts, next(hosts.pids)
        self.name = f"{self.pid}:{self.pid}"

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """asyncssh: somebody has connected."""
        self.connection = conn
        self.host = self.hosts.all[number_at(conn.get_extra_info("sockname")[0])]
        self.hosts.logged_in[self.name] = self

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh: it is gone."""
        self.hosts.logged_in.pop(self.name, None)

    def session_requested(self) -> Session:
        """asyncssh: something is to be run."""
        return Session(self)


class Session(asyncssh.SSHServerSession[bytes]):
    """A shell that reads a script, and the program that it becomes."""

    def __init__(self, login: Login) -> None:
        self._login, self._text, self._token = login, b"", ""

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """asyncssh: the channel is open."""
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        """asyncssh: the login shell's line."""
        return command == LINE

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """asyncssh: a script, or a request for a sample."""
        self._text += data
        while b"\n" in self._text and self._token:
            number, _, self._text = self._text.partition(b"\n")
            self._sample(number.decode())
        if not self._token and self._text.endswith(b"\n"):
            self._run(self._text.decode())

    def eof_received(self) -> bool:
        """asyncssh: nothing more comes. The channel is closed by who has an end."""
        return True

    def _run(self, text: str) -> None:
        """The script has a mark in two halves first, see `vmctl/hosts/ssh/script.py`."""
        show, _, command = text.rstrip("\n").split("; ", 2)
        mark = "".join(show.split()[2:4]).encode()
        if (at := command.find(COLLECTS)) >= 0:
            self._text, self._token = b"", command[at + len(COLLECTS) :][:TOKEN]
            self._channel.write(mark)
            self._channel.write_stderr(mark)
            return
        if command == OWN:
            out = f"{self._login.host.boot_id} {self._login.pid} {self._login.pid}\n"
        elif command.startswith(END):
            self._login.hosts.end(command.removeprefix(END).split())
            out = ""
        elif text.count("'") % 2:
            return  # more of it comes
        elif command.startswith(LETS_IN):
            out = ""
        else:
            raise AssertionError(f"nobody has taught these hosts {command}")
        self._channel.write(mark + out.encode())
        self._channel.write_stderr(mark)
        self._channel.exit(0)

    def _sample(self, number: str) -> None:
        text = self._login.host.sample(time.monotonic(), time.time())
        self._channel.write(f"\x1e{self._token} {number} {len(text)} {self._login.pid}\n{text}".encode())


async def serve(folder: Path, hosts: Hosts) -> None:
    """Until its input ends: whoever has started it has gone then."""
    public = ensure_key(folder / "host_key")
    server = await asyncssh.listen(
        "0.0.0.0",
        0,
        server_factory=lambda: Login(hosts),
        server_host_keys=[str(folder / "host_key")],
        authorized_client_keys=str(folder / "client.pub"),
        encoding=None,
        compression_algs=None,
        login_timeout=60,
        backlog=1024,
        allow_scp=False,
        agent_forwarding=False,
        line_editor=False,
    )
    print(server.get_port(), *public.split()[:2], flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    folder, *numbers = sys.argv[1:]
    asyncio.run(serve(Path(folder), Hosts(*(int(word) for word in numbers))))


if __name__ == "__main__":
    main()
