"""Faults in the middle of a live migration: afterwards exactly one QEMU has the VM, vmctl names its host, and its guest
goes on counting. Real link cuts, real kills; the migration is held open by a limit on its rate.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.pool import Pool, wait_for
from vmctl import lab

pytestmark = pytest.mark.lab


class Migration:
    """A migration that takes its time, and what came of it."""

    def __init__(self, pool: Pool, name: str) -> None:
        self.pool, self.name = pool, name
        self.source = pool.vm(name)["host"]
        self.target = next(host for host in pool.hosts if host != self.source)
        self.before = pool.counting(name)
        pool.virsh(self.source, "migrate-setspeed", name, "8")
        self.task = pool.do("migrate", name, "--to", self.target, "--detach", "-o", "json").json["id"]
        wait_for(self._copying, 20, "the migration copies memory")

    def _copying(self) -> bool:
        state = self.state()
        assert state["state"] in ("queued", "running"), state
        return bool(2 < state["progress"].get("percent", 0) < 60)

    def state(self) -> dict[str, Any]:
        """The task as vmctl shows it."""
        found: dict[str, Any] = self.pool.do("task", "show", str(self.task), "-o", "json").json
        return found

    def ended(self, limit_s: float = 90.0) -> dict[str, Any]:
        """Wait for the task's end."""
        ends = ("done", "failed", "cancelled")
        return wait_for(lambda: (s := self.state())["state"] in ends and s, limit_s, "the task ends")

    def runs_only_on(self, host: str) -> None:
        """Exactly one QEMU, there; the same life counts on; vmctl says the same."""
        wait_for(lambda: self.pool.copies(self.name) == {host: "running"}, 40, f"one copy, on {host}")
        wait_for(lambda: (v := self.pool.vm(self.name))["host"] == host and v["power"] == "running", 30, "vmctl knows")
        self.pool.still_counts(self.name, self.before)


@pytest.fixture
def migration(pool: Pool) -> Iterator[Migration]:
    with pool.vms("busy", memory="256M"):
        try:
            yield Migration(pool, "busy")
        finally:
            for host in lab.status().hosts:
                if host.state == "cut":
                    lab.heal(host.name)
                elif host.state == "down":
                    lab.boot(host.name)
            wait_for(
                lambda: all(h["state"] == "online" for h in pool.do("host", "list", "-o", "json").json),
                60,
                "all online",
            )


def test_cancelling_leaves_the_vm_where_it_is(pool: Pool, migration: Migration) -> None:
    pool.do("task", "cancel", str(migration.task))
    end = migration.ended()
    assert end["state"] == "cancelled" and f"runs on {migration.source}" in end["error"]["message"]
    migration.runs_only_on(migration.source)


def test_link_cut_in_the_middle(pool: Pool, migration: Migration) -> None:
    lab.cut(migration.target)
    end = migration.ended()
    assert end["state"] == "failed" and f"runs on {migration.source}" in end["error"]["message"], end
    assert any(migration.target in line for line in end["error"]["lines"])
    migration.runs_only_on(migration.source)
    lab.heal(migration.target)
    wait_for(lambda: pool.copies("busy") == {migration.source: "running"}, 40, "the target forgets its half")


def test_target_qemu_stands_still(pool: Pool, migration: Migration) -> None:
    pool.ssh(migration.target, "pkill -STOP -f guest=busy")
    end = migration.ended(40)  # libvirt's own abort would wait for that QEMU, for minutes
    assert end["state"] == "failed" and f"runs on {migration.source}" in end["error"]["message"], end
    migration.runs_only_on(migration.source)


def test_target_libvirtd_killed(pool: Pool, migration: Migration) -> None:
    pool.ssh(migration.target, "pkill -9 libvirtd")
    end = migration.ended()
    assert end["state"] == "failed" and f"runs on {migration.source}" in end["error"]["message"], end
    migration.runs_only_on(migration.source)


def test_target_host_killed(pool: Pool, migration: Migration) -> None:
    lab.kill(migration.target)
    end = migration.ended()
    assert end["state"] == "failed" and f"runs on {migration.source}" in end["error"]["message"], end
    migration.runs_only_on(migration.source)


def test_controller_killed(pool: Pool, migration: Migration) -> None:
    lock = Path(os.environ["XDG_DATA_HOME"]) / "vmctl" / "controller.lock"
    os.kill(int(lock.read_text()), signal.SIGKILL)
    time.sleep(0.5)
    end = migration.ended()  # the next command starts another controller, which takes the task over
    host = migration.target if end["state"] == "done" else migration.source
    migration.runs_only_on(host)
    if end["state"] != "done":
        assert f"runs on {migration.source}" in end["error"]["message"], end


def test_source_libvirtd_killed(pool: Pool, migration: Migration) -> None:
    pool.ssh(migration.source, "pkill -9 libvirtd")
    end = migration.ended()
    assert end["state"] in ("done", "failed"), end
    migration.runs_only_on(migration.target if end["state"] == "done" else migration.source)


def test_lock_manager_killed(pool: Pool) -> None:
    """virtlockd forgets what it locked, and its lockspace: the VM is found without its lease, and gets it again."""

    def holds_lease() -> bool:
        inode = pool.ssh(host, f"stat -c %i /shared/lockspace/{uuid}").strip()
        return f":{inode} " in pool.ssh(host, "cat /proc/locks")

    def refused() -> bool:
        found = pool("create", "no", "--image", "tiny", "--memory", "128M", "--host", host, "--dry-run")
        return "gives no leases" in found.out + found.err

    with pool.vms("held"):
        before, vm = pool.counting("held"), pool.vm("held")
        host, uuid = vm["host"], vm["uuid"]
        assert holds_lease()
        pool.ssh(host, "pkill -9 virtlockd")
        wait_for(lambda: "without its lease" in pool.vm("held")["why"], 20, "the missing lease is noticed")
        wait_for(refused, 20, "the host gets no VMs")
        assert not holds_lease()
        pool.ssh(host, "pkill libvirtd")  # its supervisor starts it again
        wait_for(lambda: pool.vm("held")["why"] == "", 45, "the lease is taken again")
        assert holds_lease()
        pool.still_counts("held", before)
        assert not refused()
        told = f"virtlockd on {host} was restarted"
        wait_for(lambda: told in pool.do("events").out, 30, "the new life of virtlockd is told")
        lives = pool.do("ps", host, "--program", "virtlockd", "--history", "-o", "json").json
        # The newest of those that ended comes first; tests before this one may have killed it, too.
        assert [life["valid"] for life in lives[:2]] == [True, False] and lives[1]["why"] == "exit seen"
