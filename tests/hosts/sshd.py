"""A private sshd on a loopback port, for tests and benches: own host key, own configuration, own home directory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from vmctl.hosts.ssh import HostKey, Target, ensure_key

SSHD = "/usr/sbin/sshd"


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class PrivateSshd:
    """One sshd; `extra` are more lines of sshd_config, `environment` more words of a SetEnv."""

    directory: Path
    extra: str = ""
    environment: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.home = self.directory / "home"
        self.home.mkdir(exist_ok=True)
        self.key = self.directory / "client"
        public = ensure_key(self.key)
        (self.directory / "authorized_keys").write_text(public + "\n")
        self.new_host_key()

    def new_host_key(self) -> None:
        """Another host key, as after a reinstallation."""
        for old in self.directory.glob("host_key*"):
            old.unlink()
        self.host_key = ensure_key(self.directory / "host_key")

    def start(self) -> PrivateSshd:
        """Start and wait until it listens."""
        config = self.directory / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.directory}/host_key\n"
            f"AuthorizedKeysFile {self.directory}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n"
            f"PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\n"
            f"SetEnv HOME={self.home} {self.environment}\nLogLevel VERBOSE\n{self.extra}\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its privilege separation directory
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log, start_new_session=True)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.settimeout(1)
                probe.connect(("127.0.0.1", self.port))
                if probe.recv(4) == b"SSH-":  # it listens a moment before it answers
                    return self
            time.sleep(0.01)
        raise RuntimeError((self.directory / "log").read_text())

    def children(self) -> list[int]:
        """The processes of its connections: sshd's direct children."""
        if self.process is None:
            return []
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def descendants(self, needle: bytes) -> list[int]:
        """Every process below it whose command line holds `needle`."""
        found, todo = [], self.children()
        while todo:
            pid = todo.pop()
            try:
                if needle in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
                todo += [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            except FileNotFoundError:
                continue
        return found

    def stop(self) -> None:
        """End it and its connections."""
        if self.process is not None:
            children = self.children()
            self.process.terminate()
            self.process.wait(5)
            for pid in children:
                try:
                    os.kill(pid, signal.SIGCONT)
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    continue
            self.process = None

    def target(self, name: str = "kvm1", **changes: object) -> Target:
        """This sshd as a host to connect to."""
        user = os.environ.get("USER", "root") if os.geteuid() else "root"
        values: dict[str, object] = {"address": "127.0.0.1", "port": self.port, "user": user, "host_key": self.host_key}
        return Target(name, **(values | changes))  # type: ignore[arg-type]


def public_of(key: HostKey | str) -> str:
    """The type and the body of a public key, without its comment."""
    text = key.public if isinstance(key, HostKey) else key
    return " ".join(text.split()[:2])
