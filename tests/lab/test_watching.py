"""Three controllers share out real hosts: each samples its own, all loads stay fresh, and each QEMU has one life."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.pool import NAME, wait_for
from tests.lab.test_health import health, lives
from tests.lab.trio import LED_S, Trio, blackhole, three_controllers
from vmctl import lab
from vmctl.lab.names import Machine

pytestmark = pytest.mark.lab
PERIOD_S = 5.0
GAP_S = 2 * PERIOD_S + 8.0  # two periods, and what it takes to see that somebody is dead; more on a busy machine
BLIND_S = 120.0  # links that broke, thirty seconds, and what leaves a moment for what runs
Fault = Callable[[Trio, Machine], None]


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    """Three hosts, three controllers."""
    with three_controllers(Trio, 3, f"{NAME[:7]}w") as made:
        yield made


def shared_out(trio: Trio, among: int) -> dict[str, str]:
    """Wait until each of so many controllers has its share."""

    def found() -> dict[str, str]:
        now = trio.watched()
        even = len(now) == 3 and len(set(now.values())) == among
        return now if even else {}

    shared: dict[str, str] = wait_for(found, 40, f"hosts are shared out among {among}: {trio.watched()}")
    return shared


def loads(trio: Trio) -> list[dict[str, Any]]:
    """What is told of all hosts, through one that does not lead."""
    return list(trio.do("host", "list", "-o", "json").json)


def fresh(trio: Trio, most_s: float) -> bool:
    return all(host["load"] is not None and host["load"]["age_s"] <= most_s for host in loads(trio))


def lives_of_qemu(trio: Trio) -> list[tuple[str, Any]]:
    """The lives of QEMUs on all hosts that the ledger has: (UUID, when it ended)."""
    rows = trio.rows(
        "SELECT encode(uuid, 'hex'), ended_at FROM incarnation WHERE program LIKE 'qemu%' ORDER BY uuid, ended_at"
    )
    return [(str(life), ended) for life, ended in rows]


def test_each_watches_a_share_and_all_loads_are_fresh(trio: Trio) -> None:
    shared_out(trio, 3)
    wait_for(lambda: fresh(trio, PERIOD_S + 3), 30, f"all loads are fresh: {loads(trio)}")
    listed = {one["name"]: one["hosts"] for one in trio.do("controller", "list", "-o", "json").json}
    assert sorted(listed.values()) == [1, 1, 1], listed
    sampling = {host: trio.ssh(host, "pgrep -fc '[b]oot_id' || true", check=False).strip() for host in trio.hosts}
    assert set(sampling.values()) == {"1"}, f"one sample loop on each host, whoever is logged in: {sampling}"


def kill(trio: Trio, one: Machine) -> None:
    lab.kill(one.name)


def freeze(trio: Trio, one: Machine) -> None:
    lab.freeze(one.name)


def cut(trio: Trio, one: Machine) -> None:
    lab.cut(one.name)


@pytest.mark.parametrize(
    ("fault", "back", "leads"),
    [
        (kill, lab.boot, False),
        (freeze, lab.thaw, True),
        pytest.param(kill, lab.boot, True, marks=pytest.mark.nightly),
        pytest.param(freeze, lab.thaw, False, marks=pytest.mark.nightly),
        pytest.param(cut, lab.heal, False, marks=pytest.mark.nightly),
        pytest.param(cut, lab.heal, True, marks=pytest.mark.nightly),
    ],
)
def test_who_is_gone_is_replaced_within_two_periods(
    trio: Trio, fault: Fault, back: Callable[[str], Any], leads: bool
) -> None:
    shared_out(trio, 3)
    # The one before may just have been stopped: its end is written some seconds later.
    wait_for(lambda: all(ended for _, ended in lives_of_qemu(trio)), 30, "the lives of earlier QEMUs have ended")
    with trio.vms("stays"):
        wait_for(lambda: fresh(trio, PERIOD_S + 3), 30, "all loads are fresh")
        wait_for(lambda: len([1 for _, ended in lives_of_qemu(trio) if ended is None]) == 1, 30, "the QEMU has a life")
        before = lives_of_qemu(trio)
        host = trio.vm("stays")["host"]
        victim = trio.leader if leads else next(m for m in trio.machines if m.name != trio.leading())
        ages: list[float] = []
        fault(trio, victim)
        if leads:
            trio.led_by_another(victim)
        until = time.monotonic() + GAP_S + 10.0
        while time.monotonic() < until:
            ages += [host["load"]["age_s"] if host["load"] else -1.0 for host in loads(trio)]
            time.sleep(0.5)
        assert max(ages) <= GAP_S, ages
        assert fresh(trio, PERIOD_S + 3)
        shared_out(trio, 2)
        back(victim.name)
        shared_out(trio, 3)
        wait_for(lambda: fresh(trio, PERIOD_S + 3), LED_S, "all loads are fresh again")
        time.sleep(PERIOD_S)
        assert lives_of_qemu(trio) == before, "no life of a QEMU was lost, doubled or revived"
        assert trio.copies("stays") == {host: "running"}
        trio.agree("stays")


@pytest.mark.nightly
def test_a_leader_that_no_host_lets_in_leaves_the_lead_to_one_that_hosts_let_in(trio: Trio) -> None:
    shared_out(trio, 3)
    victim = trio.leader
    with trio.vms("stays"), contextlib.ExitStack() as cut_off:
        for host in lab.status().hosts:
            cut_off.enter_context(blackhole(victim, host.address))
        wait_for(lambda: trio.leading() != victim.name, BLIND_S, "another one leads")
        # It says in the list what it does not reach, and leads no more.
        wait_for(lambda: trio.answers(victim), 30, "it has begun another life")
        listed = {one["name"]: one for one in trio.do("controller", "list", "-o", "json", "--ended").json}
        assert "reached no host, while others did" in trio.do("controller", "list", "--ended").out, listed
        other = next(host for host in trio.hosts if host != trio.vm("stays")["host"])
        trio.do("migrate", "stays", "--to", other)
        assert trio.leading() != victim.name
        trio.agree("stays")
    shared_out(trio, 3)


@pytest.mark.nightly
def test_one_that_is_taken_away_and_comes_again_leaves_no_gap(trio: Trio) -> None:
    """As one does who upgrades them one after the other."""
    shared_out(trio, 3)
    for one in trio.machines:
        lab.kill(one.name)
        lab.boot(one.name)
        shared_out(trio, 3)
        wait_for(lambda: fresh(trio, PERIOD_S + 3), 30, "all loads are fresh")


# -- guests, and what runs in them


def steady_lives(trio: Trio, name: str) -> dict[str, dict[str, Any]]:
    """Its processes, once it is well and all of them are written, whoever reads its port."""
    wait_for(lambda: health(trio, name)["why"] == "sshd in order", 60, "sshd is watched")

    def look() -> dict[str, dict[str, Any]] | None:
        first = lives(trio, name)
        time.sleep(6)
        return first if len(first) >= 7 and lives(trio, name).keys() == first.keys() else None

    found: dict[str, dict[str, Any]] = wait_for(look, 90, f"{name} has booted, and its processes are known")
    return found


def told_of(trio: Trio, name: str) -> bool:
    """Whether all that its guest told is known; where it is not, that is said."""
    found = health(trio, name)
    assert found["os"] or found["port"], found
    return "mem_total_mib" in found["os"] and bool(found["watches"])


def same_lives(trio: Trio, name: str, before: dict[str, dict[str, Any]]) -> None:
    """It is heard again, and what ran runs, each under its one name; nobody took its health for another."""
    wait_for(lambda: (s := health(trio, name)["heard_s"]) is not None and s < 2 * PERIOD_S, 40, f"{name} is heard")
    time.sleep(2 * PERIOD_S)
    # who reads its port from now on may need a while to be let to it; who was asked for it says so
    wait_for(lambda: told_of(trio, name), 40, f"all that {name} has told is known again")
    after = lives(trio, name, "--history")
    assert after.keys() == before.keys()
    assert all(life["valid"] for life in after.values()), after
    assert not any(f"{name} is" in line for line in trio.do("events").out.splitlines()), "it was well all the time"
    found = health(trio, name)
    assert found["health"] == "well" and found["os"]["mem_total_mib"] > 50 and found["watches"], found


def test_processes_stay_themselves_where_others_watch_the_host_that_their_vm_moves_to(trio: Trio) -> None:
    shared_out(trio, 3)
    with trio.vms("inside"):
        before = steady_lives(trio, "inside")
        for _ in range(2):
            here = trio.vm("inside")["host"]
            trio.do("migrate", "inside", "--to", next(host for host in trio.hosts if host != here))
            same_lives(trio, "inside", before)


@pytest.mark.parametrize(
    ("fault", "back"), [(freeze, lab.thaw), pytest.param(kill, lab.boot, marks=pytest.mark.nightly)]
)
def test_processes_stay_themselves_when_who_listened_to_their_guest_is_gone(
    trio: Trio, fault: Fault, back: Callable[[str], Any]
) -> None:
    names = shared_out(trio, 3)
    host = next(host for host, name in names.items() if name != trio.leading())
    with trio.vms("inside"):
        if trio.vm("inside")["host"] != host:
            trio.do("migrate", "inside", "--to", host)
        before = steady_lives(trio, "inside")
        victim = next(one for one in trio.machines if one.name == trio.watched()[host])
        fault(trio, victim)
        shared_out(trio, 2)
        same_lives(trio, "inside", before)
        back(victim.name)
        shared_out(trio, 3)
        same_lives(trio, "inside", before)
