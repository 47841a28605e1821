"""Control groups: what a host's processes may use, and what its /proc then shows of it (through lxcfs).

Version 1: below the group of whoever starts the lab, so that the lab stays within its starter's limits.
Version 2: below the root, because an inner group there can either hold processes or hand out controllers.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from vmctl.errors import Refused
from vmctl.lab.names import Host, Lab

_WANTED = {"cpu", "cpuacct", "cpuset", "memory", "blkio", "freezer"}


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree of groups: version 1 with its controllers, or version 2."""

    mount: Path
    controllers: frozenset[str]
    version: int

    @property
    def base(self) -> Path:
        """Where labs are put."""
        if self.version == 2 and "memory" in self.controllers:
            return self.mount
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            if (self.version == 2 and not names) or (names and set(names.split(",")) & self.controllers):
                below = self.mount / path.lstrip("/")
                return below if below.is_dir() else self.mount
        return self.mount


def hierarchies() -> list[Hierarchy]:
    """The trees that count here: those of the wanted controllers, and version 2 (it knows the pressure)."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        mount = Path(left.split()[4])
        if kind == "cgroup2":
            controllers = frozenset((mount / "cgroup.controllers").read_text().split())
            found[mount] = Hierarchy(mount, controllers, 2)
        elif kind == "cgroup" and (controllers := frozenset(options.split(",")) & _WANTED):
            found[mount] = Hierarchy(mount, controllers, 1)
    return list(found.values())


def directories(lab: Lab) -> list[Path]:
    """Every group of the lab, wherever in the trees it was made."""
    found = []
    for hierarchy in hierarchies():
        for directory, children, _ in os.walk(hierarchy.mount):
            if lab.cgroup in children:
                found.append(Path(directory) / lab.cgroup)
                children.remove(lab.cgroup)
    return found


def prepare(host: Host, memory_bytes: int) -> list[Path]:
    """Make the host's groups and set its limits; the directories that its first process must join."""
    made = []
    for hierarchy in hierarchies():
        try:
            made.append(_prepare(hierarchy, host, memory_bytes))
        except OSError as err:
            raise Refused(f"control groups cannot be made below {hierarchy.base}: {err}") from err
    return made


def _prepare(hierarchy: Hierarchy, host: Host, memory_bytes: int) -> Path:
    top, directory = hierarchy.base / host.lab.cgroup, hierarchy.base / host.cgroup
    directory.mkdir(parents=True, exist_ok=True)
    if hierarchy.version == 2:
        _hand_down(hierarchy, top)
    if "cpuset" in hierarchy.controllers and hierarchy.version == 1:
        _fill_cpuset(top)
        _fill_cpuset(directory)
    if "memory" in hierarchy.controllers:
        limit = "memory.limit_in_bytes" if hierarchy.version == 1 else "memory.max"
        (directory / limit).write_text(str(memory_bytes))
    return directory


def _hand_down(hierarchy: Hierarchy, lab_directory: Path) -> None:
    wanted = " ".join(f"+{name}" for name in sorted(hierarchy.controllers & {"cpu", "cpuset", "memory", "io"}))
    if wanted:
        for directory in (hierarchy.mount, lab_directory):
            (directory / "cgroup.subtree_control").write_text(wanted)


def _fill_cpuset(directory: Path) -> None:
    """An empty one takes no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        (directory / name).write_text((directory.parent / name).read_text())


def pressure(directories: list[Path]) -> Path | None:
    """The group whose *.pressure files are the host's own /proc/pressure, where the kernel has them."""
    return next((path for path in directories if (path / "cpu.pressure").exists()), None)


def of(host: Host) -> list[Path]:
    """The groups of a host that runs."""
    return [top / host.short for top in directories(host.lab) if (top / host.short).is_dir()]


def processes(lab: Lab, within: str = "") -> set[int]:
    """All processes in the lab's groups, or in those of the host with this short name."""
    found: set[int] = set()
    for top in directories(lab):
        for directory, _, _ in os.walk(top / within):
            # gone in between is as good as empty
            with contextlib.suppress(OSError):
                found |= {int(word) for word in (Path(directory) / "cgroup.procs").read_text().split()}
    return found


def first_process(host: Host, members: set[int]) -> int:
    """PID 1 of the host's own PID namespace as this machine numbers it, or 0 when the host is down."""
    for pid in members:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(numbers) > 1 and numbers[-1] == "1":
            return pid
    return 0


def memory_used(host: Host) -> int:
    """Bytes charged to the host, or 0."""
    for top in directories(host.lab):
        for name in ("memory.usage_in_bytes", "memory.current"):
            with contextlib.suppress(OSError):
                return int((top / host.short / name).read_text())
    return 0


def memory_limit(host: Host) -> int:
    """Bytes the host may use, or 0."""
    for top in directories(host.lab):
        for name in ("memory.limit_in_bytes", "memory.max"):
            with contextlib.suppress(OSError, ValueError):
                return int((top / host.short / name).read_text())
    return 0


def remove(lab: Lab) -> None:
    """Remove the lab's groups, the innermost first. One that still has a process stays; the caller looks again."""
    for top in directories(lab):
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
