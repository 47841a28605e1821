"""Controllers' keys on a real host: only their own lines come and go, and nobody is locked out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vmctl.errors import CommandFailed
from vmctl.hosts.letin import LET_IN, let_in
from vmctl.hosts.port import Link
from vmctl.hosts.ssh.channels import Ran
from vmctl.model.joining import ControllerKey, line

ADMINS = 'ssh-ed25519 AAAA admin\n# a comment\n\nfrom="10.0.0.0/8" ssh-rsa BBBB of vmctl-controller-0a and more'
ONE = line(ControllerKey("0a" * 16, "kvm1", "ssh-ed25519 CCCC vmctl@kvm1", 1.0))
OTHER = line(ControllerKey("0b" * 16, "kvm2", "ssh-ed25519 DDDD vmctl@kvm2", 1.0))


class Host:
    """A user's home on a host, whose /bin/sh runs what it is told."""

    def __init__(self, home: Path) -> None:
        self.home, self.path, self.locale = home, os.environ["PATH"], "C.UTF-8"
        self.keys = home / ".ssh" / "authorized_keys"
        self.link = cast(Link, SimpleNamespace(name="kvm9", ssh=self))

    async def run(self, argv: Any, *, check: bool = True) -> Ran:
        environment = {"HOME": str(self.home), "PATH": self.path, "LC_ALL": self.locale}
        pipe = asyncio.subprocess.PIPE
        done = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=pipe, stderr=pipe)
        out, err = await done.communicate()
        return Ran(done.returncode or 0, out.decode(), err.decode())

    def has(self, text: str) -> None:
        self.keys.parent.mkdir(exist_ok=True)
        self.keys.write_text(text)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_line_names_the_controller_and_not_its_user() -> None:
    assert f"ssh-ed25519 CCCC vmctl-controller-{'0a' * 16}" == ONE


async def test_lines_of_others_stay_byte_by_byte(host: Host) -> None:
    host.has(ADMINS + "\n")
    host.keys.chmod(0o640)
    before = host.keys.stat()
    await let_in(host.link, [OTHER, ONE])
    assert host.keys.read_text() == f"{ADMINS}\n{ONE}\n{OTHER}\n"
    now = host.keys.stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    await let_in(host.link, [OTHER])
    assert host.keys.read_text() == f"{ADMINS}\n{OTHER}\n"
    await let_in(host.link, [])
    assert host.keys.read_text() == f"{ADMINS}\n"
    assert [path.name for path in host.keys.parent.iterdir()] == ["authorized_keys"]


async def test_nothing_is_written_where_all_is_as_it_should_be(host: Host) -> None:
    host.has(f"{ADMINS}\n{ONE}\n")
    number = host.keys.stat().st_ino
    await let_in(host.link, [ONE])
    assert host.keys.stat().st_ino == number


async def test_a_last_line_without_its_end_stays_a_line_of_its_own(host: Host) -> None:
    host.has(ADMINS)
    await let_in(host.link, [ONE])
    assert host.keys.read_text() == f"{ADMINS}\n{ONE}\n"


async def test_where_there_is_no_file_one_is_made_that_nobody_else_reads(host: Host) -> None:
    await let_in(host.link, [ONE])
    assert host.keys.read_text() == f"{ONE}\n"
    assert host.keys.stat().st_mode & 0o777 == 0o600 and host.keys.parent.stat().st_mode & 0o777 == 0o700


async def test_a_link_stays_one(host: Host) -> None:
    real = host.home / "elsewhere"
    real.write_text(f"{ADMINS}\n")
    host.keys.parent.mkdir()
    host.keys.symlink_to(real)
    await let_in(host.link, [ONE])
    assert host.keys.is_symlink() and real.read_text() == f"{ADMINS}\n{ONE}\n"


@pytest.mark.parametrize("broken", ["cp", "sync", "cmp", "mv", "grep", "readlink"])
async def test_whatever_breaks_the_file_is_whole(host: Host, broken: str) -> None:
    """As on a full disk: the file is as it was, or as it should be."""
    host.has(f"{ADMINS}\n{OTHER}\n")
    tools = host.home / "tools"
    tools.mkdir()
    (tools / broken).write_text("#!/bin/sh\nexit 2\n")
    (tools / broken).chmod(0o755)
    host.path = f"{tools}:{host.path}"
    if broken in ("sync", "cmp"):
        assert "exit" in LET_IN
    try:
        await let_in(host.link, [ONE])
    except CommandFailed as err:
        assert "authorized_keys cannot be written" in err.message
    assert host.keys.read_text() in (f"{ADMINS}\n{OTHER}\n", f"{ADMINS}\n{ONE}\n")


async def test_what_an_admin_writes_meanwhile_is_not_lost(host: Host) -> None:
    host.has(f"{ADMINS}\n")
    tools = host.home / "tools"
    tools.mkdir()
    # An editor saves while ours is being written: once
    once = f"[ -e {tools}/done ] || echo 'ssh-ed25519 EEEE new' >>{host.keys}; : >{tools}/done"
    (tools / "sync").write_text(f"#!/bin/sh\n{once}\n")
    (tools / "sync").chmod(0o755)
    host.path = f"{tools}:{host.path}"
    await let_in(host.link, [ONE])
    assert host.keys.read_text() == f"{ADMINS}\nssh-ed25519 EEEE new\n{ONE}\n"


async def test_what_is_no_text_stays_byte_by_byte(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment of another age, the blocks of zeros that a power cut leaves: no line of others may go."""
    odd = b"ssh-rsa AAAA J\xfcrgen\nssh-ed25519 BBBB admin\n\0\0\0\nssh-rsa CCCC last"
    host.has("")
    host.keys.write_bytes(odd)
    for locale in ("C.UTF-8", "C"):
        monkeypatch.setattr(host, "locale", locale, raising=False)
        await let_in(host.link, [ONE])
        assert host.keys.read_bytes() == odd + f"\n{ONE}\n".encode()
        await let_in(host.link, [])
        assert host.keys.read_bytes() == odd + b"\n"
