"""Controllers in one process on one registry, each with stand-ins for links to hosts: what they share out and tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.hosts.test_load import BASE, later, vm
from vmctl.cluster.member import Member
from vmctl.cluster.watcher import Watcher
from vmctl.guests import Follower
from vmctl.hosts.facts import RawSample
from vmctl.hosts.port import Link
from vmctl.hosts.shown import DomainSeen
from vmctl.local.config import Settings
from vmctl.model.hosts import HostState
from vmctl.model.records import HostRecord
from vmctl.model.replicas import Replica
from vmctl.model.vms import PowerState
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
    tried: bool = True
    about: Any = None
    ssh: Any = field(default_factory=lambda: SimpleNamespace(peer="10.0.0.1"))
    domains: dict[str, DomainSeen] = field(
        default_factory=lambda: {"u1": DomainSeen("u1", "web1", PowerState.RUNNING, net_devices=("vnet0",))}
    )

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def state(self) -> HostState:
        return HostState.ONLINE if self.online else HostState.UNKNOWN

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
        self.blind = False
        self.draining, self.roles = False, "naming,proxy"
        self.watcher = Watcher(self.services, cast(Member, self), self.attach)

    @property
    def own(self) -> Replica:
        return Replica(self.name, self.name, self.name, "0.1", 1.0, draining=self.draining, roles=self.roles)

    me = own

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
        if self.blind:
            self._lose(link)
        return cast(Link, link)

    def lose_all(self) -> None:
        """It reaches no host any more, none that it is given later, either."""
        self.blind = True
        for name in self.services.links:
            self._lose(self.host(name))

    def _lose(self, link: Host) -> None:
        link.online, link.why, link.since = False, "no route", self._replicas.clock.now()

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


def of(replicas: Replicas, name: str) -> str:
    """A host that a controller watches."""
    return next(host for host, watcher in replicas.watched().items() if watcher == name)


async def nothing() -> None:
    return
