"""What a directory is, as the kernel tells it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TypeVar

from vmctl.hosts import mounts
from vmctl.hosts.facts import Fact

T = TypeVar("T")
UUID = "11111111-2222-3333-4444-555555555555"
TEXT = """\
/srv/shared
mnt_id:\t275
26 1 0:24 / /run rw - tmpfs run rw
275 413 0:120 / /srv/shared rw,relatime shared:7 - fuse.glusterfs 10.0.0.1:/my\\040volume rw,user_id=0
"""


def told(fact: Fact[T]) -> T:
    done = subprocess.run(fact.command, capture_output=True, text=True, check=True)
    return fact.read(done.stdout, "kvm1")


def test_the_mount_is_told_with_its_cure() -> None:
    found = mounts.parse(TEXT)
    assert found == mounts.Mount("/srv/shared", "fuse.glusterfs", "10.0.0.1:/my volume", "/srv/shared")
    assert "direct-io-mode=enable" in found.cure and str(found) == "fuse.glusterfs 10.0.0.1:/my volume"
    assert mounts.parse("") is None and mounts.parse("closed\n") == mounts.Mount("", "closed")


def test_a_real_directory_a_link_to_it_and_none(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    real = told(mounts.look(str(tmp_path)))
    assert isinstance(real, mounts.Mount) and real.real == str(tmp_path) and real.kind
    assert told(mounts.look(str(tmp_path / "link"))) == real
    assert told(mounts.look(str(tmp_path / "none"))) is None
    assert told(mounts.look("-P")) is None


def test_probes_are_told_by_their_names(tmp_path: Path) -> None:
    for name in (".vmctl-probe-1700000000-0123abcd", ".vmctl-probe-mine", "vmctl-probe-1-0123abcd", "a b"):
        (tmp_path / name).mkdir()
    assert told(mounts.probes(str(tmp_path))) == [".vmctl-probe-1700000000-0123abcd"]
    assert told(mounts.probes(str(tmp_path / "none"))) == []


def test_keys_of_probes_are_told_by_their_names(tmp_path: Path) -> None:
    key = f"vmctl-probe-1700000000-{UUID}"
    for name in (key, "vmctl-probe-mine", UUID, "a b"):
        (tmp_path / name).touch()
    (tmp_path / "vmctl-probe-1700000000-0123abcd").mkdir()
    assert told(mounts.probe_keys(str(tmp_path))) == [key]
    assert told(mounts.probe_keys(str(tmp_path / "none"))) == []


def test_room_is_what_may_still_be_written(tmp_path: Path) -> None:
    found, seen = told(mounts.space(str(tmp_path))), os.statvfs(tmp_path)
    assert isinstance(found, mounts.Space)
    assert found.capacity == seen.f_blocks * seen.f_frsize and abs(found.free - seen.f_bavail * seen.f_frsize) < 1 << 28
