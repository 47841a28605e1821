"""What is on a disk, asked by the programs as hosts run them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from vmctl.errors import Unreadable
from vmctl.hosts.ondisk import OnDisk, checksum, parse, synced


def run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("size", [1, 511, 4096, 5 << 20, (8 << 20) + 13])
def test_a_file_is_summed_as_it_is(tmp_path: Path, size: int) -> None:
    path, data = tmp_path / "a file", os.urandom(size)
    path.write_bytes(data)
    assert run(synced(str(path)).command).returncode == 0
    asked = checksum(str(path))
    assert asked.read(run(asked.command).stdout, "kvm1") == OnDisk(size, hashlib.sha256(data).hexdigest())


def test_a_file_system_without_direct_reads_is_read_all_the_same(tmp_path: Path) -> None:
    """dd says no to iflag=direct there; what was cached is dropped, and then it reads."""
    (tmp_path / "dd").write_text(
        '#!/bin/sh\nfor each; do [ "$each" != iflag=direct ] || exit 1; done\nexec /bin/dd "$@"\n'
    )
    (tmp_path / "dd").chmod(0o755)
    data = os.urandom(100_000)
    (tmp_path / "file").write_bytes(data)
    asked = checksum(str(tmp_path / "file"))
    ran = subprocess.run(
        asked.command, capture_output=True, text=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert asked.read(ran.stdout, "kvm1") == OnDisk(len(data), hashlib.sha256(data).hexdigest())


def test_one_that_may_not_be_read_or_is_not_there_is_no_file_with_a_sum(tmp_path: Path) -> None:
    asked = checksum(str(tmp_path / "nosuch"))
    assert asked.read(run(asked.command).stdout, "kvm1") is None


@pytest.mark.parametrize("text", ["", "size 5\nread 1\n" + "0" * 64 + "  -\n", "size 5\nread 0\n", "read 0\n"])
def test_half_a_file_has_no_sum(text: str) -> None:
    """dd broke off, and the sum is that of what came until then."""
    with pytest.raises(Unreadable):
        parse(text)
