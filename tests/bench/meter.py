"""CPU seconds of a group of processes, children included, by a cgroup (v1 cpuacct, else v2). Needs root."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

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
