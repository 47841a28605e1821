"""Hosts as they are found: talkative login shells of other kinds, hardened sshds, IPv6. One stops no other."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.pool import Pool, wait_for, without
from vmctl import lab

pytestmark = pytest.mark.lab
PREFIX = "fd00:88::1"


def inside(host: str, command: str) -> str:
    """Run a command on a host without its sshd."""
    pid = next(one.pid for one in lab.status().hosts if one.name == host)
    words = ["nsenter", "--target", str(pid), "--mount", "--net", "--pid", "--uts", "sh", "-c", command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def sshd_with(host: str, *lines: str) -> Iterator[None]:
    """The host's sshd with more settings."""
    reload = "kill -HUP $(pgrep -o -x sshd)"
    inside(host, "cp /etc/ssh/sshd_config /run/kept")
    inside(host, f"printf '{''.join(line + chr(92) + 'n' for line in lines)}' >> /etc/ssh/sshd_config; {reload}")
    try:
        yield
    finally:
        inside(host, f"cp /run/kept /etc/ssh/sshd_config; {reload}")


@contextlib.contextmanager
def shell_of_root(host: str, shell: str) -> Iterator[None]:
    """Root's login shell there is another one, and it prints before commands run."""
    inside(host, f"sed 's#^root:.*#root:x:0:0:root:/root:{shell}#' /etc/passwd > /run/passwd")
    inside(host, "mount --bind /run/passwd /etc/passwd; mkdir -p /root/.config/fish")
    for file in (".bashrc", ".config/fish/config.fish", ".tcshrc"):
        inside(host, f"echo 'echo NOTICE: authorised use only; uptime' > /root/{file}")
    try:
        yield
    finally:
        inside(host, "umount /etc/passwd; rm -rf /root/.bashrc /root/.config /root/.tcshrc")


@pytest.mark.parametrize("shell", ["/usr/bin/fish", "/bin/tcsh", "/bin/bash"])
def test_a_login_shell_of_any_kind_that_talks(pool: Pool, shell: str) -> None:
    host = pool.hosts[2]
    with without(pool, host), shell_of_root(host, shell):
        ran = pool.do("host", "add", host)
        assert "ok    load: a sample was taken" in ran.out
        wait_for(lambda: pool.do("host", "show", host, "-o", "json").json["load"], 20, "its load")
        pool.do("host", "check", host)
        pool.do("host", "remove", host)


def test_a_single_session_suffices_and_is_warned_of(pool: Pool) -> None:
    host = pool.hosts[2]
    with without(pool, host), sshd_with(host, "MaxSessions 1"):
        added = pool.do("host", "add", host)
        wait_for(lambda: pool.do("host", "show", host, "-o", "json").json["load"], 20, "its load")
        checked = pool.do("host", "check", host)
        for said in (added.out, checked.out):
            assert "warn  sshd: MaxSessions 1" in said and "FAIL" not in said
        with pool.vms("alone", options=("--host", host)):
            pool.do("migrate", "alone")
        pool.do("host", "remove", host)


def test_a_forced_command_is_named_and_stops_no_other_host(pool: Pool) -> None:
    forced, other = pool.hosts[1:3]
    with without(pool, forced), without(pool, other), sshd_with(forced, "ForceCommand /bin/true"):
        ran = pool("host", "add", forced, other)
        assert ran.code == 7 and "no ForceCommand in sshd_config" in ran.out + ran.err
        assert pool.do("host", "show", other, "-o", "json").json["state"] == "online"
        assert pool("host", "show", forced).code == 4


def test_forbidden_forwarding_is_named(pool: Pool) -> None:
    host = pool.hosts[2]
    with without(pool, host), sshd_with(host, "AllowTcpForwarding no"):
        ran = pool("host", "add", host)
        assert ran.code != 0 and "sshd forbids forwarding" in ran.out + ran.err
        assert "AllowStreamLocalForwarding yes" in ran.out + ran.err


def test_a_host_with_an_ipv6_address_takes_migrations(pool: Pool) -> None:
    bridge = f"vl-{lab.names.current().name}"
    subprocess.run(["ip", "-6", "address", "add", f"{PREFIX}/64", "dev", bridge, "nodad"], check=True)
    for number, name in enumerate(pool.hosts):
        inside(name, f"ip -6 address add {PREFIX}{number}/64 dev br0 nodad")
    first, host = pool.hosts[0], pool.hosts[2]
    try:
        with without(pool, host):
            pool.do("host", "add", f"{host}=root@[{PREFIX}2]:22")
            with pool.vms("six", options=("--host", first)):
                before = pool.counting("six")
                pool.do("migrate", "six", "--to", host)
                pool.do("migrate", "six", "--to", first)
                pool.still_counts("six", before)
            pool.do("host", "remove", host)
    finally:
        for number, name in enumerate(pool.hosts):
            inside(name, f"ip -6 address delete {PREFIX}{number}/64 dev br0")
        subprocess.run(["ip", "-6", "address", "delete", f"{PREFIX}/64", "dev", bridge], check=True)
