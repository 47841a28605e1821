"""Every command about VMs, on real hosts with real guests."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.pool import Pool, wait_for

pytestmark = pytest.mark.lab


def registry() -> Path:
    return Path(os.environ["XDG_DATA_HOME"]) / "vmctl" / "registry.db"


def test_a_life_of_a_vm(pool: Pool) -> None:
    with pool.vms("life"):
        first = pool.counting("life")
        assert pool.vm("life")["power"] == "running"
        pool.do("pause", "life")
        assert pool.vm("life")["power"] == "paused"
        pool.do("resume", "life")
        pool.still_counts("life", first)
        pool.do("reset", "life")
        second = wait_for(lambda: (c := pool.counting("life"))[0] != first[0] and c, 60, "another life")
        pool.do("reboot", "life")
        wait_for(lambda: pool.counting("life")[0] not in (first[0], second[0]), 60, "a third life")
        began = time.monotonic()
        pool.do("stop", "life")
        assert time.monotonic() - began < 30
        assert pool.vm("life")["power"] == "stopped"
        assert pool.copies("life") == {}
        refused = pool("stop", "life")
        assert refused.code == 0  # it is as asked
        pool.do("start", "life")
        assert pool.copies("life") == {pool.vm("life")["host"]: "running"}
        kept = pool("delete", "life", "--yes")
        assert kept.code == 3 and "vmctl stop life" in kept.err
        pool.do("stop", "--force", "life")
        assert pool("delete", "life", stdin="n\n").code == 3
        pool.do("delete", "life", stdin="y\n")
        assert pool("show", "life").code == 4
    assert "life" not in pool.ssh(pool.hosts[0], "ls /shared /shared/lockspace")


def test_output_for_programs(pool: Pool) -> None:
    with pool.vms("out1", "out2"):
        listed = pool.do("list", "-o", "json").json
        assert {vm["name"] for vm in listed} >= {"out1", "out2"}
        assert pool.do("list", "-o", "name").out.split() == sorted(vm["name"] for vm in listed)
        assert "- name: out1" in pool.do("list", "-o", "yaml").out
        assert "UUID" in pool.do("list", "-o", "wide").out
        assert "\x1b" not in pool.do("list").out
        top = pool.do("top", "--once").out
        assert "out1" in top and pool.hosts[0] in top and "score" in top
        result = pool.do("migrate", "out1", "-o", "json").json
        assert result["host"] == pool.vm("out1")["host"] != result["source"]


@pytest.mark.parametrize("name", ["a'/><evil", "-x", "a b", "", "x" * 64, "../up", "é"])
def test_evil_names_are_refused(pool: Pool, name: str) -> None:
    ran = pool("create", "--image", "tiny", "--memory", "128M", "--", name)
    assert ran.code == 2 and "is not a name" in ran.err, ran
    assert name not in pool.do("list", "-o", "name").out.split()


def test_errors_name_the_cause_and_the_next_command(pool: Pool) -> None:
    cases = [
        (("show", "nobody"), 4, "no VM 'nobody'", "vmctl list"),
        (("create", "x", "--image", "nope", "--memory", "128M"), 4, "no image 'nope'", "vmctl image list"),
        (("migrate", "nobody"), 4, "no VM", "vmctl list"),
        (("host", "show", "kvm99"), 4, "no host 'kvm99'", "vmctl host list"),
        (("host", "add", "nowhere.invalid"), 8, "1 of 1 hosts were not added", "vmctl host add nowhere.invalid"),
        (("task", "show", "99999"), 4, "no task", "vmctl task list"),
        (("create", "x", "--image", "tiny", "--memory", "lots"), 2, "is not a size", ""),
        (("schedule", "set", "rebalance", "every day"), 2, "is not a schedule", "for example"),
        (("frobnicate",), 2, "No such command", ""),
        (("lst",), 2, "Did you mean list", ""),
    ]
    for words, code, cause, hint in cases:
        ran = pool(*words)
        assert ran.code == code and cause in ran.err and hint in ran.err, (words, ran)


def test_no_host_fits(pool: Pool) -> None:
    ran = pool("create", "huge", "--image", "tiny", "--memory", "64G")
    assert ran.code == 3, ran
    for host in pool.hosts:
        assert f"{host}: memory: needs" in ran.err
    assert pool("create", "huge", "--image", "tiny", "--memory", "64G", "--dry-run").code == 3
    assert pool("show", "huge").code == 4
    assert "huge" not in pool.ssh(pool.hosts[0], "ls /shared")


def test_dry_run_shows_the_best_hosts_and_changes_nothing(pool: Pool) -> None:
    before = pool.do("list", "-o", "name").out
    ran = pool.do("create", "maybe", "--image", "tiny", "--memory", "160M", "--dry-run")
    assert all(f"{rank}. " in ran.out for rank in (1, 2, 3)) and "CPU spread" in ran.out
    assert pool.do("list", "-o", "name").out == before
    found = pool.do("create", "maybe", "--image", "tiny", "--memory", "160M", "--dry-run", "-o", "json").json
    assert found["host"] in pool.hosts and all(row["age_s"] < 30 for row in found["inputs"].values())


def test_a_host_without_the_bridge_is_refused(pool: Pool) -> None:
    words = ("create", "bridged", "--image", "tiny", "--memory", "160M", "--bridge", "lan7")
    pool.ssh(pool.hosts[1], "ip link add lan7 type bridge && ip link set lan7 up")
    try:
        only = lambda: (ran := pool(*words, "--dry-run")).code == 0 and ran.out  # noqa: E731
        out = wait_for(only, 10, "the new bridge is seen")
        assert pool.hosts[1] in out and out.count("needs bridge lan7, the host has br0") == 2, out
        ran = pool(*words, "--host", pool.hosts[0])
        assert ran.code == 3 and "needs bridge lan7, the host has br0" in ran.err
    finally:
        pool.ssh(pool.hosts[1], "ip link delete lan7")
    gone = lambda: "needs bridge lan7" in (ran := pool(*words)).err and ran.code == 3  # noqa: E731
    wait_for(gone, 10, "the bridge is seen to be gone")


def test_two_creates_do_not_count_on_the_same_memory(pool: Pool) -> None:
    """Two VMs that fit one host only one at a time, made at the same moment, land on two hosts or are refused."""
    names = [f"big{n}" for n in range(6)]
    try:
        began = [pool.begin("create", name, "--image", "tiny", "--memory", "1500M", "--no-start") for name in names]
        assert [process.wait(60) for process in began] == [0] * 6
        started = [pool.begin("start", name) for name in names]
        codes = [process.wait(60) for process in started]
        placed = [pool.vm(name)["host"] for name in names if pool.vm(name)["host"]]
        assert sorted(placed) == sorted(pool.hosts), placed  # one each: two would not fit
        assert sorted(codes) == [0, 0, 0, 3, 3, 3]
    finally:
        for name in names:
            pool("stop", "--force", name)
            pool("delete", "--yes", name)


def test_why_tells_the_decision_and_its_inputs(pool: Pool) -> None:
    with pool.vms("why1", "why2", options=("--apart", "why")):
        assert pool.vm("why1")["host"] != pool.vm("why2")["host"]
        said = pool.do("why", "why2").out
        assert "refused: must be apart from why1 (group why)" in said
        assert "measured" in said and "inputs then" in said
        other = pool.vm("why1")["host"]
        assert "must be apart" in pool.do("why", "why2", "--not", other).out


def test_a_vm_that_runs_is_not_started_again(pool: Pool) -> None:
    with pool.vms("twice"):
        ran = pool("start", "twice")
        assert ran.code == 3 and "already runs on" in ran.err


def test_a_vm_started_by_somebody_else_is_not_started_again(pool: Pool) -> None:
    """Past vmctl, on another host: refused, and the registry learns where it runs."""
    with pool.vms("stray"):
        home = pool.vm("stray")["host"]
        xml = pool.virsh(home, "dumpxml", "stray", "--migratable")
        pool.do("stop", "--force", "stray")
        other = next(host for host in pool.hosts if host != home)
        start_past_vmctl(pool, other, xml)
        ran = pool("start", "stray")
        assert ran.code == 3 and f"already runs on {other}" in ran.err
        wait_for(lambda: pool.vm("stray")["host"] == other, 20, "the registry follows")
        assert pool.copies("stray") == {other: "running"}


def start_past_vmctl(pool: Pool, host: str, xml: str) -> str:
    words = ["ssh", "-i", str(pool.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    words += [f"root@{host}", "cat > /tmp/x.xml && virsh create /tmp/x.xml"]
    done = subprocess.run(words, input=xml, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_with_the_registry_deceived_the_lock_refuses(pool: Pool) -> None:
    """The registry is made to believe that the VM is stopped, and its host is cut off: only the lock stands."""
    with pool.vms("guarded"):
        home = pool.vm("guarded")["host"]
        xml = pool.virsh(home, "dumpxml", "guarded", "--migratable")
        other = next(host for host in pool.hosts if host != home)
        said = start_past_vmctl(pool, other, xml)
        assert "lock" in said.lower() and pool.copies("guarded") == {home: "running"}, said
        # the same name and lease with another disk: the per-VM lease alone must refuse it
        pool.ssh(other, "qemu-img create -q -f qcow2 /shared/other.qcow2 16M")
        said = start_past_vmctl(pool, other, xml.replace("/shared/guarded.qcow2", "/shared/other.qcow2"))
        pool.ssh(other, "rm /shared/other.qcow2")
        assert "lock" in said.lower() and pool.copies("guarded") == {home: "running"}, said
        # vmctl itself, deceived: its registry says stopped, and it cannot see the host that runs the VM
        pool.do("serve", "--stop")
        with sqlite3.connect(registry()) as db:
            hidden = db.execute("SELECT * FROM host WHERE name = ?", (home,)).fetchone()
            db.execute("DELETE FROM host WHERE name = ?", (home,))
            db.execute("UPDATE vm SET host = '', power = 'stopped' WHERE name = 'guarded'")
        ran = pool("start", "guarded", "--host", other)
        pool.do("serve", "--stop")
        with sqlite3.connect(registry()) as db:
            db.execute(f"INSERT INTO host VALUES ({','.join('?' * len(hidden))})", hidden)
        assert ran.code == 3 and "its lock is held" in ran.err, ran
        assert pool.copies("guarded") == {home: "running"}
        wait_for(lambda: pool.vm("guarded")["host"] == home, 20, "the registry sees again")


def test_a_guest_that_powers_off_is_seen(pool: Pool) -> None:
    with pool.vms("leaves"):
        pool.counting("leaves")
        pool.virsh(pool.vm("leaves")["host"], "shutdown", "leaves")
        wait_for(lambda: pool.vm("leaves")["power"] == "stopped", 30, "seen as stopped")
        assert "leaves is no longer on" in pool.do("events").out


def test_console(pool: Pool) -> None:
    with pool.vms("talks"):
        pool.counting("talks")
        command = [sys.executable, "-m", "vmctl.cli.main", "console", "talks"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as console:
            assert console.stdin is not None and console.stdout is not None
            time.sleep(1.0)
            console.stdin.write(b"\necho four=$((2+2))\n")
            console.stdin.flush()
            time.sleep(2.0)
            console.stdin.write(b"\x1d")
            console.stdin.flush()
            out = console.stdout.read()
            assert console.wait(10) == 0
        assert b"four=4" in out, out
    ran = pool("console", "talks")
    assert ran.code == 4


def test_a_full_copy_and_a_larger_disk(pool: Pool) -> None:
    with pool.vms("whole", options=("--full", "--disk", "64M")):
        disk = pool.vm("whole")["disks"][0]
        said = pool.ssh(pool.hosts[0], f"qemu-img info -U {disk}")
        assert "64 MiB" in said and "backing file" not in said
        pool.counting("whole")
    ran = pool("create", "small", "--image", "tiny", "--memory", "128M", "--disk", "1M")
    assert ran.code == 3 and "smaller than its image" in ran.err
    assert pool("show", "small").code == 4


def test_commands_for_many_vms_do_what_they_can(pool: Pool) -> None:
    with pool.vms("many1", "many2"):
        ran = pool("stop", "--force", "many1", "nobody", "many2")
        assert ran.code == 7 and "no VM 'nobody'" in ran.err
        assert [pool.vm(name)["power"] for name in ("many1", "many2")] == ["stopped", "stopped"]


def test_the_isa_serial_port_is_there_for_guests_without_virtio(pool: Pool) -> None:
    with pool.vms("old", options=("--agent-port", "isa")):
        pool.counting("old")
        pool.do("migrate", "old")


def test_waiting_ends_with_the_timeout_and_the_work_goes_on(pool: Pool) -> None:
    with pool.vms("slow"):
        pool.counting("slow")
        home = pool.vm("slow")["host"]
        pool.virsh(home, "migrate-setspeed", "slow", "8")
        ran = pool("migrate", "slow", "--timeout", "1")
        assert ran.code == 6 and "vmctl task attach" in ran.err
        number = ran.err.split("task attach ")[1].split()[0]
        pool.virsh(home, "migrate-setspeed", "slow", "2000")
        pool.do("task", "attach", number)
        assert pool.vm("slow")["host"] != home
