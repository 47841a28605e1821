"""Real controllers that share one PostgreSQL database, each with folders of its own, as on a machine of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT_S = 60.0
DEPOSED = 75


def wait_for(look: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """What is found; or the test fails with what was waited for."""
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.05)
    return found


@dataclass
class Home:
    """A user's folders, and the controller that runs there."""

    folder: Path
    dsn: str
    port: int = 0  # at which other controllers reach it; 0: one that is free
    roles: str = "naming,proxy"
    code: Path | None = None  # where its version lies, which a program finds first where it begins; None: here
    running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        (self.folder / "config" / "vmctl").mkdir(parents=True)
        own = f'[controllers]\nname = "{self.folder.name}"\nlisten = "127.0.0.1:{self.port}"\nroles = "{self.roles}"\n'
        (self.folder / "config" / "vmctl" / "vmctl.toml").write_text(f'database = "{self.dsn}"\n{own}')

    @property
    def environment(self) -> dict[str, str]:
        """What makes it think that it is alone on its machine."""
        xdg = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
        return os.environ | xdg | {"VMCTL_SOCKET": str(self.folder / "run" / "s"), "HOME": str(self.folder)}

    def vmctl(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        command = [sys.executable, "-m", "vmctl.cli.main", *words]
        return subprocess.run(
            command, env=self.environment, cwd=self.code, input=typed, capture_output=True, text=True, timeout=LIMIT_S
        )

    def json(self, *words: str) -> Any:
        """What a command tells; it must succeed."""
        done = self.vmctl(*words, "-o", "json")
        assert done.returncode == 0, (words, done.stderr, self.log[-3000:])
        return json.loads(done.stdout)

    def serve(self) -> None:
        """Begin a controller, and wait until it answers."""
        self.begin()
        wait_for(self._answers, f"the controller in {self.folder} answers")

    def begin(self) -> None:
        """Begin a controller."""
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "vmctl.cli.main", "serve", "-v"]
            self.running = subprocess.Popen(
                command, env=self.environment, cwd=self.code, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _answers(self) -> bool:
        assert self.running is not None and self.running.poll() is None, self.log
        return self.vmctl("host", "list").returncode == 0

    @property
    def log(self) -> str:
        """What its controllers have said."""
        return (self.folder / "log").read_text()

    def send(self, number: signal.Signals) -> None:
        """Send its controller a signal."""
        assert self.running is not None
        self.running.send_signal(number)

    def begin_command(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command."""
        command = [sys.executable, "-m", "vmctl.cli.main", *words]
        with (self.folder / "commands").open("a") as said:
            return subprocess.Popen(command, env=self.environment, stdout=said, stderr=said, text=True)

    def kill(self) -> None:
        """kill -9 of its controller, if one runs."""
        if self.running is not None:
            self.running.kill()
            self.running.wait()


@contextlib.contextmanager
def replicas(folder: Path, dsn: str, count: int) -> Iterator[list[Home]]:
    """So many controllers that answer; the first of them leads."""
    homes = [Home(folder / name, dsn) for name in "abcdef"[:count]]
    try:
        for home in homes:
            home.serve()
        yield homes
    finally:
        for home in homes:
            home.kill()
