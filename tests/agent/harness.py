"""An agent at a pseudo-terminal: a real process of a real Python, with the test as the host."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from guest_agent import wire
from guest_agent.wire import Damage, Message

ROOT = Path(__file__).parents[2]


class Host:
    """The other end of the agent's port: what came, and the process."""

    def __init__(self, link: Path, config: str = "", python: str = sys.executable) -> None:
        self.link = link
        self.master = -1
        self.got: list[Message] = []
        self.damage: list[Damage] = []
        self._decoder = wire.Decoder()
        self._rest: list[Message] = []  # that came and no `wait` has looked at
        self._sent = 0
        self._slave = -1
        file = link.with_suffix(".toml")
        file.write_text(config)
        command = [python, "-m", "guest_agent", "--config", str(file), "--port", str(link)]
        path = f"{ROOT}{os.pathsep}{next(entry for entry in sys.path if entry.endswith('site-packages'))}"
        self.process = subprocess.Popen(command, cwd="/", env={**os.environ, "PYTHONPATH": path})

    def plug_in(self) -> None:
        """Make the port appear."""
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(self._slave))
        self._decoder = wire.Decoder()
        self._rest = []

    def pull_out(self) -> None:
        """Make it vanish."""
        self.link.unlink(missing_ok=True)
        for fd in (self.master, self._slave):
            if fd >= 0:
                os.close(fd)
        self.master = self._slave = -1

    def say(self, type: str, body: dict[str, Any]) -> None:
        """As the host would."""
        self._sent += 1
        os.write(self.master, b"".join(wire.encode(type, self._sent, body)))

    def read(self, wait_s: float = 0.05) -> list[Message]:
        """What has come since the last reading."""
        new: list[Message] = []
        if select.select([self.master], [], [], wait_s)[0]:
            for one in self._decoder.feed(os.read(self.master, 65536)):
                if isinstance(one, Damage):
                    self.damage.append(one)
                else:
                    new.append(one)
        self.got += new
        return new

    def wait(self, wanted: str | Callable[[Message], bool], limit_s: float = 15.0) -> Message:
        """Read on until there is a message of that type, or one that pleases."""
        pleases = (lambda one: one.type == wanted) if isinstance(wanted, str) else wanted
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the agent has ended"
            self._rest += self.read()
            while self._rest:  # what came with the one that was waited for is what the next one waits for
                one = self._rest.pop(0)
                if pleases(one):
                    return one
        raise AssertionError(f"not within {limit_s:g} s: {wanted}; got {[one.type for one in self.got]}")

    def event(self, what: str, watch: str, limit_s: float = 15.0) -> dict[str, Any]:
        """An event: one that has come and was not asked for yet, or the next."""

        def is_it(one: Message) -> bool:
            return one.type == "event" and (one.body["what"], one.body["watch"]) == (what, watch)

        found = next((one for one in self.got if is_it(one)), None) or self.wait(is_it, limit_s)
        self.got.remove(found)
        return dict(found.body)

    def rss_kib(self) -> int:
        """The agent's resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def end(self) -> None:
        """Stop the agent and close."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.process.kill()
        self.process.wait()
        self.pull_out()


@contextlib.contextmanager
def agent(tmp_path: Path, config: str = "", plugged: bool = True, python: str = sys.executable) -> Iterator[Host]:
    """An agent, and the host it talks to."""
    host = Host(tmp_path / "port", config, python)
    try:
        if plugged:
            host.plug_in()
        yield host
    finally:
        host.end()
