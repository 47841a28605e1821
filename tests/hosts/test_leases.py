"""Which keys are locked: /proc/locks as kernels print it, against the key files of the lockspace."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vmctl.hosts import leases
from vmctl.hosts.facts import Unreadable

LOCKS = """\
1: POSIX  ADVISORY  WRITE 108 fe:00:41 0 EOF
1: -> POSIX  ADVISORY  WRITE 109 fe:00:45 0 EOF
2: POSIX  ADVISORY  READ 108 fe:00:42 0 EOF
3: OFDLCK ADVISORY  WRITE -1 fe:00:43 201 201
4: POSIX  ADVISORY  WRITE 108 fe:00:44 0 0
5: POSIX  ADVISORY  WRITE 108 00:3e:47 0 0
6: POSIX  ADVISORY  WRITE 108 fd:00:48 0 0
"""
MOUNTS = """\
mnt_id:\t275
26 1 0:24 / /run rw - tmpfs run rw
275 413 254:0 /srv /shared rw,relatime - ext4 /dev/vda1 rw
276 413 0:62 / /other rw - tmpfs other rw
"""
FUSE = """\
mnt_id:\t275
275 413 0:120 / /shared rw - fuse.glusterfs 10.0.0.1:/shared rw
"""
KEYS = "one:41 read:42 qemus-own:43 four:44 waits:45 free:46 elsewhere:47 other-disk:48"


def printed(locks: str = LOCKS, mount: str = MOUNTS, opened: str = "", device: str = "64768") -> str:
    keys = "".join(f"{device}:{inode} {name}\n" for name, inode in (key.split(":") for key in KEYS.split()))
    return f"{locks}{leases.MARK}\n{mount}{leases.MARK}\n{keys}{leases.MARK}\n{opened}"


def test_only_what_is_locked_for_writing_is_held() -> None:
    assert leases.parse(printed()) == {"one", "four"}


def test_a_lock_of_another_file_system_with_the_same_inode_is_not_a_lease() -> None:
    """Device and inode: "elsewhere" and "other-disk" have inodes that are locked, on other devices."""
    assert leases.parse(printed(mount=MOUNTS.replace("275 413 254:0", "275 413 0:62"))) == {"elsewhere"}
    assert leases.parse(printed(mount=MOUNTS.replace("275 413 254:0", "275 413 253:0"))) == {"other-disk"}


def test_the_device_is_the_mounts_own() -> None:
    """On btrfs, `stat` tells a device of its own for every subvolume; the kernel's locks do not."""
    assert leases.parse(printed(device="45")) == {"one", "four"}


def test_nothing_is_held_where_nothing_is_locked() -> None:
    assert leases.parse(printed(locks="")) == frozenset()


def test_on_fuse_what_virtlockd_has_open_counts() -> None:
    opened = "fuse\nvirtlockd\n120:44\n254:41\n"
    assert leases.parse(printed(mount=FUSE, opened=opened, device="120")) == {"four"}
    assert leases.parse(printed(mount=FUSE, opened="fuse\n", device="120")) == frozenset()  # it does not run
    with pytest.raises(Unreadable, match="may not see"):
        leases.parse(printed(mount=FUSE, opened="fuse\nvirtlockd\n", device="120"))


@pytest.mark.parametrize(
    "text", ["", "rubbish", leases.MARK * 3, f"{LOCKS}{leases.MARK}\nmnt_id:\t9\n" + leases.MARK * 2]
)
def test_what_cannot_be_read_says_so(text: str) -> None:
    with pytest.raises(Unreadable):
        leases.held("/nowhere", []).read(text, "kvm1")


HOLD = (
    "import fcntl, subprocess, sys; keys = [open(name, 'w') for name in sys.argv[1].split()];"
    "[fcntl.lockf(key, fcntl.LOCK_EX) for key in keys]; subprocess.run(sys.argv[2:], check=True)"
)


def read_while_locked(lockspace: Path, locked: str) -> frozenset[str]:
    command = leases.held(str(lockspace), ["held", "free", "not-there"]).command
    words = ["python3", "-c", HOLD, locked, *command]
    done = subprocess.run(words, cwd=lockspace, capture_output=True, text=True, check=True)
    return leases.parse(done.stdout)


def test_the_command_reads_a_real_lock(tmp_path: Path) -> None:
    (tmp_path / "free").touch()
    assert read_while_locked(tmp_path, "held") == {"held"}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_the_command_reads_a_real_lock_through_a_bind_mount_and_on_a_file_system_without_a_disk(tmp_path: Path) -> None:
    """A mount of its own: what it is seen by is neither its path nor its folder's file system."""
    for kind in (["--bind", str(tmp_path / "real")], ["-t", "tmpfs", "none"]):
        space = tmp_path / "space"
        for folder in (tmp_path / "real", space):
            folder.mkdir(exist_ok=True)
        subprocess.run(["mount", *kind, space], check=True)
        try:
            (space / "free").touch()
            assert read_while_locked(space, "held") == {"held"}
        finally:
            subprocess.run(["umount", space], check=True)
