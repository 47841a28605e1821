"""Whether what was written to a file is on its disk, and the checksum of what is there: from the disk, not a cache."""

from __future__ import annotations

import re
from typing import NamedTuple

from vmctl.errors import Unreadable
from vmctl.hosts.facts import Fact

# Our user may not read the files that libvirt makes: then all of their file system is written, or all there is.
SYNC = """
if [ -r "$1" ]; then sync -- "$1"; else sync -f -- "${1%/*}" 2>/dev/null || sync; fi
"""
# Read past the page cache; where the file system cannot do that, what was cached of this file is dropped first.
CHECKSUM = """
[ -r "$1" ] || { echo closed; exit 0; }
sync -- "$1" || exit 1
echo "size $(stat -c %s -- "$1")"
past=direct
if ! dd if="$1" of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null; then
  past=fullblock
  dd if="$1" of=/dev/null count=0 iflag=nocache 2>/dev/null
fi
{ { dd if="$1" bs=4M iflag="$past" 2>/dev/null; echo "read $?" >&3; } | sha256sum; } 3>&1
"""
LEAST_RATE = 10 << 20  # bytes per second: slower is no answer


class OnDisk(NamedTuple):
    """A file as its disk has it."""

    size_bytes: int
    sha256: str


def synced(path: str) -> Fact[bool]:
    """Have what was written to a file on its disk. CommandFailed where the disk does not take it."""
    return Fact(("sh", "-c", SYNC, "sh", path), lambda _text: True)


def checksum(path: str) -> Fact[OnDisk | None]:
    """Ask for a file's size and SHA-256; None where our user may not read it. Long: see `patience_s`."""
    return Fact(("sh", "-c", CHECKSUM, "sh", path), parse)


def patience_s(size_bytes: int) -> float:
    """How long a host is waited for that reads so much."""
    return 60.0 + size_bytes / LEAST_RATE


def parse(text: str) -> OnDisk | None:
    """What the script prints. Raises Unreadable where the file could not be read to its end."""
    if text.strip() == "closed":
        return None
    size, read = re.search(r"^size (\d+)$", text, re.MULTILINE), re.search(r"^read (\d+)$", text, re.MULTILINE)
    found = re.search(r"^([0-9a-f]{64})  -$", text, re.MULTILINE)
    if size is None or read is None or found is None or read[1] != "0":
        raise Unreadable("the file could not be read to its end")
    return OnDisk(int(size[1]), found[1])
