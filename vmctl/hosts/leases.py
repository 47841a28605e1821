"""Which VMs hold their lease on a host: what its kernel has locked, against the key files of the lockspace.

libvirt does not say, and a VM can run without: virtlockd forgets everything when it dies, and a libvirtd that was
stopped over a migration's end resumes a VM whose lease it has given up.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmctl.hosts.facts import Fact

MARK = "=== keys"
# Keys are named one by one: a lockspace may hold thousands. One that is not there is one that nobody holds.
READ = f"cat /proc/locks && echo '{MARK}' && cd \"$1\" && shift && {{ stat -c '%i %n' -- \"$@\" 2>/dev/null; :; }}"


def parse(text: str) -> frozenset[str]:
    """/proc/locks, a mark, "inode name" lines: the names of the keys that somebody here has locked for writing."""
    locks, _, keys = text.partition(MARK)
    # "9: POSIX  ADVISORY  WRITE 108 fe:00:2146547 0 EOF"; one that waits has "->" as its second word
    words = (line.split() for line in locks.splitlines())
    inodes = {w[5].rpartition(":")[2] for w in words if len(w) == 8 and w[1] == "POSIX" and w[3] == "WRITE"}
    pairs = (line.partition(" ") for line in keys.splitlines())
    return frozenset(name for inode, _, name in pairs if inode in inodes)


def held(lockspace: str, uuids: Sequence[str]) -> Fact[frozenset[str]]:
    """Ask which of these VMs' keys are locked on the host."""
    return Fact(("sh", "-c", READ, "sh", lockspace, *uuids), parse)
