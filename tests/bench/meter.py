"""CPU seconds: of a group of processes with its children by a cgroup (v1 cpuacct, else v2; needs root), of one child,
and of a function of our own."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path("/sys/fs/cgroup")


class Meter:
    """One cgroup under a name of its own. Whoever is put in is counted, with all its children."""

    def __init__(self, name: str) -> None:
        self.first_version = (ROOT / "cpuacct").is_dir()
        self.path = (ROOT / "cpuacct" if self.first_version else ROOT) / name
        self.path.mkdir(exist_ok=True)

    def join(self, pid: int = 0) -> None:
        """Put a process in; 0 is ourselves."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        if self.first_version:
            return int((self.path / "cpuacct.usage").read_text()) / 1e9
        words = (self.path / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def end(self) -> None:
        """End what is still in it, and remove it."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            for word in (self.path / "cgroup.procs").read_text().split():
                if int(word) != os.getpid():
                    os.kill(int(word), signal.SIGCONT)
                    os.kill(int(word), kind)
            time.sleep(0.2)
        if not (self.path / "cgroup.procs").read_text():
            self.path.rmdir()


@dataclass(frozen=True)
class Ran:
    """A child that has ended: what it printed, and what it used. `late`: it was killed at its limit."""

    out: str
    error: str
    cpu_s: float
    late: bool = False


def child(command: Sequence[str], limit_s: float, core: int | None = None) -> Ran:
    """Run a child, pinned to one core if one is named, and count its CPU seconds alone, by its own rusage."""
    pin = () if core is None else ("taskset", "-c", str(core))
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        process = subprocess.Popen((*pin, *command), stdout=out, stderr=error)
        late = False
        deadline = time.monotonic() + limit_s
        while True:
            pid, _, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if not late and time.monotonic() > deadline:
                late = True
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.002)
        process.returncode = 0  # it is reaped; Popen need not look for it
        out.seek(0)
        error.seek(0)
        return Ran(out.read(), error.read(), usage.ru_utime + usage.ru_stime, late)


Made = TypeVar("Made")


def own(work: Callable[[], Made], rounds: int = 1, warm_up: bool = True) -> tuple[Made, float]:
    """What a function returns, and the median of the CPU seconds that this process needs for it after a warm-up."""
    if warm_up:
        work()
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        made = work()
        spent.append(time.process_time() - began)
    return made, statistics.median(spent)
