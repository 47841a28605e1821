"""A memcached server of the tests' own, on a port of its own."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.hosts.sshd import free_port

START_S = 10.0


@dataclass
class Memcached:
    """It ends with `stop`."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> str:
        """As it stands in the settings."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, with nothing in it, and wait until it listens."""
        command = ("memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(self.port))
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while not self._listens():
            assert self.process.poll() is None and time.monotonic() < deadline, "memcached does not begin"
            time.sleep(0.02)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def say(self, text: bytes) -> bytes:
        """What it answers, past any client of ours."""
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as sock:
            sock.sendall(text)
            return sock.recv(65536)

    def stand_still(self) -> None:
        """Freeze it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2][0] != "T":
            time.sleep(0.01)

    def go_on(self) -> None:
        """Let it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it; it forgets everything."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
