"""What is wrong with a registry that cannot be read or written, and the way out, in words of ours."""

from __future__ import annotations

import os
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError

from vmctl.errors import RegistryUnusable
from vmctl.local import paths

NOT_THE_FILE = (IntegrityError, ProgrammingError)  # faults of ours
TROUBLE = (DatabaseError, CommandError, OSError)


def explain(path: Path, err: Exception) -> Exception:
    """The error to raise instead of a library's own; the same one where the fault is ours and not the file's."""
    if isinstance(err, CommandError):
        message = f"the registry {path} was written by a newer vmctl: this one does not know its schema"
        return RegistryUnusable(message, hint="upgrade vmctl")
    if isinstance(err, OSError):
        return _unwritable(path, err.strerror or str(err))
    if isinstance(err, NOT_THE_FILE) or not isinstance(err, DatabaseError):
        return err
    name, text = getattr(err.orig, "sqlite_errorname", ""), str(err.orig)
    if name in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return _damaged(path, text)
    if name.startswith("SQLITE_BUSY"):
        return RegistryUnusable(f"another program holds the registry {path}", hint=f"fuser -v {path}")
    if name == "SQLITE_ERROR":
        return _damaged(path, text)
    return _unwritable(path, "no space left" if name == "SQLITE_FULL" else text)


def _damaged(path: Path, text: str) -> RegistryUnusable:
    then = "then vmctl host add HOST..., vmctl storage add: VMs that vmctl made are read back from their hosts"
    hint = f"mv {path} {path}.damaged"
    return RegistryUnusable(f"the registry {path} is damaged ({text})", hint=hint, lines=(then,))


def _unwritable(path: Path, cause: str) -> RegistryUnusable:
    """Full, read-only or not allowed: which file system, and what it says of itself."""
    where = paths.mount_of(path)
    try:
        found = os.statvfs(where)
    except OSError:
        return RegistryUnusable(f"the registry {path} cannot be written: {cause}")
    if found.f_flag & os.ST_RDONLY:
        cause, hint = f"its file system {where} is read-only", f"mount -o remount,rw {where}"
    elif cause == "no space left" or found.f_bavail == 0:
        cause, hint = f"its file system {where} is full", f"df {where}"
    else:
        cause, hint = f"{cause}, on the file system {where}", f"ls -ld {path.parent} {path}"
    return RegistryUnusable(f"the registry {path} cannot be written: {cause}", hint=hint)
