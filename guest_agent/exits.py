"""The end of a watched process, known at once: a pidfd becomes readable when its process exits."""

import os
from collections.abc import Callable


class Exits:
    """Open pidfds by process. Where there are none (Linux before 5.3, Python before 3.9) exits are seen by scans."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._open: dict[int, int] = {}  # pid -> fd
        self._can = hasattr(os, "pidfd_open")

    def follow(self, pids: "set[int]", is_alive: "Callable[[int], bool]") -> None:
        """Follow these processes and no others. `is_alive(pid)` must tell of the process that was meant: asked after
        the pidfd was opened it proves that the number had not been given to another one."""
        for pid in self._open.keys() - pids:
            os.close(self._open.pop(pid))
        for pid in sorted(pids - self._open.keys())[: self._most - len(self._open)]:
            if not self._can:
                return
            try:
                fd = os.pidfd_open(pid)  # type: ignore[attr-defined, unused-ignore]
            except ProcessLookupError:
                continue
            except OSError:
                self._can = False
                return
            if is_alive(pid):
                self._open[pid] = fd
            else:
                os.close(fd)

    def fds(self) -> "dict[int, int]":
        """What to wait for: fd -> pid."""
        return {fd: pid for pid, fd in self._open.items()}

    def ended(self, pid: int) -> None:
        """It has exited: stop following."""
        fd = self._open.pop(pid, None)
        if fd is not None:
            os.close(fd)
