"""Guests whose ports several controllers read: what the leader hears of them, and what stands while nobody does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.cluster.watchers import SILENT_S, Clock, Replicas, guest_of, nothing, of
from vmctl.act.health import HealthMonitor
from vmctl.cluster.watcher import Watcher
from vmctl.door import views
from vmctl.door.others import Others
from vmctl.guests import Where
from vmctl.guests.details import NOBODY_TELLS
from vmctl.guests.told import NOBODY_LISTENS
from vmctl.hosts.shown import DomainSeen
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.vms import PowerState, Spec
from vmctl.model.watching import MachineReader
from vmctl.ports.store import Store


async def test_the_leader_hears_of_guests_whose_ports_others_read(three: Replicas, clock: Clock) -> None:
    host, leader = of(three, "b"), three.all["a"].services.guests
    follower = guest_of(three.all["b"], host)
    await three.look(2)
    told = leader.followed["u1"]
    now = clock.monotonic()
    assert told.seen(now).heard_s == follower.seen(now).heard_s == 2.0
    assert (leader.address("u1"), leader.stall("u1")) == ("10.0.0.7", 0.5)
    assert leader.told_by() == {"u1": host}
    follower.guest.picture.watches["web"]["ok"] = False
    await three.look(2)
    assert [watch.ok for watch in told.seen(clock.monotonic()).watches] == [False], "that is told at once"
    del three.all["b"].services.guests.followers["u1"]
    for link in three.all["a"].services.links.values():
        link.domains.clear()
    await three.look(8)
    assert "u1" not in leader.followed


async def test_a_guest_that_moves_is_as_it_was_until_it_is_heard_where_it_is(three: Replicas, clock: Clock) -> None:
    source, target, leader = of(three, "b"), of(three, "c"), three.all["a"].services.guests
    guest_of(three.all["b"], source)
    await three.look(2)
    there = guest_of(three.all["c"], target)
    there.guest.heard_at = None
    await three.look(2)
    assert leader.followed["u1"].host == source
    del three.all["b"].services.guests.followers["u1"]
    await three.look(int(SILENT_S) + 3)
    assert leader.followed["u1"].seen(clock.monotonic()).frozen == NOBODY_LISTENS
    there.guest.heard_at = clock.monotonic()
    await three.look(6)
    told = leader.followed["u1"]
    assert told.host == target and told.seen(clock.monotonic()).frozen == ""


async def test_health_stays_as_it_was_while_nobody_listens(three: Replicas, clock: Clock) -> None:
    guest_of(three.all["b"], of(three, "b"))
    await three.look(2)
    told = three.all["a"].services.guests.followed["u1"]
    three.all["b"].watcher = cast(Watcher, SimpleNamespace(look=nothing, held={}))
    await three.look(int(SILENT_S) + 5)
    assert told.seen(clock.monotonic()).frozen == NOBODY_LISTENS
    assert three.all["a"].services.guests.stall("u1") == 0.0


async def test_what_a_guest_said_before_it_began_anew_says_nothing(three: Replicas, clock: Clock) -> None:
    follower = guest_of(three.all["b"], of(three, "b"))
    await three.look(2)
    told = three.all["a"].services.guests.followed["u1"]
    told.begin_anew(clock.monotonic())
    assert told.seen(clock.monotonic()).heard_s is None
    await three.look(6)
    assert told.seen(clock.monotonic()).heard_s is None, "it is told again, and is as old"
    follower.guest.heard_at = clock.monotonic()
    await three.look(6)
    assert told.seen(clock.monotonic()).heard_s is not None


async def test_a_guest_is_let_go_of_with_its_host(three: Replicas) -> None:
    for name in ("b", "c"):
        for host in list(three.all[name].watcher.held):
            guest_of(three.all[name], host, f"guest of {host}")
            await three.all[name].services.incarnations.take([f"guest of {host}"])
    await three.begin("d")
    await three.look()
    watched = three.watched()
    for name in ("b", "c"):
        assert all(watched[one.host] == name for one in three.all[name].services.guests.followers.values())
    kept = {one.machine: one.life for one in await three.store.all(MachineReader)}
    assert all(kept.get(f"guest of {host}", "") in ("", name) for host, name in watched.items()), (
        "nor is its ledger kept"
    )


@pytest.mark.parametrize(
    ("record", "where"),
    [
        (None, Where.GONE),
        ({"host": "mine", "power": PowerState.STOPPED}, Where.GONE),
        ({"host": "mine", "power": PowerState.RUNNING}, Where.UNKNOWN),  # somebody may have moved it by hand
        ({"host": "mine", "power": PowerState.RUNNING, "moving_to": "other"}, Where.UNKNOWN),
        ({"host": "other", "power": PowerState.RUNNING}, Where.ELSEWHERE),
        ({"host": "", "power": PowerState.UNKNOWN}, Where.UNKNOWN),
    ],
)
async def test_processes_end_only_where_their_vm_is_known_to_have_ended(
    registry: Store, clock: Clock, tmp_path: Path, record: dict[str, Any] | None, where: Where
) -> None:
    one = await Replicas(registry, clock, tmp_path).begin("a")
    one.services.watched = lambda: {"mine"}
    if record is not None:
        await registry.put(HostRecord("mine", "mine", "k", "f", 1.0))
        await registry.add_vm(VMRecord(Spec("u1", "web1", 1, 512), 1.0, **record))
    assert await one.services.where("u1") is where


async def test_all_that_a_guest_told_is_asked_of_whoever_reads_its_port(three: Replicas) -> None:
    leader, asked = three.all["a"].services, list[tuple[str, list[str]]]()
    guest_of(three.all["b"], of(three, "b"))
    guest_of(three.all["a"], of(three, "a"), "u2")
    await three.look(2)
    others = Others()

    async def ask(life: str, vms: Any) -> dict[str, dict[str, Any]]:
        asked.append((life, list(vms)))
        return {"u1": {"os": {"boot_id": "boot-1"}}, "u3": {"of another": "version"}}

    assert (await others.guests(leader, ["u1", "u2", "u9"])).keys() == {"u2"}, "while nobody knows the way to others"
    others.ask = ask
    found = await others.guests(leader, ["u1", "u2", "u9"])
    assert asked == [("b", ["u1"])]
    assert found.keys() == {"u1", "u2"} and found["u1"].os == {"boot_id": "boot-1"}


async def test_what_nobody_tells_of_a_guest_is_said_to_be_unknown(three: Replicas) -> None:
    guest_of(three.all["b"], of(three, "b"))
    await three.look(2)
    leader, vm = three.all["a"].services, VMRecord(Spec("u1", "web1", 1, 512), 1.0)
    monitor = HealthMonitor(leader, cast(Any, None))
    shown = views.health(leader, monitor, vm, None)
    assert (shown.port, shown.processes) == (NOBODY_TELLS, None), "it runs, and what runs in it is not known"
    shown = views.health(leader, monitor, replace(vm, spec=replace(vm.spec, uuid="u9")), None)
    assert (shown.port, shown.processes) == ("", None), "nobody need know of one that does not run"


async def test_a_guest_is_as_it_was_until_the_next_watcher_of_its_host_has_heard_it(
    three: Replicas, clock: Clock
) -> None:
    """Also where the leader itself has read its port so far."""
    for name in ("a", "b"):
        host, uuid = of(three, name), f"guest of {name}"
        for link in three.all["a"].services.links.values():
            link.domains[uuid] = DomainSeen(uuid, uuid, PowerState.RUNNING)
        guest_of(three.all[name], host, uuid)
        await three.look(2)
        leader = three.all["a"].services.guests
        assert leader.followed[uuid].heard_s(clock.monotonic()) is not None
        await three.store.share_out({host: "c"}, 5.0)
        three.all[name].services.guests.let_go_of([host])
        there = guest_of(three.all["c"], host, uuid)
        there.guest.heard_at = None
        await three.all["c"].watcher.look()
        await three.all["a"].watcher.look()
        assert leader.followed[uuid].heard_s(clock.monotonic()) is not None
        await three.look(int(SILENT_S) + 2)
        assert leader.followed[uuid].seen(clock.monotonic()).frozen == NOBODY_LISTENS
