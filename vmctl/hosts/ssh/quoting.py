"""Words to a host and words from it. Pure but for the look at a directory."""

from __future__ import annotations

import errno
import os
import re
import shlex
import socket
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


NETWORK_ERRORS = {
    errno.EHOSTUNREACH: "no route to {0}",
    errno.ENETUNREACH: "no network leads to {0}",
    errno.ECONNREFUSED: "nothing listens there",
    errno.ETIMEDOUT: "no answer",
    errno.ECONNRESET: "it closes the connection",
    errno.EADDRNOTAVAIL: "{0} is no address that can be reached from here",
}


def network_error(err: Exception, address: str) -> str:
    """Why an address cannot be reached, in plain words where the cause is a common one."""
    if isinstance(err, socket.gaierror):
        return (
            "no such name" if err.errno in (socket.EAI_NONAME, socket.EAI_NODATA) else plain(err.strerror or str(err))
        )
    number = getattr(err, "errno", None)
    if number is None:  # several addresses were tried, and asyncio puts all into one sentence
        listed = re.search(r"\[Errno (\d+)\]", str(err))
        number = int(listed[1]) if listed else None
    known = NETWORK_ERRORS.get(number) if number is not None else None
    return known.format(address) if known else plain(str(err)) or type(err).__name__


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
