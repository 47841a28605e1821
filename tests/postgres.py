"""A PostgreSQL server of the tests' own: in a folder, as an ordinary user, on a unix socket; and databases in it.

What makes it fast makes it forgetful: nothing waits for a disk, as no test cuts the power.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from vmctl.lab.database import binaries

START_S = 30.0
# A language of its own: text must sort as vmctl says, and not as the server would.
LOCALE = ("--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8", "-E", "UTF8")
QUIET = ("listen_addresses=", "shared_buffers=32MB", "autovacuum=off")
FORGETFUL = (*QUIET, "fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres:
    """A server. Its folder's path must be short: it has the unix socket."""

    def __init__(self, folder: Path, options: tuple[str, ...] = FORGETFUL) -> None:
        self.folder, self.data, self._options = folder, folder / "data", options
        self.process: subprocess.Popen[bytes] | None = None

    def init(self) -> None:
        """Make its data."""
        self._run("initdb", "-D", str(self.data), "-U", "vmctl", "-A", "trust", "-N", "--no-instructions", *LOCALE)

    def start(self) -> None:
        """Start it, and wait until it answers. It ends with whoever started it."""
        options = ("-k", str(self.folder), *(word for option in self._options for word in ("-c", option)))
        command = [*as_user("--pdeathsig=QUIT"), str(binaries() / "postgres"), "-D", str(self.data), *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.dsn("postgres")):
            return True
        return False

    def stop(self, sign: signal.Signals = signal.SIGQUIT) -> None:
        """End it: QUIT as a power cut would, INT in good order."""
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.wait(START_S)
            self.process = None

    def standby(self) -> Postgres:
        """A copy that follows it once it is started, in a folder of its own."""
        copy = Postgres(_folder(), self._options)
        copy.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(copy.data, "nobody", "nogroup")
        self._run("pg_basebackup", "-h", str(self.folder), "-U", "vmctl", "-D", str(copy.data), "-R", "-c", "fast")
        return copy

    def remove(self) -> None:
        """End it, and take its data away."""
        self.stop()
        shutil.rmtree(self.folder)

    def create(self, name: str, template: str = "template0") -> str:
        """Make a database; what reaches it."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))
        return self.dsn(name)

    def drop(self, name: str) -> None:
        """Take a database away, whoever uses it."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))

    def dsn(self, name: str) -> str:
        """What reaches a database."""
        return f"postgresql://vmctl@/{name}?host={self.folder}"

    def _run(self, program: str, *args: str) -> None:
        command = [*as_user(), str(binaries() / program), *args]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"


def as_user(*options: str) -> list[str]:
    """A command's beginning: the server refuses to run as root."""
    nobody = ("--reuid=nobody", "--regid=nogroup", "--clear-groups") if os.geteuid() == 0 else ()
    return ["setpriv", *nobody, *options] if nobody or options else []


def _folder() -> Path:
    """A folder for a server: pytest's are closed to other users, and their paths are too long for a socket."""
    made = Path(tempfile.mkdtemp(prefix="vmctl-pg", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(made, "nobody", "nogroup")
    return made


@contextmanager
def running(options: tuple[str, ...] = FORGETFUL) -> Iterator[Postgres]:
    """A server, from its beginning to its end."""
    server = Postgres(_folder(), options)
    try:
        server.init()
        server.start()
        yield server
    finally:
        server.remove()
