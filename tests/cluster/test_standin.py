"""What a controller answers from that does not lead, while nobody does: how old it is, and when it counts no more."""

from __future__ import annotations

from typing import cast

import pytest

from tests.cluster.watchers import HOSTS, Clock, One, Replicas, guest_of, of
from vmctl.cluster.member import Member
from vmctl.cluster.standin import NOBODY, StandIn
from vmctl.door import views
from vmctl.model.hosts import HostState, HostTold
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.replicas import Lead
from vmctl.model.vms import PowerState, Spec
from vmctl.ports.store import Store
from vmctl.services.known import Known
from vmctl.services.observe import observed, observed_vms


def stand_in(one: One) -> StandIn:
    return StandIn(one.services, cast(Member, one), Known(one.services.store, one.services.parts, 20.0))


async def told(three: Replicas) -> None:
    """All hosts are sampled, and that is told."""
    for host, name in three.watched().items():
        three.all[name].sampled(host)
    await three.look()


async def test_it_shows_all_hosts_though_it_watches_a_part(three: Replicas) -> None:
    await told(three)
    other = three.all["b"]
    seen = (await observed(other.services)).cluster
    mine = other.watcher.held.keys()
    assert {host.name for host in seen.hosts if host.why_not == "not connected"} == set(HOSTS) - mine
    await stand_in(other).read()
    seen = (await observed(other.services)).cluster
    assert [host.state for host in seen.hosts] == [HostState.ONLINE] * len(HOSTS)
    assert all(host.load is not None and host.load.cpu == pytest.approx(1.0, abs=0.2) for host in seen.hosts)


async def test_the_leader_tells_of_its_hosts_only_where_others_would_read_it(three: Replicas) -> None:
    host = of(three, "a")
    for name in ("b", "c"):
        await three.end(name)
    await told(three)
    assert all(one.body["load"] is None for one in await three.store.reports({}) if one.host == host)
    await three.begin("d")
    await told(three)
    assert any(one.body["load"] is not None for one in await three.store.reports({}))


async def test_a_vm_shows_what_its_hosts_watcher_told(three: Replicas) -> None:
    host = of(three, "a")
    record = VMRecord(Spec("u1", "web1", 1, 512), 1.0, host=host, power=PowerState.RUNNING)
    guest_of(three.all["a"], host)
    await three.store.add_vm(record)
    await told(three)
    services = three.all["b"].services
    await stand_in(three.all["b"]).read()
    shown = views.vm(services, record, observed_vms(services, [record])[0])
    assert (shown.power, shown.ip, shown.health) == ("running", "10.0.0.7", "unknown"), "health is judged by who leads"
    assert shown.load is not None
    await three.look(2)
    assert views.vm(services, record, observed_vms(services, [record])[0]).ip == "10.0.0.7", "it is not forgotten"


async def test_a_host_that_its_watcher_does_not_reach_is_said_to_be_so(three: Replicas) -> None:
    host = of(three, "a")
    there = three.all["a"].host(host)
    there.online, there.why = False, "no route"
    await three.look()
    other = three.all["b"].services
    await stand_in(three.all["b"]).read()
    assert other.told[host] == HostTold(HostState.UNKNOWN, "no route")


async def test_the_word_of_one_that_tells_nothing_more_counts_no_more(
    three: Replicas, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(three)
    reader = stand_in(three.all["b"])
    await reader.read()
    host, services = of(three, "a"), three.all["b"].services
    assert services.told[host].state is HostState.ONLINE
    begun = await three.store.told_s(clock.now())

    async def later(_now: float) -> dict[str, float]:
        return {one: age + 100.0 for one, age in begun.items()}

    monkeypatch.setattr(three.store, "told_s", later)
    clock.at += 100.0
    await reader.read()
    assert services.told[host] == NOBODY


async def test_it_is_read_at_most_once_a_second_and_only_what_is_new(
    three: Replicas, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(three)
    asked, reports = list[int](), three.store.reports

    async def counted(known: dict[str, tuple[int, int]]) -> list[object]:
        found = await reports(known)
        asked.append(len(found))
        return list(found)

    monkeypatch.setattr(three.store, "reports", counted)
    reader = stand_in(three.all["b"])
    for step in (0.0, 0.1, 0.1, 1.0):
        clock.at += step
        await reader.read()
    assert asked == [len(HOSTS), 0]


async def test_who_leads_from_now_on_forgets_it(three: Replicas) -> None:
    host = of(three, "a")
    guest_of(three.all["a"], host)
    await told(three)
    reader, services = stand_in(three.all["b"]), three.all["b"].services
    await reader.read()
    mine = three.all["b"].watcher.held.keys()
    assert services.loads.host(host) is not None and "u1" in services.guests.followed
    reader.forget()
    assert (services.told, services.loads.host(host)) == ({}, None) and "u1" not in services.guests.followed
    assert all(services.loads.host(one) is not None for one in mine), "what it sampled itself stays"
    await reader.read()
    assert services.loads.host(host) is not None, "and it may be read anew"


async def test_a_host_that_it_watches_by_now_keeps_its_load(three: Replicas) -> None:
    host = of(three, "a")
    await told(three)
    other = three.all["b"]
    reader = stand_in(other)
    await reader.read()
    assert host in other.services.told
    three.all["a"].draining = three.all["c"].draining = True
    await three.look()
    assert host in other.watcher.held
    other.sampled(host)
    reader.forget()
    assert other.services.loads.host(host) is not None


async def test_a_host_that_it_has_just_begun_to_watch_is_shown_as_it_was(three: Replicas) -> None:
    """Until it has been tried to reach it: the word of the one before stands."""
    host, other = of(three, "a"), three.all["b"]
    await told(three)
    reader = stand_in(other)
    await reader.read()
    other.attach(await three.store.get(HostRecord, host))
    link = other.host(host)
    link.tried, link.online, link.why = False, False, "not connected yet"
    three.clock.at += 1.0
    await reader.read()
    assert other.services.told[host].state is HostState.ONLINE
    seen = (await observed(other.services)).cluster.host(host)
    assert seen is not None and seen.state is HostState.ONLINE
    link.tried = True
    three.clock.at += 1.0
    await reader.read()
    seen = (await observed(other.services)).cluster.host(host)
    assert seen is not None and (seen.state, seen.why_not) == (HostState.UNKNOWN, "not connected yet")


async def test_when_a_leader_was_last_heard_is_known(registry: Store, three: Replicas, clock: Clock) -> None:
    reader = stand_in(three.all["b"])
    assert await reader.read() is None, "nobody ever led"
    await registry.lead("a", clock.now())
    await registry.beat("a", clock.now())
    clock.at += 2.0
    heard = await reader.read()
    if not registry.shared:  # one that several share tells it by its own clock
        assert heard is None
        return
    assert heard is not None and heard.ago_s < 5.0 and heard.at <= clock.now()
    clock.at += 0.5
    again = await reader.read()
    assert again is not None and again.ago_s == pytest.approx(heard.ago_s + 0.5)
    assert [one.life for one in await registry.all(Lead)] == ["a"]
