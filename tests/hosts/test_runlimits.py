"""What systemd would do with a run, by what it says of itself: tests/lab/test_systemd.py has it for real."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vmctl.hosts import runlimits

NONE, ROOT, ANNA = "as 0", 'as 1 "root"', 'as 2 "berta" "anna"'


def shell(programs: Path, program: str, **fakes: str) -> int:
    """How this ends where these programs print that."""
    programs.mkdir()
    for name, prints in fakes.items():
        (programs / name).write_text(f"#!/bin/sh\n{prints}\n")
        (programs / name).chmod(0o755)
    words = ["sh", "-c", f"PATH={programs}:$PATH\n{runlimits.CONFINE}{runlimits.SERVICE}{program}"]
    return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode


def who(name: str) -> str:
    return f"case $1 in -u) echo {0 if name == 'root' else 1000};; *) echo {name};; esac"


@pytest.mark.parametrize(
    ("name", "all_of_them", "only", "but", "ends"),
    [
        ("anna", "false", NONE, ROOT, False),
        ("anna", "true", NONE, ROOT, True),
        ("anna", "true", NONE, ANNA, False),
        ("anna", "false", ANNA, ROOT, True),
        ("ann", "true", ANNA, ROOT, False),
        ("anna", "false", ANNA, ANNA, False),
        ("root", "true", NONE, ROOT, False),
        ("root", "true", NONE, NONE, False),
        ("root", "true", NONE, ANNA, True),
    ],
)
def test_whom_logind_ends(tmp_path: Path, name: str, all_of_them: str, only: str, but: str, ends: bool) -> None:
    said = f"printf '%s\\n' 'b {all_of_them}' '{only}' '{but}'"
    assert shell(tmp_path / "bin", "killed", busctl=said, id=who(name)) == (0 if ends else 1)


def test_where_logind_says_nothing_it_ends_all(tmp_path: Path) -> None:
    assert shell(tmp_path / "bin", "killed", busctl="exit 1", id=who("anna")) == 0


@pytest.mark.parametrize(("has", "kept"), [("max", False), ("67108864", True), ("67108865", False), ("", False)])
def test_a_limit_that_is_not_there_is_not_kept(tmp_path: Path, has: str, kept: bool) -> None:
    (tmp_path / "memory.max").write_text(f"{has}\n")
    for present in (f"at_most 67108864 {tmp_path}/memory.max", f"at_most 67108864 {tmp_path}/nothing"):
        ended = shell(tmp_path / present[-3:], present)
        assert (ended == 0) == (kept and "nothing" not in present)
