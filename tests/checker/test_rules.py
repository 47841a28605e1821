"""The judge finds what must never be."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.checker import machine
from tests.checker.machine import WRITES, Qemu
from tests.checker.rules import Look, broken

RIGHT = Look(
    qemus=[Qemu(1, "kvm1", "a", frozenset({"fe:00:7"})), Qemu(2, "kvm2", "a", frozenset())],
    tasks={1: ("create", "one", "done"), 2: ("migrate", "one", "running")},
    vms={"a": "one", "b": "two"},
    lives={"x": False, "y": True},
    lead=(3, "x"),
)
HOLDER = """
import fcntl, struct, sys
file = open(sys.argv[1], "r+b")
lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, int(sys.argv[2]), int(sys.argv[3]), 0)  # struct flock
fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
print(flush=True)
sys.stdin.read()
"""
WRONG = {
    "is written by 2": replace(RIGHT, qemus=[replace(one, writes=frozenset({"fe:00:7"})) for one in RIGHT.qemus]),
    "task 2 (migrate) is gone": replace(RIGHT, tasks={1: RIGHT.tasks[1]}),
    "had ended as done and is running": replace(RIGHT, tasks=RIGHT.tasks | {1: ("create", "one", "running")}),
    "life y had ended and lives": replace(RIGHT, lives={"x": False, "y": False}),
    "the lead's term fell from 3 to 2": replace(RIGHT, lead=(2, "x")),
    "two lead in term 3": replace(RIGHT, lead=(3, "z")),
    "VM two (b) is gone": replace(RIGHT, vms={"a": "one"}),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_must_never_be_is_told(said: str) -> None:
    (line,) = broken(RIGHT, WRONG[said])
    assert said in line


def test_what_may_be_is_not() -> None:
    gone = replace(
        RIGHT, vms={"b": "two"}, tasks=RIGHT.tasks | {2: ("migrate", "one", "done"), 3: ("delete", "one", "done")}
    )
    assert not [*broken(RIGHT, replace(gone, lead=(4, "z"), lives=RIGHT.lives | {"x": True}))]
    assert not [*broken(Look(), RIGHT)]


def test_who_may_write_a_file_is_read_from_the_kernel(tmp_path: Path) -> None:
    """As QEMU says it: an open file description's lock on one byte of it."""
    file = tmp_path / "disk"
    file.write_bytes(b"x" * 512)
    there = file.stat()
    name = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
    for first, count, writes in ((100, 2, True), (WRITES, 1, True), (100, 1, False), (103, 1, False)):
        command = [sys.executable, "-c", HOLDER, str(file), str(first), str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdin is not None and holder.stdout is not None
            holder.stdout.readline()
            assert [*machine._written(holder.pid)] == ([name] if writes else [])
            holder.stdin.close()
