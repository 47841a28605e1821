"""Ending a lab: found by name, never by what a record says, so that a crash half-way or a lost file leaves nothing.

Processes are the members of the lab's control groups and those that carry its marker; nothing else is ever killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress

from vmctl.errors import HostError
from vmctl.lab import cgroups, hostnames, network, system
from vmctl.lab.names import Lab


def left(lab: Lab) -> list[str]:
    """What still exists of the lab, one line each."""
    found = [f"process {pid}" for pid in sorted(_processes(lab))]
    found += [f"mount {point}" for point in system.mounts_below(lab.directory)]
    found += [f"interface {name}" for name in network.interfaces(lab)]
    found += [f"control group {path}" for path in cgroups.directories(lab)]
    if hostnames.present(lab):
        found.append("block in /etc/hosts")
    return found


def remove(lab: Lab, keep_disks: bool) -> None:
    """Take everything away; twice and more if a command of a killed `up` still ran. `HostError` names what stays."""
    end = time.monotonic() + 15
    while True:
        _kill(lab)
        for point in system.mounts_below(lab.directory):
            system.run("umount", "--lazy", point, check=False)
        network.remove(lab)
        hostnames.remove(lab)
        cgroups.remove(lab)
        remains = left(lab)
        if not remains:
            break
        if time.monotonic() > end:
            raise HostError(f"lab {lab.name!r} could not be removed wholly", lines=tuple(remains))
        time.sleep(0.05)
    _remove_files(lab, keep_disks)


def _processes(lab: Lab) -> set[int]:
    return (cgroups.processes(lab) | system.marked(lab)) - system.ancestors()


def _kill(lab: Lab) -> None:
    for pid in _processes(lab):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    system.wait(lambda: not _processes(lab), 10)


def _remove_files(lab: Lab, keep_disks: bool) -> None:
    if not lab.directory.exists():
        return
    for path in lab.directory.iterdir():
        if path == lab.shared and keep_disks:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not keep_disks:
        lab.directory.rmdir()
