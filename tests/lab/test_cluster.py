"""The cluster as a whole: migrations, queues, drain, and a rebalance under real load that then rests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.lab.pool import Pool, wait_for
from vmctl.cli.client import Client
from vmctl.commands.cluster import History

pytestmark = pytest.mark.lab


def test_live_migration_keeps_the_guest_and_its_address(pool: Pool) -> None:
    with pool.vms("walker"):
        before = pool.counting("walker")
        address, home = pool.address("walker"), pool.vm("walker")["host"]
        result = pool.do("migrate", "walker", "-o", "json").json
        assert result["source"] == home and result["host"] != home
        assert 0 < result["downtime_ms"] < 5000
        assert result["checked"] == [f"{home}: not there", f"{result['host']}: running"]
        assert pool.copies("walker") == {result["host"]: "running"}
        pool.still_counts("walker", before)
        assert pool.address("walker") == address
        assert "moved" in pool.do("events").out
        back = pool.do("migrate", "walker", "--to", home)
        assert f"walker runs on {home}" in back.out and "paused" in back.out
        pool.still_counts("walker", before)
        again = pool("migrate", "walker", "--to", home)
        assert again.code == 3 and "already runs on" in again.err


def test_cold_migration_keeps_disks_and_identity(pool: Pool) -> None:
    with pool.vms("sleeper"):
        counted = lambda: (c := pool.counting("sleeper"))[1] > 25 and c  # noqa: E731
        first = wait_for(counted, 60, "it has counted on its disk too")
        before = pool.vm("sleeper")
        pool.do("migrate", "sleeper", "--cold")
        after = pool.vm("sleeper")
        assert after["host"] != before["host"]
        assert [after[key] for key in ("uuid", "disks", "mac")] == [before[key] for key in ("uuid", "disks", "mac")]
        second = wait_for(lambda: (c := pool.counting("sleeper"))[0] != first[0] and c, 60, "a new life")
        assert second[0] != first[0]
        address = pool.address("sleeper")
        last_life = lambda: first[0] in pool.ssh(address, "cat /run/last-life", check=False)  # noqa: E731
        wait_for(last_life, 30, "its disk remembers its last life")


def test_check_lists_blockers_for_every_host(pool: Pool) -> None:
    with pool.vms("pinned1", "pinned2", "pinned3", options=("--apart", "three")):
        ran = pool("migrate", "pinned1", "--check", "-o", "json")
        assert ran.code == 3
        rows = ran.json["hosts"]
        assert len(rows) == 2 and all("must be apart" in " ".join(row["blockers"]) for row in rows)
        assert pool("migrate", "pinned1").code == 3
    with pool.vms("free"):
        assert "can take it" in pool.do("migrate", "free", "--check").out
        pool.do("stop", "--force", "free")
        assert "stopped" in pool("migrate", "free", "--check").out


def test_one_host_sends_one_migration_at_a_time(pool: Pool) -> None:
    """At most one out of a host, at most two into one; the rest wait visibly and all get there."""
    host, names = pool.hosts[0], ("queue1", "queue2", "queue3")
    with pool.vms(*names, options=("--host", host)):
        for name in names:
            pool.counting(name)
            pool.virsh(host, "migrate-setspeed", name, "24")
        tasks = [pool.do("migrate", name, "--detach", "-o", "json").json["id"] for name in names]
        seen_waiting, most = False, 0
        while True:
            found = pool.do("task", "list", "-o", "json").json  # all at one moment
            states = [state for state in found if state["id"] in tasks]
            running = [s for s in states if s["state"] == "running"]
            most = max(most, sum("percent" in s["progress"] for s in running))
            waits = [s["progress"].get("text", "") for s in running]
            seen_waiting |= any(f"queued: {host} already sends 1" in text for text in waits)
            if all(s["state"] in ("done", "failed") for s in states):
                break
        assert [s["state"] for s in states] == ["done"] * 3, states
        assert seen_waiting and most == 1


def test_drain_empties_a_host_and_undrain_takes_it_back(pool: Pool) -> None:
    host = pool.hosts[0]
    with pool.vms("drain1", "drain2", options=("--host", host)):
        plan = pool.do("host", "drain", host, "--plan")
        assert "drain1" in plan.out and "is drained" in plan.out
        assert pool.vm("drain1")["host"] == host
        ran = pool.do("host", "drain", host)
        assert "is drained: 2 VMs moved" in ran.out
        assert {pool.vm(name)["host"] for name in ("drain1", "drain2")}.isdisjoint({host})
        assert "draining" in pool.do("host", "show", host).out
        assert pool("create", "no", "--image", "tiny", "--memory", "128M", "--host", host).code == 3
        pool.do("host", "undrain", host)
        assert pool("host", "undrain", host).code == 3


def test_one_vm_that_cannot_move_does_not_stop_the_rest(pool: Pool) -> None:
    host = pool.hosts[0]
    pool.do("host", "label", host, "only=here")
    try:
        with pool.vms("mobile", options=("--host", host)), pool.vms("stuck", options=("--needs", "only=here")):
            ran = pool("host", "drain", host)
            assert ran.code == 7 and "stuck stays" in ran.err and "needs label only=here" in ran.err
            assert pool.vm("mobile")["host"] != host and pool.vm("stuck")["host"] == host
            assert pool.copies("stuck") == {host: "running"}
            pool.do("host", "undrain", host)
    finally:
        pool.do("host", "label", host, "only=")


@contextlib.contextmanager
def burning(pool: Pool, names: tuple[str, ...], seconds: int) -> Iterator[None]:
    """Real CPU load inside the guests."""
    begin = f"burn {seconds} >/dev/null 2>&1 </dev/null & echo burns"
    for name in names:
        pool.counting(name)
        begun = lambda name=name: "burns" in pool.ssh(pool.address(name), begin, check=False)  # noqa: E731
        wait_for(begun, 30, f"{name} burns")  # its sshd comes a little later than its counter
    yield


def test_scheduled_rebalancing_evens_real_load_out_and_rests(pool: Pool) -> None:
    names = ("hot1", "hot2", "hot3")
    try:
        with pool.vms(*names, options=("--host", pool.hosts[0])), burning(pool, names, 420):
            loaded = lambda: max(h["load"]["cpu"] for h in pool.do("host", "list", "-o", "json").json) > 1.0  # noqa: E731
            wait_for(loaded, 60, "the load shows")
            plan = pool.do("rebalance", "--plan").out
            assert ("hot" in plan and "of its CPU in use" in plan) or "stalls" in plan, plan
            pool.do("schedule", "set", "rebalance", "* * * * *", "--mode", "act")
            spread = lambda: {pool.vm(name)["host"] for name in names} == set(pool.hosts)  # noqa: E731
            wait_for(spread, 240, "one hot VM on each host")
            lives = [pool.counting(name) for name in names]
            time.sleep(62)  # the load's window fills with the new picture
            run = lambda: pool.do("schedule", "list", "-o", "json").json[0]["last_run"]  # noqa: E731
            before, moves = run(), pool.do("events", "-o", "json").out.count('"migrated"')
            wait_for(lambda: run() != before, 90, "the schedule runs again")
            assert pool.do("events", "-o", "json").out.count('"migrated"') == moves, "it moved VMs without need"
            assert spread()
            for name, life in zip(names, lives, strict=True):
                pool.still_counts(name, life)
    finally:
        pool("schedule", "remove", "rebalance")


def it_writes_and_sends(pool: Pool, name: str) -> None:
    """What a guest does with its disk and its network is part of its load, and of its host's."""
    work = "dd if=/dev/zero of=/dev/vda bs=64k count=200 conv=fsync 2>/dev/null; head -c 8000000 /dev/zero"
    pool.counting(name)
    sent = lambda: len(pool.ssh(pool.address(name), work, check=False)) == 8_000_000  # noqa: E731
    wait_for(sent, 30, "its sshd, which comes a little later than its counter")
    least = 4e6 / (62 * 10_000e6 / 8)  # of a cable of 10 Gbit/s, over the minute that loads are smoothed over
    load = wait_for(lambda: (it := pool.vm(name)["load"])["net"] > least and it["disk"] > 0 and it, 20, "its part")
    home = pool.vm(name)["host"]
    of_host = lambda: pool.do("host", "show", home, "-o", "json").json["load"]  # noqa: E731
    host = wait_for(lambda: (it := of_host())["net"] > least and it["disk"] > 0 and it, 20, "its host's part")
    assert load["net"] < 0.5 and host["net"] < 0.5
    assert load["disk"] <= 1 and 0 < host["disk"] <= 1  # of the machine's disk, which whatever else runs there uses too


def test_load_is_kept_with_its_history(pool: Pool) -> None:
    """Points at full rate at once, and a minute's mean in the registry when the minute is over."""
    client = Client()
    with pool.vms("tracked"):
        seen = lambda: client.ask(History("vm", "tracked"))["points"]  # noqa: E731
        points = wait_for(lambda: len(p := seen()) > 2 and p, 30, "points of the VM")
        assert all(0 <= point["cpu"] <= 2 and 0 < point["mem_mib"] < 1024 for point in points)
        it_writes_and_sends(pool, "tracked")
    means = lambda: client.ask(History("host", pool.hosts[0], 3600))["means"]["60"]  # noqa: E731
    mean = wait_for(means, 130, "a minute's mean")[0]
    assert mean["at"] % 60 == 0 and 0 <= mean["cpu"] <= 2 and 0 < mean["mem_mib"] < 3072


def test_a_debian_guest_boots_answers_and_migrates(pool: Pool) -> None:
    pool.image("debian-12")
    with pool.vms("deb", options=("--disk", "2G"), memory="512M", image="debian-12"):
        address = pool.address("deb")
        up = lambda: "deb" in pool.ssh(address, "hostname", check=False)  # noqa: E731
        wait_for(up, 120, "SSH into the guest")
        boot_id = pool.ssh(address, "cat /proc/sys/kernel/random/boot_id")
        home = pool.vm("deb")["host"]
        pool.do("migrate", "deb")
        assert pool.vm("deb")["host"] != home
        assert pool.ssh(address, "cat /proc/sys/kernel/random/boot_id") == boot_id
        pool.do("stop", "deb")
