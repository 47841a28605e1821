"""One controller per registry: who holds the lock may make the socket, and only that one takes it away again."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from vmctl.errors import AlreadyRuns, RegistryUnusable
from vmctl.local import paths


def take(path: Path) -> int:
    """Hold the lock until the descriptor is closed or the process ends. AlreadyRuns names the one that holds it."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise _unwritable(path, err) from err
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        who = f" (process {other})" if other else ""
        raise AlreadyRuns(f"a controller already runs here{who}", hint="vmctl serve --stop") from None
    try:
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
    except OSError as err:
        os.close(fd)
        raise _unwritable(path, err) from err
    return fd


def _unwritable(path: Path, err: OSError) -> RegistryUnusable:
    where = paths.mount_of(path)
    message = f"the registry's folder {path.parent} cannot be written: {err.strerror} (file system {where})"
    return RegistryUnusable(message, hint=f"df {where}")


def holder(path: Path) -> int | None:
    """The process id of the controller that holds the lock, if one runs. Nothing is written, and nothing is locked."""
    try:
        number = int(path.read_text() or 0)
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return number if b"serve" in command.split(b"\0") else None
