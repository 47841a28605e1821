"""Which keys are locked: /proc/locks as kernels print it, against the key files of the lockspace."""

from __future__ import annotations

import subprocess

from vmctl.hosts import leases

LOCKS = """\
1: POSIX  ADVISORY  WRITE 108 fe:00:41 0 EOF
1: -> POSIX  ADVISORY  WRITE 109 fe:00:45 0 EOF
2: POSIX  ADVISORY  READ 108 fe:00:42 0 EOF
3: OFDLCK ADVISORY  WRITE -1 fe:00:43 201 201
4: POSIX  ADVISORY  WRITE 108 00:3e:44 0 0
"""


def test_only_what_is_locked_for_writing_is_held() -> None:
    keys = "41 one\n42 read\n43 qemus-own\n44 four\n45 waits\n46 free\n"
    assert leases.parse(f"{LOCKS}{leases.MARK}\n{keys}") == {"one", "four"}


def test_nothing_is_held_where_nothing_is_locked() -> None:
    assert leases.parse(f"{leases.MARK}\n1 one\n") == leases.parse(f"{LOCKS}{leases.MARK}\n") == frozenset()


def test_the_command_reads_a_real_lock(tmp_path: object) -> None:
    command = leases.held(str(tmp_path), ["held", "free", "not-there"]).command
    script = (
        "import fcntl, subprocess, sys; keys = [open(name, 'w') for name in ('held', 'free')];"
        "fcntl.lockf(keys[0], fcntl.LOCK_EX); subprocess.run(sys.argv[1:], check=True)"
    )
    done = subprocess.run(
        ["python3", "-c", script, *command], cwd=str(tmp_path), capture_output=True, text=True, check=True
    )
    assert leases.parse(done.stdout) == {"held"}
