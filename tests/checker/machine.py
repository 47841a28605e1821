"""What the kernel shows: the QEMUs of a lab's hosts, and which of them may write which file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

# QEMU holds a lock on this byte of an image's file while it may write it (block/file-posix.c: RAW_PERM_BASE and
# BLK_PERM_WRITE). One that waits for a migration, or has handed its guest over, holds none.
WRITES = 101
LOCK = re.compile(r"^lock:\s+\d+: OFDLCK\s+ADVISORY\s+\w+\s+\S+\s+(\S+:\S+:\d+) (\d+) (\d+|EOF)$", re.MULTILINE)


@dataclass(frozen=True)
class Qemu:
    """One QEMU process."""

    pid: int
    host: str  # kvm1, ...
    uuid: str
    writes: frozenset[str]  # the files that it may write, each as device and inode


def qemus(lab: str) -> list[Qemu]:
    """All of a lab's, and what each may write at one moment.

    They are read one after the other, and meanwhile a guest may be handed over. So they are read twice: what each has
    both times, it has between the two, when the last one of the first time had been read.
    """
    found = [one for pid, host in members(lab) if (one := _qemu(pid, host)) is not None]
    return [replace(one, writes=one.writes & frozenset(_written(one.pid))) for one in found]


def _qemu(pid: int, host: str) -> Qemu | None:
    words = _read(f"/proc/{pid}/cmdline").split("\0")
    if "qemu-system" not in words[0] or "-uuid" not in words:
        return None
    return Qemu(pid, host, words[words.index("-uuid") + 1], frozenset(_written(pid)))


def members(lab: str) -> Iterator[tuple[int, str]]:
    """The processes of a lab's hosts, and which host's each is."""
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        group = re.search(rf"/vmctl-lab-{lab}/(kvm\d+)", _read(str(path)))
        if group:
            yield int(path.parent.name), group[1]


def _written(pid: int) -> Iterator[str]:
    with suppress(OSError):  # it ends just now
        for path in Path(f"/proc/{pid}/fdinfo").iterdir():
            for file, first, last in LOCK.findall(_read(str(path))):
                if int(first) <= WRITES and (last == "EOF" or int(last) >= WRITES):
                    yield file


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
