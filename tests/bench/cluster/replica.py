"""One controller, as far as it watches hosts, in a process of its own: the real member, watcher, links and loads.

    python -m tests.bench.cluster.replica FOLDER NAME [PROFILE]

It is told what to do by words on its standard input, and answers each with a line of JSON. libvirt alone is replaced:
what a host's connection to it costs is not measured here. Nobody reads guests' ports, reconciles or carries out tasks.
The folder has `given.json`: the database, hosts, VMs of each, and the period.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import math
import sys
from array import array
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.cluster.profiled import Profiled
from tests.bench.cluster.simhosts import domains, number_of, spec_of
from vmctl.cli.serve import GARBAGE
from vmctl.cluster.controller import KEEP_LEDGER_EVERY_S, KEEP_MEANS_EVERY_S, WATCH_EVERY_S
from vmctl.cluster.member import Member
from vmctl.cluster.watcher import Watcher
from vmctl.hosts.domainxml.build import Site, build
from vmctl.hosts.facts import RawSample
from vmctl.hosts.link import HostLink
from vmctl.hosts.port import Link
from vmctl.hosts.shown import About, DomainSeen, Shown
from vmctl.local.config import Settings
from vmctl.model.records import HostRecord
from vmctl.model.replicas import Replica
from vmctl.services import Services
from vmctl.services.sessions import Sessions
from vmctl.services.walls import wall
from vmctl.store.opening import open_store

log = logging.getLogger("bench")
STOOD_EVERY_S = 0.2
LATE = 1.5  # periods: a sample that is older was missed


@dataclass(frozen=True)
class Given:
    """What all controllers of one measurement share."""

    database: str  # empty: a file
    hosts: int
    vms: int
    period_s: float
    cache: str = ""  # memcached://...


class Libvirt:
    """What a link asks of libvirt while it only watches: so many domains, which all run."""

    def __init__(self, record: HostRecord, vms: int) -> None:
        self._there = domains(number_of(record.name), vms)
        self._about = About("9.0.0", "7.2.0", "kvm", "<cpu/>", ("pc-q35-7.2",), 1 << 19, 64, record.machine)

    async def open(self, _socket: Path, _on_event: object) -> None:
        """It is there."""

    async def close(self) -> None:
        """It holds nothing."""

    async def alive(self) -> bool:
        """It is."""
        return True

    async def about(self) -> About:
        """What it is."""
        return self._about

    async def domains(self) -> tuple[DomainSeen, ...]:
        """All of them."""
        return self._there

    async def shown(self, uuid: str) -> Shown:
        """One, as it was started from its specification."""
        name = next(one.name for one in self._there if one.uuid == uuid)
        xml = build(spec_of(uuid, name), Site("kvm"))
        return Shown(live=xml)


class WatchingLink(HostLink):
    """The real link, without libvirt."""

    vms = 0

    def _new_virt(self) -> Any:
        return Libvirt(self.record, self.vms)

    async def _forward_libvirt(self) -> None:
        """Nothing is behind it."""


class Watching:
    """One controller."""

    def __init__(self, folder: Path, name: str, given: Given) -> None:
        self._given = given
        settings = Settings(
            database=given.database, cache=given.cache, sample_period_s=given.period_s, read_guests=False
        )
        store = open_store(given.database, folder / "registry.db")
        runtime = folder / name
        runtime.mkdir(mode=0o700)
        self.services = Services(store, settings, runtime, (folder / "client",), make_link=WatchingLink)
        own = Replica(self.services.ids.uuid(), name, name, "bench", self.services.clock.now())
        self.services.sessions = Sessions(store, own.life, self.services.clock)
        self.services.incarnations.keeper = own.life if store.shared else ""
        self.member = Member(store, own, self.services.parts)
        self.watcher = Watcher(self.services, self.member, self._attach) if store.shared else None
        self._work: set[asyncio.Task[None]] = set()
        self._turn = math.inf
        self.samples, self.stood_s = 0, 0.0

    async def join(self) -> bool:
        """Begin; whether it leads."""
        self._regularly(STOOD_EVERY_S, self._see_how_late, "see how late it is")
        self._regularly(KEEP_LEDGER_EVERY_S, self.services.incarnations.flush, "write the ledger")
        self._regularly(KEEP_MEANS_EVERY_S, self._keep_means, "keep means")
        await self.member.join()
        if self.watcher is not None:
            self._regularly(WATCH_EVERY_S, self.watcher.look, "watch hosts")
        return self.member.leads

    async def act(self) -> None:
        """What a controller that leads begins with, as far as it watches hosts."""
        await self.services.incarnations.start()
        await self.services.incarnations.end_of_gone()
        for record in await self.services.store.all(HostRecord):
            self._attach(record).sample(self.watcher is None)
        self.member.acts()

    def _attach(self, record: HostRecord) -> Link:
        link = self.services.new_link(record, self.services.runtime)
        link.on_sample = self._sampled
        self.services.links[record.name] = link
        link.start()
        return link

    def _sampled(self, link: Link, sample: RawSample) -> None:
        self.samples += 1
        link.boot_id = sample.boot_id
        self.services.loads.add(link, sample)
        self.services.incarnations.host_sample(link, sample)

    async def _keep_means(self) -> None:
        means = self.services.loads.finished_means(self.services.clock.now())
        if self.member.acting:
            await self.services.store.add_means(means)

    def _regularly(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        async def again() -> None:
            while True:
                await asyncio.sleep(seconds)
                with wall(log, name):
                    await work()

        self._work.add(asyncio.create_task(again(), name=name))

    async def _see_how_late(self) -> None:
        now = self.services.clock.monotonic()
        self.stood_s, self._turn = max(self.stood_s, now - self._turn - STOOD_EVERY_S), now

    # -- what the bench asks

    @property
    def held(self) -> int:
        """How many hosts it watches."""
        return len(self.services.links) if self.watcher is None else len(self.watcher.held)

    @property
    def ready(self) -> int:
        """How many hosts have a load here, where each is sampled by one, whose ledger it keeps."""
        links, incarnations = self.services.links.values(), self.services.incarnations
        if sum(link.sampling for link in links) != self.held:
            return 0
        if incarnations.keeper and len(incarnations._kept) < self.held:
            return 0
        return sum(self.services.loads.host(link.name) is not None for link in links)

    async def ages(self, until: asyncio.Event) -> dict[str, Any]:
        """How old the newest sample of each host is, looked at each second."""
        found, late, missed = array("f"), set[str](), 0
        while not until.is_set():
            now = {name: self.services.loads.age_s(name) for name in self.services.links}
            old = {name for name, age_s in now.items() if age_s > LATE * self._given.period_s}
            missed += len(old - late)
            late = old
            found.extend(now.values())
            await asyncio.sleep(1.0)
        ordered = sorted(found)
        places = {"median": 0.5, "p99": 0.99, "most": 1.0}
        return {"missed": missed} | {
            name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] for name, part in places.items() if ordered
        }


async def obey(watching: Watching, profiled: Profiled, said: asyncio.Queue[str]) -> None:
    """Do what is said, word by word, until nothing more can come."""
    until, looking, before = asyncio.Event(), None, 0
    while word := await said.get():
        told: dict[str, Any] = {"held": watching.held, "stood": watching.stood_s}
        if word == "join":
            told["leads"] = await watching.join()
        elif word == "act":
            await watching.act()
        elif word == "ready":
            told |= {"ready": watching.ready, "ledgers": len(watching.services.incarnations._kept)}
        elif word == "begin":
            before, watching.stood_s = watching.samples, 0.0
            looking = asyncio.create_task(watching.ages(until)) if watching.member.acting else None
            profiled.begin()
        elif word == "end":
            profiled.end()
            until.set()
            told |= {"samples": watching.samples - before, "cleaned": profiled.cleaned_s}
            told |= await looking if looking is not None else {}
        print(json.dumps(told), flush=True)


async def run(folder: Path, name: str, profile: Path | None) -> None:
    """Until its input ends."""
    given = Given(**json.loads((folder / "given.json").read_text()))
    WatchingLink.vms = given.vms
    loop, said = asyncio.get_running_loop(), asyncio.Queue[str]()

    def listen() -> None:
        line = sys.stdin.readline()
        said.put_nowait(line.strip())
        if not line:
            loop.remove_reader(sys.stdin)

    loop.add_reader(sys.stdin, listen)
    await obey(Watching(folder, name, given), Profiled(profile), said)


def main() -> None:
    folder, name, *profile = sys.argv[1:]
    logging.basicConfig(filename=Path(folder) / f"{name}.log", level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    gc.freeze()  # as `vmctl serve` does
    gc.set_threshold(*GARBAGE)
    asyncio.run(run(Path(folder), name, Path(profile[0]) if profile else None))


if __name__ == "__main__":
    main()
