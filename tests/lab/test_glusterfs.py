"""A pool whose storage is a network file system: what one kernel's directory cannot show."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.pool import NAME, Pool, wait_for
from vmctl import lab
from vmctl.errors import Refused

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def netpool() -> Iterator[Pool]:
    """Two hosts and their storage; the labs beside it keep their surroundings."""
    before = dict(os.environ)
    made = Pool(2, f"{NAME[:7]}g", storage="glusterfs")
    try:
        made.do("host", "add", *made.hosts)
        yield made
    finally:
        made.close()
        os.environ.clear()
        os.environ.update(before)


def test_a_labs_storage_stays_what_it_is(netpool: Pool) -> None:
    with pytest.raises(Refused, match="runs on glusterfs"):
        lab.up(storage="directory")
    assert "fuse.glusterfs" in netpool.ssh(netpool.hosts[1], "findmnt -n -o FSTYPE /shared")


def test_a_mount_that_caches_is_refused_with_the_option_that_cures_it(netpool: Pool) -> None:
    for host in netpool.hosts:
        source = netpool.ssh(host, "findmnt -n -o SOURCE /shared").strip()
        netpool.ssh(host, f"mkdir -p /cached; mount -t glusterfs -o log-file=/run/cached.log {source} /cached")
    ran = netpool("storage", "add", "cached", "--path", "/cached")
    assert ran.code == 3 and "direct-io-mode=enable" in ran.err and "fuse.glusterfs" in ran.err, ran
    assert "cached" not in netpool.do("storage", "list").out
    for host in netpool.hosts:
        netpool.ssh(host, "umount /cached; rmdir /cached")
    assert ".vmctl-probe" not in netpool.ssh(netpool.hosts[0], "ls -a /shared")


def test_a_directory_that_is_another_on_each_host_is_refused(netpool: Pool) -> None:
    first, second = netpool.hosts
    ran = netpool("storage", "add", "main", "--path", "/tmp")
    assert ran.code == 3 and f"{second}: /tmp is another directory than on {first}" in ran.err
    netpool.ssh(first, "mkdir /shared/part; mkdir -p /part; mount --bind /shared/part /part")
    netpool.ssh(second, "mkdir -p /part")
    ran = netpool("storage", "add", "main", "--path", "/part")
    assert ran.code == 3 and f"mount /part as on {first}" in ran.err, ran
    netpool.ssh(first, "umount /part; rmdir /part /shared/part")
    netpool.ssh(second, "rmdir /part")
    assert netpool.do("storage", "list", "-o", "json").json == []


def test_vms_run_and_move_there_with_their_leases(netpool: Pool) -> None:
    first, second = netpool.hosts
    netpool.do("storage", "add", "main", "--path", "/shared")
    assert netpool("storage", "add", "again", "--path", "//shared/").code == 3
    netpool.image("tiny")
    with netpool.vms("net1", options=("--host", first)):
        before = netpool.counting("net1")
        netpool.do("migrate", "net1", "--to", second)
        netpool.still_counts("net1", before)
        wait_for(lambda: held(netpool, second) == [netpool.vm("net1")["uuid"]], 15, "its lease is seen there")
        assert held(netpool, first) == []
        assert "without its lease" not in netpool.do("events").out


def held(pool: Pool, host: str) -> list[str]:
    """The keys that virtlockd has open on a host, past vmctl."""
    look = "ls -l /proc/$(pidof virtlockd)/fd | sed -n 's,.*/shared/lockspace/\\(.*-.*-.*\\),\\1,p'"
    return pool.ssh(host, look).split()


def test_a_cut_hosts_lock_becomes_free_and_its_vm_is_not_started_elsewhere(netpool: Pool) -> None:
    """The server gives the lock away while the VM runs on: a free lock proves nothing."""
    first, second = netpool.hosts
    with netpool.vms("net2", options=("--host", second)):
        measuring = netpool.begin("storage", "measure", "main", "--host", second)
        wait_for(lambda: "cut" in str(latest(netpool)), 20, "it asks for the cut")
        lab.cut(second)
        try:
            free = wait_for(lambda: shown(netpool).get("lock_free_after_s"), 150, "the lock is free")
            assert 2 < free < 150
            ran = netpool("start", "net2")
            assert ran.code == 3 and second in ran.err
            assert netpool.virsh(first, "list", "--all", "--name").split() == []
        finally:
            lab.heal(second)
            done(measuring)
        wait_for(lambda: netpool.vm("net2")["power"] == "running" and netpool.vm("net2")["host"] == second, 60, "back")
        assert netpool.copies("net2") == {second: "running"}
    assert f"{free:.0f} s after a host's loss" in netpool.do("storage", "show", "main").out
    for host in netpool.hosts:
        assert "probe" not in netpool.virsh(host, "list", "--all", "--name")


def latest(pool: Pool) -> Any:
    return next((task for task in pool.do("task", "list", "-o", "json").json if task["kind"] == "storage measure"), {})


def shown(pool: Pool) -> dict[str, Any]:
    found: dict[str, Any] = pool.do("storage", "show", "main", "-o", "json").json
    return found["proven"]


def done(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(90)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
