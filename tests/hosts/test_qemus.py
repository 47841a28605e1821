"""A QEMU is found by its UUID among all processes, and who only looks for it is none."""

from __future__ import annotations

import subprocess
import time
import uuid
from pathlib import Path

from vmctl.hosts.chains import parse
from vmctl.hosts.qemus import processes


def found(number: str) -> list[str]:
    fact = processes(number)
    return fact.parse(subprocess.run(fact.command, capture_output=True, text=True, check=True).stdout)


def test_only_a_qemu_of_that_uuid_is_found(tmp_path: Path) -> None:
    """A program that is called qemu-..., and one of another name with the same words."""
    number, other = str(uuid.uuid4()), str(uuid.uuid4())
    script = "#!/bin/sh\nread -r line\n"
    for name in ("qemu-system-x", "something"):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    words = ("-uuid", number)
    with (
        subprocess.Popen([tmp_path / "qemu-system-x", *words], stdin=subprocess.PIPE) as qemu,
        subprocess.Popen([tmp_path / "something", *words], stdin=subprocess.PIPE),
    ):
        until = time.monotonic() + 10
        while not (seen := found(number)) and time.monotonic() < until:
            continue  # it begins as a copy of this process
        assert seen == [str(qemu.pid)]
        assert found(other) == []
    assert found(number) == []


def test_chains_are_read_whatever_their_number() -> None:
    text = '[{"filename": "/s/a", "full-backing-filename": "/s/b"}, {"filename": "/s/b"}]\n[{"filename": "/s/c"}]'
    assert parse(text) == {"/s/a", "/s/b", "/s/c"}
    assert parse("") == frozenset()
