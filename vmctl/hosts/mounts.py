"""What a directory is on a host: whether it is there, its real path, and the mount that it lies on. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vmctl.hosts.facts import Fact

CLOSED = "closed"
LOOK = """
cd -- "$1" 2>/dev/null || { [ ! -d "$1" ] || echo closed; exit 0; }
pwd -P && exec 3<. && grep '^mnt_id:' /proc/self/fdinfo/3 && cat /proc/self/mountinfo"""
LIST = 'cd -- "$1" 2>/dev/null || exit 0; for each in .vmctl-probe-*; do [ ! -d "$each" ] || echo "$each"; done'
KEYS = 'cd -- "$1" 2>/dev/null || exit 0; for each in vmctl-probe-*; do [ ! -f "$each" ] || echo "$each"; done'
CURES = {  # what a mount needs so that one host sees at once what another one writes over
    "fuse.glusterfs": "mount it with -o direct-io-mode=enable",
    "nfs": "mount it with -o lookupcache=none,actimeo=0",
    "nfs4": "mount it with -o lookupcache=none,actimeo=0",
    "cifs": "mount it with -o cache=none",
    "fuse.sshfs": "mount it with -o direct_io,dir_cache=no",
    "9p": "mount it with -o cache=none",
}


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a directory lies: its path without links; kind, source and point of its mount."""

    real: str
    kind: str = ""
    source: str = ""
    point: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.source}".strip() or self.real

    @property
    def cure(self) -> str:
        """What to do when it shows old contents."""
        return CURES.get(self.kind, "mount it without a cache of its own")


def parse(text: str) -> Mount | None:
    """The real path, the mount's id, /proc/self/mountinfo; None where there is no such directory."""
    lines = text.splitlines()
    if not lines:
        return None
    if lines[0] == CLOSED:
        return Mount("", CLOSED)
    number = lines[1].split()[1]
    for line in lines[2:]:
        left, _, right = line.partition(" - ")
        words = left.split()
        if words[0] == number:
            kind, source = right.split()[:2]
            return Mount(lines[0], kind, _plain(source), _plain(words[4]))
    return Mount(lines[0])


def _plain(text: str) -> str:
    """The kernel writes blanks and backslashes as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def look(path: str) -> Fact[Mount | None]:
    """Ask what a directory is."""
    return Fact(("sh", "-c", LOOK, "sh", path), parse)


class Space(NamedTuple):
    """Bytes of a file system, and those that may still be written: libvirt's own figure has the reserved ones in it."""

    capacity: int
    free: int


def parse_space(text: str) -> Space:
    """`stat -f`: blocks, blocks available, bytes of one."""
    blocks, free, size = (int(word) for word in text.split())
    return Space(blocks * size, free * size)


def space(path: str) -> Fact[Space]:
    """Ask how much room there is."""
    return Fact(("stat", "-f", "-c", "%b %a %S", "--", path), parse_space)


def probes(path: str) -> Fact[Sequence[str]]:
    """Ask for the folders that checks of this storage have left."""
    return Fact(("sh", "-c", LIST, "sh", path), lambda text: re.findall(r"^\.vmctl-probe-\d+-[0-9a-f]{8}$", text, re.M))


def probe_keys(lockspace: str) -> Fact[Sequence[str]]:
    """Ask for the keys of probes that are in a lockspace."""
    return Fact(("sh", "-c", KEYS, "sh", lockspace), lambda text: re.findall(r"^vmctl-probe-[0-9a-f-]+$", text, re.M))
