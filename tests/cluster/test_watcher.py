"""Hosts shared out among controllers: who samples which, what the leader hears of it, and what it does without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.cluster.watchers import HOSTS, SILENT_S, Clock, Host, Replicas, guest_of, nothing, of
from vmctl.cluster.watcher import STEADY_S, Watcher
from vmctl.errors import RegistryUnusable
from vmctl.local.config import Settings
from vmctl.model.records import HostRecord, load_of
from vmctl.model.watching import HostReport, HostWatch, MachineReader


async def test_each_has_its_share_and_only_it_samples_there(three: Replicas) -> None:
    watched = three.watched()
    assert watched.keys() == set(HOSTS)
    assert sorted(list(watched.values()).count(name) for name in "abc") == [1, 1, 2]
    for name in ("b", "c"):
        links = three.all[name].services.links
        assert links.keys() == three.all[name].watcher.held.keys(), "it has no other hosts"
        assert all(link.sampling for link in links.values())
    leader = three.all["a"]
    assert {name for name, link in leader.services.links.items() if link.sampling} == leader.watcher.held.keys()


async def test_the_leader_hears_what_others_sample_and_how_old_it_is(three: Replicas, clock: Clock) -> None:
    host, leader = of(three, "b"), three.all["a"]
    three.all["b"].sampled(host, cores=2)
    own = three.all["b"].services.loads
    await three.look(2)
    loads = leader.services.loads
    shown = loads.host(host)
    assert shown is not None and shown.cpu == 2.0
    assert 0 <= loads.age_s(host) - own.age_s(host) <= 1.0, "as old as it is, or as one look makes it older"
    assert loads.size(host) == own.size(host) and loads.details(host) == own.details(host)
    assert loads.unmeasured(host) == own.unmeasured(host) and loads.bridges(host) == own.bridges(host)
    assert loads.vms(host, {}) == own.vms(host, {"u1": ("vnet0",)})
    assert loads.disk(host, "u1") == own.disk(host, "u1") == (100.0, 0.0)
    assert loads.net(host, "u1", ()) == own.net(host, "u1", ("vnet0",))
    for subject in (load_of(host), "vm/u1"):
        [point] = loads.points(subject, 0.0)
        assert point[1] == own.points(subject, 0.0)[0][1]
    clock.at += 5.0
    assert (loads.host(host) or shown).age_s >= 5.0


async def test_what_was_told_before_it_led_has_its_age_and_judges_nobody(three: Replicas, clock: Clock) -> None:
    """No load is waited for; but no guest is called silent by the registry's clock."""
    host = of(three, "c")
    three.all["c"].sampled(host)
    guest_of(three.all["c"], host)
    await three.look(2)
    await three.end("a")
    clock.at += 3.0
    successor = three.all["b"]
    await successor.act()
    await successor.watcher.look()
    load = successor.services.loads.host(host)
    assert load is not None and load.age_s >= (0.0 if three.store.shared else 3.0)
    assert "u1" not in successor.services.guests.followed
    await three.look(2)  # who leads has changed: each tells at once what it has
    assert successor.services.loads.host(host) is not None and "u1" in successor.services.guests.followed


async def test_hosts_of_one_that_died_go_to_the_others(three: Replicas) -> None:
    before = three.watched()
    await three.end("c")
    await three.look()
    after = three.watched()
    assert after.keys() == set(HOSTS) and sorted(after.values()) == ["a", "a", "b", "b"]
    assert all(after[host] == name for host, name in before.items() if name != "c")
    assert {one.life for one in await three.store.all(MachineReader)} == {"a", "b"}, "and their ledgers"


async def test_one_that_joins_gets_its_share_and_who_had_it_lets_go(three: Replicas) -> None:
    links = {name: dict(three.all[name].services.links) for name in ("b", "c")}
    three.all["b"].sampled(of(three, "b"))
    await three.begin("d")
    await three.look()
    assert sorted(three.watched().values()) == ["a", "b", "c", "d"]
    for name, had in links.items():
        for host, link in had.items():
            kept = three.watched()[host] == name
            assert cast(Host, link).closed is not kept
            assert (host in three.all[name].services.links) is kept


async def test_one_that_drains_gives_its_hosts_away_and_gets_them_back(three: Replicas) -> None:
    three.all["b"].draining = True
    await three.look()
    assert sorted(three.watched().values()) == ["a", "a", "c", "c"]
    three.all["a"].draining = three.all["c"].draining = True
    await three.look()
    assert set(three.watched().values()) == {"a"}, "where nobody else is left, whoever leads watches all"
    for one in three.all.values():
        one.draining = False
    await three.look()
    assert sorted(three.watched().values()) in (["a", "a", "b", "c"], ["a", "b", "b", "c"], ["a", "b", "c", "c"])


async def test_one_that_only_answers_watches_nothing(three: Replicas) -> None:
    three.all["c"].roles = "proxy"
    await three.look()
    assert sorted(three.watched().values()) == ["a", "a", "b", "b"]


async def test_the_ledger_of_a_host_goes_on_where_the_host_is_watched(three: Replicas) -> None:
    host = next(host for host, name in three.watched().items() if list(three.watched().values()).count(name) == 2)
    for one in HOSTS:
        three.all[three.watched()[one]].sampled(one)
    before = {life.uuid for life in await three.all["a"].services.incarnations.processes(None, None)}
    for each in three.all.values():
        await each.services.incarnations.flush()
    await three.begin("d")
    await three.look()
    for one in HOSTS:
        three.all[three.watched()[one]].sampled(one)
    for each in three.all.values():
        await each.services.incarnations.flush()
    lives = await three.all["d"].services.incarnations.processes(None, None, history=True)
    assert len(lives) == len(HOSTS) and all(life.ended_at is None for life in lives), (before, host)


async def test_a_watcher_that_tells_nothing_is_done_without(three: Replicas, clock: Clock) -> None:
    host, leader = of(three, "b"), three.all["a"]
    frozen = three.all["b"].watcher
    three.all["b"].watcher = cast(Watcher, SimpleNamespace(look=nothing, held=frozen.held))
    await three.look(int(SILENT_S) - 2)
    assert not leader.host(host).sampling
    await three.look(5)
    assert leader.host(host).sampling
    leader.sampled(host, cores=1)
    assert leader.services.loads.host(host) is not None
    three.all["b"].watcher = frozen
    three.all["b"].sampled(host, cores=2)
    await three.look(2)
    assert not leader.host(host).sampling
    shown = leader.services.loads.host(host)
    assert shown is not None and shown.cpu == 2.0


async def test_a_leader_that_no_host_lets_in_knows_it_by_what_others_tell(three: Replicas) -> None:
    leader = three.all["a"]
    for host in HOSTS:
        leader.host(host).online = False
    await three.look(5)
    assert await leader.watcher.outdone(["b", "c"]) and not await three.all["b"].watcher.outdone(["a", "c"])
    assert 0 < leader.watcher.blind_s <= 5.0
    one = leader.host(of(three, "b"))
    one.online = True
    await three.look(1)
    one.online = False
    await three.look(1)
    assert leader.watcher.blind_s > 5.0, "a link for a second is none"
    one.online = True
    await three.look(int(STEADY_S) + 1)
    assert leader.watcher.blind_s == 0.0, "it reaches one"
    one.online = False
    await three.look(1)
    for name in ("b", "c"):
        for host in three.all[name].watcher.held:
            three.all[name].host(host).online = False
    await three.look(2)
    assert leader.watcher.blind_s == 0.0, "nobody else reaches any"
    assert not await leader.watcher.outdone(["b", "c"])


async def test_one_that_reached_no_host_and_has_none_left_lets_others_lead_first(three: Replicas) -> None:
    blind = three.all["c"]
    blind.lose_all()
    await three.look(6 * int(SILENT_S))  # each host once
    assert not blind.watcher.held, "its leader gave them to others"
    assert await blind.watcher.outdone(["a", "b"])
    assert not await blind.watcher.outdone([]), "there is nobody else"


async def test_who_failed_once_may_show_that_the_leader_is_blind(three: Replicas) -> None:
    """Nobody else watches a host: nobody tells that it reaches one, until it is given some again."""
    leader, others = three.all["a"], [three.all["b"], three.all["c"]]
    for one in others:
        one.lose_all()
    await three.look(8 * int(SILENT_S))
    assert set(three.watched().values()) == {"a"}
    for one in others:
        one.blind = False
    leader.lose_all()
    await three.look(int(SILENT_S))
    assert leader.watcher.blind_s > 0


async def test_a_leader_that_watches_all_hosts_and_reaches_none_gives_them_away(three: Replicas) -> None:
    """Nobody else tries a host: nobody could show that it reaches one."""
    leader, others = three.all["a"], (three.all["b"], three.all["c"])
    for one in others:
        one.draining = True
    await three.look()
    assert set(three.watched().values()) == {"a"}
    leader.lose_all()
    for one in others:
        one.draining = False
    # They join in the moment in which it loses its network: what it holds would else go to them for that alone.
    await three.look(2 * int(SILENT_S))
    assert "a" not in three.watched().values() and set(three.watched()) == set(HOSTS)
    assert leader.watcher.blind_s > 0
    leader.blind = False
    for host in HOSTS:
        leader.host(host).online = True
    await three.look(5)
    assert "a" in three.watched().values(), "it gets its share again"


async def test_that_silent_watchers_reached_hosts_once_makes_no_leader_blind(three: Replicas) -> None:
    leader = three.all["a"]
    for name in ("b", "c"):
        three.all[name].watcher = cast(Watcher, SimpleNamespace(look=nothing, held=three.all[name].watcher.held))
    for host in HOSTS:
        leader.host(host).online = False
    await three.look(int(SILENT_S) + 3)
    assert leader.watcher.blind_s == 0.0


async def test_a_host_that_its_watcher_does_not_reach_goes_to_another(three: Replicas, clock: Clock) -> None:
    host, first = of(three, "b"), three.all["b"].host(of(three, "b"))
    first.online, first.why, first.since = False, "no route", clock.now()
    await three.look(int(SILENT_S) + 14)
    assert three.watched()[host] != "b"
    assert three.watched().keys() == set(HOSTS)
    await three.look(30)
    assert three.watched()[host] != "b", "it does not come back at once"
    leading = three.all["a"].watcher._leading
    assert leading is not None and {life for lives in leading.cannot.values() for life in lives} == {"b"}


async def test_a_host_that_nobody_reaches_stays_where_it_is(three: Replicas, clock: Clock) -> None:
    host = of(three, "b")
    for one in (three.all["a"].host(host), three.all["b"].host(host)):
        one.online, one.why, one.since = False, "no route", clock.now()
    await three.look(2 * int(SILENT_S))
    assert three.watched()[host] == "b"


async def test_a_host_that_leaves_and_comes_again_is_another_one(three: Replicas) -> None:
    host = of(three, "b")
    before = three.all["b"].host(host)
    await three.store.remove_host(host)
    del three.all["a"].services.links[host]
    record = HostRecord(host, "10.9.9.9", "another key", "f", 5.0, about={"host_uuid": "another"})
    await three.store.put(record)
    three.all["a"].attach(record)
    await three.look()
    assert before.closed
    assert three.all[three.watched()[host]].host(host).record == record


async def test_nobody_keeps_the_ledger_of_a_host_that_has_left(three: Replicas) -> None:
    for name in ("a", "b"):  # the leader's own, too
        host = of(three, name)
        for one in three.all.values():
            if host in one.services.links:
                one.sampled(host)
        await three.look()
        assert f"machine-{host}" in {one.machine for one in await three.store.all(MachineReader)}
        await three.store.remove_host(host)
        link = three.all["a"].services.links.pop(host)
        three.all["a"].services.incarnations.host_removed(link)
        await three.look()
        assert f"machine-{host}" not in {one.machine for one in await three.store.all(MachineReader)}
        lives = await three.all["a"].services.incarnations.processes(f"machine-{host}", None, history=True)
        assert [life.why for life in lives] == ["host removed"], "its processes are known no more"


async def test_what_cannot_be_read_of_one_host_stops_no_other(three: Replicas) -> None:
    mine, other = of(three, "b"), of(three, "c")
    leader = three.all["a"]
    watch = await three.store.find(HostWatch, mine)
    assert watch is not None
    odd: dict[str, Any] = {"away_s": None, "load": {"of another": "version"}}
    three.all["b"].watcher = cast(Watcher, SimpleNamespace(look=nothing, held={}))
    await three.store.report("b", [HostReport(mine, watch.epoch, 99, odd)], 2.0)
    three.all["c"].sampled(other)
    await three.look(2)
    assert leader.services.loads.host(mine) is None and leader.services.loads.host(other) is not None


async def test_nothing_is_told_while_nothing_is_new(three: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    report: Callable[..., Any] = three.store.report

    async def counted(life: str, reports: list[HostReport], now: float) -> None:
        told.extend(one.host for one in reports)
        await report(life, reports, now)

    monkeypatch.setattr(three.store, "report", counted)
    await three.look(20)
    assert sorted(set(told)) == list(HOSTS)
    assert all(told.count(host) == 20 / Settings().sample_period_s for host in HOSTS), "once a period: a sign of life"


async def test_who_lets_go_while_the_registry_does_not_answer_lets_go_of_all_later(
    three: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    had = {name: set(three.all[name].watcher.held) for name in ("b", "c")}
    for host in HOSTS:
        three.all[three.watched()[host]].sampled(host)
    await three.begin("d")
    find = three.store.find

    async def silent(kind: Any, key: Any) -> Any:
        raise RegistryUnusable("it does not answer")

    monkeypatch.setattr(three.store, "find", silent)
    for one in three.all.values():
        with contextlib.suppress(RegistryUnusable):
            await one.watcher.look()
    monkeypatch.setattr(three.store, "find", find)
    await three.look()
    kept = {one.machine: one.life for one in await three.store.all(MachineReader)}
    watched = three.watched()
    assert sorted(watched.values()) == ["a", "b", "c", "d"], had
    assert kept == {f"machine-{host}": name for host, name in watched.items()}
    for name in ("b", "c"):
        assert three.all[name].services.links.keys() == three.all[name].watcher.held.keys()
