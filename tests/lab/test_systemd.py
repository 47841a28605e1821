"""Runs on machines of their own where systemd is the first process: its services keep their limits, or none begins.

The hosts of the lab share this machine's kernel and have no systemd. Here one is switched on, with log-ins as they are
in most places, and with logind set to end with a log-in all that it has begun: with control groups of version 2 first,
then with those of version 1, which systemd hands on to no user.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.realhost import Login, Machine
from vmctl.hosts import runs
from vmctl.hosts.runs import Seen
from vmctl.lab import images
from vmctl.local import paths

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.nightly]  # ten minutes on an emulated CPU
LINGERS, LEAVES = "anna", "bert"  # the first one's services go on without him
V1 = "systemd.unified_cgroup_hierarchy=0"
USERS = f"""
for user in {LINGERS} {LEAVES}; do
  useradd --create-home --shell /bin/bash $user
  cp -R /root/.ssh /home/$user/ && chown -R $user: /home/$user/.ssh
done
loginctl enable-linger {LINGERS}
"""
HUNGRY = ("python3", "-c", "b = [bytearray(1 << 20) for _ in range(1024)]; print(len(b))")
SPIN = "for i in 1 2; do timeout 4 sh -c 'while :; do :; done' & done; wait; times"
ODD = ["".join(map(chr, range(1, 128))), "", "*", "$HOME `id` $$ ${x} \\ '\"", "%h %%", "-n", "--", "\n", "ä€"]
LEFT = "systemctl list-units --all --no-legend 'vmctl-*-*'; find /sys/fs/cgroup -name 'vmctl-*-*'"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.fail("its image is made by root")
    folder = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder))  # a key of its own
        made = Machine(folder, images.ensure("debian-login", print), paths.ssh_key_path())
    try:
        made.boot()
        made.root(USERS)
        yield made
    finally:
        made.stop()


def new() -> str:
    return secrets.token_hex(16)


def nothing_left(machine: Machine) -> None:
    """No unit and no control group of a run; but for what sweeps, and ends by itself."""
    until = time.monotonic() + 30
    while left := [line for line in machine.root(LEFT).splitlines() if "vmctl-sweep-" not in line]:
        assert time.monotonic() < until, left
        time.sleep(1)


def keeps_its_limits(login: Login) -> None:
    """Memory, CPUs, its time; its words, code and output as they are: of several at once."""
    starved, busy, odd, late, left = (new() for _ in range(5))
    login.begin(starved, *HUNGRY, mem_mib=64)
    login.begin(odd, "printf", "%s\\0", *ODD, mem_mib=64, cpus=1)
    login.begin(late, "sh", "-c", "trap 'exit 9' TERM; sleep 300 & wait", mem_mib=64, timeout_s=2)
    login.begin(left, "sh", "-c", "cat; umask; setsid sleep 4321 & exit 3", given=b"read\n", mem_mib=64)
    seen = login.wait(starved)
    assert (seen.code, seen.starved, seen.out) == (137, True, b""), seen
    assert login.wait(odd).out == "".join(f"{word}\0" for word in ODD).encode()
    seen = login.wait(late)
    assert (seen.code, seen.late, seen.starved) == (9, True, False), seen
    seen = login.wait(left)
    assert (seen.code, seen.starved, seen.out) == (
        3,
        False,
        b"read\n" + login.machine.ssh(login.user, "umask").stdout,
    ), seen
    assert login.machine.root("pgrep -fx 'sleep 4321' || echo none") == "none\n"
    login.begin(busy, "bash", "-c", SPIN, cpus=1)
    assert 1 < seconds(login.wait(busy)) < 5.5  # two CPUs would have given them 8 s
    assert login.collect(starved, busy, odd, late, left) == []
    nothing_left(login.machine)


def seconds(seen: Seen) -> float:
    """Of CPU, as `times` tells of children."""
    words = seen.out.decode().split()[2:]
    return sum(60 * int(word.partition("m")[0]) + float(word.partition("m")[2].rstrip("s")) for word in words)


def refused(login: Login, why: str, mem_mib: int = 0, cpus: int = 0) -> None:
    """It says why, and nothing runs now or later."""
    run, file = new(), f"/tmp/ran-{secrets.token_hex(4)}"
    login.begin(run, "touch", file, mem_mib=mem_mib, cpus=cpus)
    seen = login.wait(run)
    assert (seen.fate, seen.code) == ("never", None) and why in seen.why, seen
    assert login.collect(run) == []
    assert login.machine.root(f"ls {file} 2>/dev/null || echo none") == "none\n"


@pytest.mark.parametrize("user", ["root", LINGERS])
def test_a_service_keeps_limits(machine: Machine, user: str) -> None:
    keeps_its_limits(Login(machine, user))


def test_who_does_not_linger_is_refused_what_would_end_with_his_log_in(machine: Machine) -> None:
    login = Login(machine, LEAVES)
    refused(login, f"its limits cannot be kept there: systemd ends all that {LEAVES} has begun", mem_mib=64)
    refused(login, f"it would end with its log-in there: systemd ends all that {LEAVES} has begun")


@pytest.mark.parametrize("user", ["root", LINGERS])
def test_they_outlive_log_ins_and_sshd_and_systemd_itself(machine: Machine, user: str) -> None:
    """With limits, and without."""
    login, limited, free = Login(machine, user), new(), new()
    words = ("sh", "-c", "until [ -e go ]; do sleep 0.2; done; echo went on; exit 7")
    login.begin(limited, *words, mem_mib=64, cpus=1)
    login.begin(free, *words)
    machine.root("systemctl restart ssh; systemctl daemon-reexec")
    if user != "root":
        machine.root(
            f"loginctl list-sessions --no-legend | while read -r id _ user _; do [ $user != {user} ] ||"
            " loginctl terminate-session $id; done"
        )
    time.sleep(5)
    for run in (limited, free):
        seen = login.look(run)
        assert seen.alive and seen.kept, seen
        machine.ssh(user, f"touch /var/tmp/vmctl-runs-$(id -u)/{run}/work/go")
        seen = login.wait(run)
        assert (seen.code, seen.out) == (7, b"went on\n"), seen
    assert login.collect(limited, free) == []
    nothing_left(machine)


def test_a_signal_ends_all_of_it(machine: Machine) -> None:
    login, run = Login(machine, LINGERS), new()
    login.begin(run, "sh", "-c", "sleep 300 & sleep 300; echo never", mem_mib=64)
    login.wait(run, lambda seen: seen.alive)
    assert login.do(runs.signal(run, "KILL")).returncode == 0
    seen = login.wait(run)
    assert (seen.code, seen.starved, seen.out) == (137, False, b""), seen
    nothing_left(machine)


def test_a_reboot_ends_it_and_in_version_1_users_are_refused(machine: Machine) -> None:
    """The same with another shell, and where nothing may be executed in the folder of runs."""
    login, file = Login(machine, LINGERS), Path("/home") / LINGERS / "begun"
    begun = [new(), new()]
    words = ("sh", "-c", f"echo line >>{file}; exec sleep 300")
    for run, mem_mib in zip(begun, (64, 0), strict=True):
        login.begin(run, *words, mem_mib=mem_mib)
        login.wait(run, lambda seen: seen.alive)
    machine.root("ln -sf bash /bin/sh; sync")
    machine.boot(V1)  # a power cut
    for run in begun:
        for seen in (login.begin(run, *words, mem_mib=64), login.look(run)):
            assert (seen.ended, seen.rebooted, seen.alive, seen.code) == (True, True, False, None), seen
    assert login.collect(*begun) == []
    assert machine.root(f"cat {file}") == "line\nline\n"
    machine.root("mount --bind /var/tmp /var/tmp && mount -o remount,bind,noexec /var/tmp")
    keeps_its_limits(Login(machine, "root"))
    refused(login, f"systemd begins there for {LINGERS} has no limit of its memory", mem_mib=64)
    refused(login, f"systemd begins there for {LINGERS} has no limit of its CPUs", cpus=1)
    run = new()
    login.begin(run, "sh", "-c", "echo $BASH; exit 4")
    seen = login.wait(run)
    assert (seen.code, seen.out) == (4, b"/usr/bin/sh\n"), seen
