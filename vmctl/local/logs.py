"""Logs: for their owner's eyes, and never longer than a bound, however long or often something goes wrong."""

from __future__ import annotations

import contextlib
import io
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path

MOST_BYTES = 4 << 20
KEPT = 2  # earlier files, as NAME.1 and NAME.2


class Rotating(RotatingFileHandler):
    """A log file of mode 0600. `outputs` are descriptors that lead into it, too, for what is printed past logging."""

    def __init__(self, path: Path, outputs: tuple[int, ...] = (), most_bytes: int = MOST_BYTES) -> None:
        self._outputs = outputs
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, maxBytes=most_bytes, backupCount=KEPT, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> io.TextIOWrapper:
        stream = open_private(Path(self.baseFilename))
        for number in self._outputs:
            os.dup2(stream.fileno(), number)
        return stream


def open_private(path: Path) -> io.TextIOWrapper:
    """A file to append to that only its owner may read, also where an earlier version left it open to others."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)
    return io.TextIOWrapper(os.fdopen(fd, "ab"), encoding="utf-8", errors="backslashreplace")


def anew(path: Path) -> io.TextIOWrapper:
    """A log of one run of a program; that of the run before is kept as NAME.1."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(f"{path.name}.1"))
    return open_private(path)


def append(path: Path, text: str, most_bytes: int = MOST_BYTES) -> bool:
    """Add to a log that is written now and then; an earlier one is kept as NAME.1. False if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size + len(text) > most_bytes:
                path.replace(path.with_name(f"{path.name}.1"))
        with open_private(path) as file:
            file.write(text)
    except OSError:
        return False
    return True
