"""Words to a host and words from it. Pure but for the look at a directory."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path

from vmctl.errors import Refused, Usage

LONGEST_SOCKET_PATH = 107  # sun_path, without its closing zero


def quoted(argv: Sequence[str]) -> str:
    """The words as one line that a login shell splits back into exactly them."""
    if not argv or any("\0" in word for word in argv):
        raise Usage("a command needs at least one word, and none may hold a zero byte")
    return shlex.join(argv)


def plain(text: str, limit: int = 300) -> str:
    """A host's words made safe to show: one line, no control characters, not endless."""
    line = "".join(char if char.isprintable() else " " for char in text[: limit + 1])
    return line if len(line) <= limit else line[:limit] + "..."


def check_length(path: str) -> None:
    """Raises `Usage` for a path that no socket can have."""
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise Usage(f"{path} is too long for a socket (at most {LONGEST_SOCKET_PATH} bytes)")


def check_private(local_path: Path) -> None:
    """The directory of a forwarded socket exists, is ours and closed to others."""
    check_length(str(local_path))
    local_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = local_path.parent.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise Refused(f"{local_path.parent} must be ours and have mode 0700: its sockets open the hosts' libvirt")
