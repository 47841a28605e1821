"""What stands at paths, by the real shell on real files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from vmctl.hosts.paths import GONE, ODD, Unusable, unusable


def test_what_is_no_file_and_no_disk_is_told(tmp_path: Path) -> None:
    good, pipe, folder, gone = tmp_path / "a disk.qcow2", tmp_path / "pipe", tmp_path / "folder", tmp_path / "gone"
    good.write_bytes(b"x")
    os.mkfifo(pipe)
    folder.mkdir()
    fact = unusable(tuple(str(path) for path in (good, pipe, folder, gone)))
    out = subprocess.run(fact.command, capture_output=True, text=True, check=True).stdout
    assert fact.read(out, "kvm1") == (
        Unusable(ODD, str(pipe)),
        Unusable(ODD, str(folder)),
        Unusable(GONE, str(gone)),
    )
    assert fact.read("", "kvm1") == ()
