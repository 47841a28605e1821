"""QEMU processes of real hosts in the ledger: from a VM's start over its migration to its end, and after a restart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.pool import Pool, wait_for

pytestmark = pytest.mark.lab


def qemus(pool: Pool, vm: str, *words: str) -> list[dict[str, Any]]:
    """The VM's QEMU processes on all hosts, as `vmctl ps` tells them."""
    uuid = pool.vm(vm)["uuid"]
    listed = pool.do("ps", "--program", "qemu", "-o", "json", *words).json
    return [row for row in listed if uuid in row["command"]]


def on(pool: Pool, vm: str, host: str) -> dict[str, Any]:
    """The VM's one valid QEMU, on that host and on no other."""

    def look() -> dict[str, Any] | None:
        found = qemus(pool, vm)
        return found[0] if [row["machine"] for row in found] == [host] else None

    found: dict[str, Any] = wait_for(look, 20, f"{vm}'s QEMU is known on {host} alone")
    return found


def test_a_vms_process_from_its_start_to_its_end(pool: Pool) -> None:
    with pool.vms("seen"):
        host = pool.vm("seen")["host"]
        # It is seen from its first moment on, when it has little memory yet.
        wait_for(lambda: on(pool, "seen", host)["rss_kib"] > 10_000, 20, "it is measured as it runs")
        began = on(pool, "seen", host)
        assert began["valid"] and began["version"]
        pid = pool.ssh(host, "cat /run/libvirt/qemu/seen.pid").strip()
        assert began["pid"] == int(pid)
        start_ticks = pool.ssh(host, f"cut -d' ' -f22 /proc/{pid}/stat").strip()
        assert began["start_ticks"] == int(start_ticks)
        assert began["name"] in pool.do("ps", host, "-o", "name").out.split()
        assert str(began["pid"]) in pool.do("ps", host).out
        pool.do("stop", "seen", "--force")
        wait_for(lambda: not qemus(pool, "seen"), 20, "its end is seen")
        for name in (began["name"], began["uuid"], began["uuid"][:13]):
            ended = pool.do("process", "show", name, "-o", "json").json
            assert (ended["uuid"], ended["valid"], ended["why"]) == (began["uuid"], False, "exit seen")
            assert ended["samples"], "what it used before it ended"
        said = pool.do("process", "show", began["name"]).out
        assert "exit seen" in said and "before it ended" in said and "guest=seen" in said
        pool.do("start", "seen", "--host", host)
        again = on(pool, "seen", host)
        assert again["uuid"] != began["uuid"]
        previous = pool.do("process", "show", again["uuid"], "-o", "json").json["previous"]
        assert previous[0]["uuid"] == began["uuid"]


def test_a_live_migration_ends_one_process_and_begins_another(pool: Pool) -> None:
    with pool.vms("goes"):
        source = pool.vm("goes")["host"]
        before = on(pool, "goes", source)
        pool.do("migrate", "goes")
        target = pool.vm("goes")["host"]
        after = on(pool, "goes", target)
        assert target != source and after["uuid"] != before["uuid"]
        ended = pool.do("process", "show", before["uuid"], "-o", "json").json
        assert (ended["machine"], ended["valid"], ended["why"]) == (source, False, "exit seen")


def test_nothing_ends_because_the_controller_was_away(pool: Pool) -> None:
    with pool.vms("stays", "leaves"):
        stays, leaves = pool.vm("stays")["host"], pool.vm("leaves")["host"]
        first, second = on(pool, "stays", stays), on(pool, "leaves", leaves)
        pool.do("serve", "--stop")
        pool.virsh(leaves, "destroy", "leaves")
        wait_for(lambda: not qemus(pool, "leaves"), 30, "the next picture tells that it is gone")
        assert on(pool, "stays", stays)["uuid"] == first["uuid"]
        ended = pool.do("process", "show", second["uuid"], "-o", "json").json
        assert ended["why"] == "ended unseen" and ended["last_seen"] < ended["ended_at"]


def test_errors_name_the_cause_and_the_next_command(pool: Pool) -> None:
    cases = [
        (("ps", "nobody"), 4, "no VM or host 'nobody'", "vmctl list"),
        (("process", "show", "sshd"), 2, "neither a gpid", "vmctl ps"),
        (("process", "show", "10.0.0.1:1:1:1"), 4, "no process is or was called", "vmctl ps"),
        (("who", "10.99.99.99:80"), 4, "no process is known to listen there", ""),
        (("who", "nowhere:80"), 2, "is not IP:PORT", ""),
        (("who", "10.99.99.99:80", "--at", "soon"), 2, "is not a time", ""),
    ]
    for words, code, cause, hint in cases:
        ran = pool(*words)
        assert ran.code == code and cause in ran.err and hint in ran.err, (words, ran)
