"""Hosts shared out among controllers: who samples which, what the leader hears of it, and what it does without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.hosts.test_load import BASE, later, vm
from vmctl.act.health import HealthMonitor
from vmctl.cluster.member import Member
from vmctl.cluster.watcher import Watcher
from vmctl.door import views
from vmctl.door.others import Others
from vmctl.errors import RegistryUnusable
from vmctl.guests import Follower, Where
from vmctl.guests.details import NOBODY_TELLS
from vmctl.guests.told import NOBODY_LISTENS
from vmctl.hosts.facts import RawSample
from vmctl.hosts.port import Link
from vmctl.hosts.shown import DomainSeen
from vmctl.local.config import Settings
from vmctl.model.records import HostRecord, VMRecord, load_of
from vmctl.model.replicas import Replica
from vmctl.model.vms import PowerState, Spec
from vmctl.model.watching import HostReport, HostWatch, MachineReader
from vmctl.ports import SYSTEM, Parts
from vmctl.ports.store import Store
from vmctl.services import Services

HOSTS = ("kvm1", "kvm2", "kvm3", "kvm4")
SILENT_S = 2 * Settings().sample_period_s + 3


@dataclass
class Clock:
    """A clock that somebody turns, the same for all."""

    at: float = 1000.0

    def now(self) -> float:
        return 1e9 + self.at

    def monotonic(self) -> float:
        return self.at


@dataclass
class Host:
    """A link as its watcher sees it."""

    record: HostRecord
    sampling: bool = True
    online: bool = True
    why: str = ""
    since: float = 0.0
    closed: bool = False
    about: Any = None
    ssh: Any = field(default_factory=lambda: SimpleNamespace(peer="10.0.0.1"))
    domains: dict[str, DomainSeen] = field(
        default_factory=lambda: {"u1": DomainSeen("u1", "web1", PowerState.RUNNING, net_devices=("vnet0",))}
    )

    @property
    def name(self) -> str:
        return self.record.name

    def sample(self, on: bool) -> None:
        self.sampling = on

    async def close(self) -> None:
        self.closed = True


class Replicas:
    """Controllers on one registry; the first of them leads."""

    def __init__(self, store: Store, clock: Clock, folder: Path) -> None:
        self.store, self.clock, self._folder = store, clock, folder
        self.all: dict[str, One] = {}

    async def begin(self, name: str) -> One:
        await self.store.put(Replica(name, name, name, "0.1", 1.0))
        made = self.all[name] = One(self, name)
        return made

    async def end(self, name: str) -> None:
        del self.all[name]
        await self.store.end_life(name, "killed", 2.0)

    async def look(self, times: int = 3) -> None:
        """Time goes by, and everybody looks."""
        for _ in range(times):
            self.clock.at += 1.0
            for one in list(self.all.values()):
                await one.watcher.look()

    def watched(self) -> dict[str, str]:
        """Who watches which host."""
        return {host: one.name for one in self.all.values() for host in one.watcher.held}


class One:
    """One controller."""

    def __init__(self, replicas: Replicas, name: str) -> None:
        self.name, self._replicas = name, replicas
        parts = Parts(replicas.clock, SYSTEM.ids, SYSTEM.threads)
        self.services = Services(replicas.store, Settings(), replicas._folder, (), parts=parts)
        self.services.incarnations.keeper = name
        self.uptime_s = 0.0
        self.watcher = Watcher(self.services, cast(Member, self), self.attach)

    @property
    def own(self) -> Replica:
        return Replica(self.name, self.name, self.name, "0.1", 1.0)

    @property
    def others(self) -> list[Replica]:
        return [one.own for one in self._replicas.all.values() if one is not self]

    @property
    def leads(self) -> bool:
        return next(iter(self._replicas.all.values())) is self

    @property
    def acting(self) -> bool:
        return self.leads

    @property
    def leader(self) -> Replica | None:
        return None if self.leads else next(iter(self._replicas.all.values())).own

    def attach(self, record: HostRecord) -> Link:
        link = Host(record)
        self.services.links[record.name] = cast(Link, link)
        return cast(Link, link)

    async def act(self) -> None:
        """It leads: it has a link to every host."""
        for record in await self._replicas.store.all(HostRecord):
            if record.name not in self.services.links:
                self.attach(record).sample(False)

    def host(self, name: str) -> Host:
        return cast(Host, self.services.links[name])

    def sampled(self, name: str, cores: int = 1) -> None:
        """Two samples of a host have come."""
        for step in range(2):
            self.uptime_s += 10.0
            sample = two_samples(self.uptime_s, cores)[step]
            self.services.loads.add(self.services.links[name], sample)
            self.services.incarnations.host_sample(self.services.links[name], sample)


def two_samples(uptime_s: float, cores: int) -> tuple[RawSample, RawSample]:
    before = BASE._replace(vms=(vm(),), uptime_s=uptime_s)
    after = later(before, 10, 1000 * cores, 4000 - 1000 * cores, vm(ticks=1600, read_bytes=1000))
    return before, after._replace(uptime_s=uptime_s)


def guest_of(one: One, host: str, uuid: str = "u1") -> Follower:
    """A guest there whose port one of them reads."""
    follower = one.services.guests.followers[uuid] = Follower(uuid, host=host)
    follower.guest.hello = {"agent": "1", "period_s": 5.0}
    follower.guest.picture.os = {"boot_id": "boot-1", "addresses": ["10.0.0.7"], "psi": {"cpu": {"some10": 0.5}}}
    follower.guest.picture.watches["web"] = {"name": "web", "ok": True, "since_s": 0.0, "why": ""}
    follower.guest.heard_at = one.services.clock.monotonic()
    return follower


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def three(registry: Store, clock: Clock, tmp_path: Path) -> Replicas:
    """Three controllers and four hosts, which are shared out."""
    for name in HOSTS:
        about = {"host_uuid": f"machine-{name}"}
        await registry.put(HostRecord(name, name, "k", "f", 1.0, about=about))
    made = Replicas(registry, clock, tmp_path)
    for name in ("a", "b", "c"):
        await made.begin(name)
    await made.all["a"].act()
    await made.look()
    return made


def of(replicas: Replicas, name: str) -> str:
    """A host that a controller watches."""
    return next(host for host, watcher in replicas.watched().items() if watcher == name)


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


async def test_what_was_told_before_it_led_is_of_unknown_age(three: Replicas) -> None:
    host = of(three, "c")
    three.all["c"].sampled(host)
    await three.look(2)
    await three.end("a")
    successor = three.all["b"]
    await successor.act()
    await successor.watcher.look()
    assert successor.services.loads.host(host) is None
    await three.look(2)  # who leads has changed: each tells at once what it has
    assert successor.services.loads.host(host) is not None


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
    three.all["b"].watcher = cast(Watcher, SimpleNamespace(look=_nothing, held=frozen.held))
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


async def _nothing() -> None:
    return


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
    three.all["b"].watcher = cast(Watcher, SimpleNamespace(look=_nothing, held={}))
    await three.store.report("b", [HostReport(mine, watch.epoch, 99, odd)])
    three.all["c"].sampled(other)
    await three.look(2)
    assert leader.services.loads.host(mine) is None and leader.services.loads.host(other) is not None


async def test_nothing_is_told_while_nothing_is_new(three: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    report: Callable[..., Any] = three.store.report

    async def counted(life: str, reports: list[HostReport]) -> None:
        told.extend(one.host for one in reports)
        await report(life, reports)

    monkeypatch.setattr(three.store, "report", counted)
    await three.look(20)
    assert sorted(set(told)) == list(HOSTS)
    assert all(told.count(host) == 20 / Settings().sample_period_s for host in HOSTS), "once a period: a sign of life"


# -- guests


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
    three.all["b"].watcher = cast(Watcher, SimpleNamespace(look=_nothing, held={}))
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
