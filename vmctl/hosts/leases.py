"""Which VMs hold their lease on a host: what its kernel has locked, against the key files of the lockspace.

libvirt does not say, and a VM can run without: virtlockd forgets everything when it dies, and a libvirtd that was
stopped over a migration's end resumes a VM whose lease it has given up.

A lock is a file's: its device and its inode, as another file system may have a file of the same number. The device is
the mount's own, as the kernel counts it there (what `stat` says of a file differs on some file systems, such as
btrfs). On FUSE the kernel knows of no locks, they are the server's: there what virtlockd has open counts, since it
opens a key when it takes it and closes it when it lets go.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmctl.hosts.facts import Fact, Unreadable

MARK = "=== keys"
# Keys are named one by one: a lockspace may hold thousands. One that is not there is one that nobody holds.
READ = f"""
cat /proc/locks && echo '{MARK}' && cd "$1" && shift && exec 3<. &&
grep '^mnt_id:' /proc/self/fdinfo/3 && cat /proc/self/mountinfo && echo '{MARK}' || exit
stat -c '%d:%i %n' -- "$@" 2>/dev/null
echo '{MARK}'
[ "$(stat -f -c %T .)" = fuseblk ] || exit 0
echo fuse
for process in /proc/[1-9]*; do
    read -r name < "$process/comm" && [ "$name" = virtlockd ] && echo virtlockd && stat -L -c '%d:%i' "$process"/fd/*
done 2>/dev/null
exit 0"""


def parse(text: str) -> frozenset[str]:
    """/proc/locks; the mount; "device:inode name" lines; on FUSE, virtlockd's files. The names of the keys held."""
    locks, mount, keys, opened = text.split(MARK)
    pairs = [(number, name) for number, _, name in (line.partition(" ") for line in keys.splitlines()) if name]
    if opened.split()[:1] == ["fuse"]:
        files = opened.split()[1:]
        if "virtlockd" in files and len(set(files)) == 1:
            raise Unreadable("the lockspace is on FUSE, and this user may not see what virtlockd holds there")
        return frozenset(name for number, name in pairs if number in files)
    device = _device(mount)
    # "9: POSIX  ADVISORY  WRITE 108 fe:00:2147 0 EOF"; one that waits has "->" as its second word
    words = (line.split() for line in locks.splitlines())
    held = {w[5] for w in words if len(w) == 8 and w[1] == "POSIX" and w[3] == "WRITE"}
    return frozenset(name for number, name in pairs if f"{device}:{number.rpartition(':')[2]}" in held)


def _device(text: str) -> str:
    """The device of the mount whose id the first line has, as /proc/locks writes it: in hexadecimal."""
    first, *mounts = text.strip().splitlines()
    number = first.split()[1]
    for line in mounts:
        words = line.split(None, 3)
        if words[0] == number:
            major, minor = words[2].split(":")
            return f"{int(major):02x}:{int(minor):02x}"
    raise Unreadable("the lockspace's mount is not in /proc/self/mountinfo")


def held(lockspace: str, uuids: Sequence[str]) -> Fact[frozenset[str]]:
    """Ask which of these VMs' keys are locked on the host."""
    return Fact(("sh", "-c", READ, "sh", lockspace, *uuids), parse)
