"""What is not known is not called stopped, and what ended with its host is started again; on real hosts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.lab.pool import Pool, wait_for
from vmctl import lab

pytestmark = pytest.mark.lab


@pytest.fixture
def whole(pool: Pool) -> Iterator[None]:
    """Whatever a test does to hosts, all three are in the pool and answer afterwards."""
    try:
        yield
    finally:
        for host in lab.status().hosts:
            if host.state == "cut":
                lab.heal(host.name)
            elif host.state == "down":
                lab.boot(host.name)
        for name in pool.hosts:
            if pool("host", "show", name).code == 4:
                wait_for(partial(_joins, pool, name), 60, f"{name} is in the pool")
        online = lambda: all(h["state"] == "online" for h in pool.do("host", "list", "-o", "json").json)  # noqa: E731
        wait_for(online, 60, "all online")


def _joins(pool: Pool, name: str) -> bool:
    return pool("host", "add", name).code == 0


def unseen(pool: Pool, host: str) -> None:
    """Cut the host off, and wait until that is known."""
    lab.cut(host)
    state = lambda: pool.do("host", "show", host, "-o", "json").json["state"]  # noqa: E731
    wait_for(lambda: state() == "unknown", 40, "seen as unknown")


@pytest.mark.usefixtures("whole")
def test_a_vm_on_a_host_that_was_removed_is_neither_started_nor_deleted(pool: Pool) -> None:
    """Its host lives behind a cut cable: its disk must stay, and no second copy may start."""
    host = pool.hosts[2]
    with pool.vms("p3", options=("--host", host)):
        before = pool.counting("p3")
        disk = pool.vm("p3")["disks"][0]
        unseen(pool, host)
        assert pool("stop", "p3").code == 8
        removed = pool.do("host", "remove", host, "--force", "-o", "json").json
        assert removed["may_still_run"] == ["p3"]
        assert "may still run there: p3" in pool.do("events").out
        for words in (("start", "p3"), ("stop", "p3"), ("delete", "--yes", "p3"), ("start", "p3")):
            ran = pool(*words)
            assert ran.code == 3 and f"p3 may still run on {host}" in ran.err and "--i-know-it-is-off" in ran.err, ran
        assert pool.vm("p3")["power"] == "unknown" and pool.vm("p3")["last_host"] == host
        assert pool("delete", "--i-know-it-is-off", "p3", stdin="p4\n").code == 3  # another name was typed
        lab.heal(host)
        assert disk.rsplit("/", 2)[-2] in pool.ssh(pool.hosts[0], "ls /shared")
        pool.do("host", "add", host)
        wait_for(
            lambda: (v := pool.vm("p3"))["host"] == host and v["power"] == "running", 40, "its host is known again"
        )
        pool.still_counts("p3", before)


@pytest.mark.usefixtures("whole")
def test_an_admin_who_knows_signs_with_the_vms_name(pool: Pool) -> None:
    host = pool.hosts[2]
    with pool.vms("p4", options=("--host", host, "--no-autostart")):
        pool.counting("p4")
        lab.kill(host)  # it is off, and only the admin knows it
        state = lambda: pool.do("host", "show", host, "-o", "json").json["state"]  # noqa: E731
        wait_for(lambda: state() == "unknown", 40, "seen as unknown")
        ran = pool("start", "p4", "--i-know-it-is-off", stdin="p4\n")
        assert ran.code == 0 and f"its QEMU must have ended on {host}" in ran.err, ran
        assert pool.vm("p4")["host"] != host
        signed = [e for e in pool.do("events", "-o", "json").json if e["kind"] == "signed"]
        assert signed and signed[-1]["who"] and "p4" in signed[-1]["text"]


@pytest.mark.usefixtures("whole")
def test_what_ended_with_its_hosts_reboot_is_started_again(pool: Pool) -> None:
    host = pool.hosts[2]
    with pool.vms("again", options=("--host", host)), pool.vms("stays", options=("--host", host, "--no-autostart")):
        first = pool.counting("again")
        seen = pool.do("events", "-o", "json").json[-1]["id"]  # an earlier test may have lost this host, too
        news = lambda: {e["kind"] for e in pool.do("events", "-o", "json").json if e["id"] > seen}  # noqa: E731
        lab.kill(host)
        wait_for(lambda: "host lost" in news(), 40, "seen as lost: a host that is back within 3 s is no news")
        lab.boot(host)
        wait_for(lambda: pool.vm("again")["power"] == "running" and len(pool.copies("again")) == 1, 90, "started again")
        wait_for(lambda: pool.counting("again")[0] != first[0], 60, "another life")
        wait_for(lambda: pool.vm("stays")["power"] == "stopped", 30, "not asked for")
        assert {"host lost", "host back", "host rebooted", "autostart"} <= news()


def test_a_lease_that_a_restarted_lock_manager_left_behind_is_no_copy(pool: Pool) -> None:
    host = pool.hosts[1]
    with pool.vms("leaks", options=("--host", host)):
        pool.counting("leaks")
        pool.ssh(host, "pkill -9 virtlockd")
        wait_for(lambda: "without its lease" in pool.vm("leaks")["why"], 20, "the missing lease is noticed")
        pool.ssh(host, "pkill libvirtd")  # its supervisor starts it again, and that the lock manager
        wait_for(lambda: pool.vm("leaks")["why"] == "", 45, "the lease is taken again")
        pool.do("stop", "--force", "leaks")
        pool.do("start", "leaks", "--host", pool.hosts[0])
        assert pool.copies("leaks") == {pool.hosts[0]: "running"}
