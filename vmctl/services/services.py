"""What observing and acting share: registry, links to hosts, loads, settings. Passed, never global."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from vmctl.errors import NotFound, Overtaken, Unreachable
from vmctl.guests import Guests, Where
from vmctl.hosts.link import HostLink
from vmctl.hosts.loads import Loads
from vmctl.hosts.port import Link, NewLink
from vmctl.hosts.ssh import HostKey, HostSSH, Target, read_host_key
from vmctl.ledger.incarnations import Incarnations
from vmctl.local.config import Settings
from vmctl.model.hosts import HostTold
from vmctl.model.policy import Policy
from vmctl.model.records import Event, HostRecord, VMRecord
from vmctl.model.vms import PowerState, Spec
from vmctl.ports import SYSTEM, Clock, Ids, Parts, Threads
from vmctl.ports.store import Store
from vmctl.services.claims import Claim, Handles, handle
from vmctl.services.logins import Logins
from vmctl.services.promises import Promises
from vmctl.services.reports import Reports
from vmctl.services.runfeeds import RunFeeds
from vmctl.services.sessions import Sessions
from vmctl.store.reportcache import ReportCache
from vmctl.store.rules import missing

LOGINS_AT_ONCE = 32
SLOT_LOOK_S = 0.3


class Slots:
    """At most so many live migrations at once, out of and into each host; the rest wait.

    A slot is what the registry says: a VM that copies. It is free when the task that holds the VM ends, however.
    """

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store = store
        self._policy = policy

    async def take(
        self, vm: VMRecord, target: str, waiting: Callable[[str], None], cancelled: Callable[[], None]
    ) -> None:
        """Take a slot; `waiting` hears why it is waited for, `cancelled` may raise to give up."""
        limits = self._policy.max_outgoing, self._policy.max_incoming
        # Nothing is done on a host yet: a registry that takes nothing just now is waited for.
        while (why := await self._store.patiently(lambda: self._store.take_slot(vm, target, *limits))) is not None:
            waiting(why)
            cancelled()
            await asyncio.sleep(SLOT_LOOK_S)


@dataclass(slots=True)
class Services:
    """One controller's surroundings."""

    store: Store
    settings: Settings
    runtime: Path
    keys: tuple[Path, ...]
    links: MutableMapping[str, Link] = field(default_factory=dict)
    parts: Parts = SYSTEM
    make_link: Callable[..., NewLink] = HostLink
    read_key: Callable[[str, int, float], Awaitable[HostKey]] = read_host_key
    loads: Loads = field(init=False)
    no_lock: dict[str, str] = field(default_factory=dict)  # host -> why its lock manager gives no leases
    told: dict[str, HostTold] = field(default_factory=dict)  # of hosts that no link shows, while nobody leads
    lockds: dict[str, str] = field(default_factory=dict)  # host -> its virtlockd, as `RawSample.lockd`
    unmounted: dict[str, set[str]] = field(default_factory=dict)  # host -> storages that are not mounted there now
    cpus: frozenset[str] = frozenset()  # the <cpu> elements of all VMs' guests: each host is asked about them
    sessions: Sessions | None = None  # of whoever writes its log-ins down
    watched: Callable[[], Collection[str]] | None = None  # hosts that this controller watches; None: all
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOGINS_AT_ONCE))
    placing: asyncio.Lock = field(default_factory=asyncio.Lock)  # one placement at a time sees all promises
    promises: Promises = field(init=False)
    logins: Logins = field(init=False)
    runs: RunFeeds = field(init=False)
    slots: Slots = field(init=False)
    incarnations: Incarnations = field(init=False)
    guests: Guests = field(init=False)
    reports: Reports = field(init=False)

    def __post_init__(self) -> None:
        self.loads = Loads(self.clock)
        self.slots = Slots(self.store, self.settings.policy)
        self.promises = Promises(self.clock)
        self.logins = Logins(self.link, self._new_ssh, self.clock)
        self.runs = RunFeeds(self.logins, self.clock)
        self.reports = Reports(self.store, ReportCache(self.settings.cache) if self.settings.cache else None)
        self.incarnations = Incarnations(self.store, self.settings.ledger, self.clock)
        self.guests = Guests(self.links, self.incarnations, self.clock, self.watches, self.where)

    @property
    def clock(self) -> Clock:
        """The time."""
        return self.parts.clock

    @property
    def ids(self) -> Ids:
        """Names that nobody has."""
        return self.parts.ids

    @property
    def threads(self) -> Threads:
        """For work that would keep the loop from everything else."""
        return self.parts.threads

    def watches(self, host: str) -> bool:
        """Whether this controller watches a host: samples it, and reads the ports of its guests."""
        return self.watched is None or host in self.watched()

    async def where(self, vm: str) -> Where:
        """What became of a VM (UUID) that is on no host of those that are watched here, by what is registered."""
        found = await self.store.find(VMRecord, vm)
        if found is None:
            return Where.GONE
        if found.moving_to:
            return Where.UNKNOWN
        if found.host and not self.watches(found.host):
            return Where.ELSEWHERE
        # Somebody may have moved it by hand to a host that is watched elsewhere: that is not concluded here.
        sure = self.watched is None or found.power is PowerState.STOPPED
        return Where.GONE if sure else Where.UNKNOWN

    def held_by(self, claim: Claim, task: int) -> Services:
        """The same surroundings for as long as a task's claim is held: registry and hosts end with it."""

        async def judge(err: Exception) -> None:
            """A VM that another task holds now was taken over. One that is gone was not: this task must end itself."""
            vm = await self.store.find_vm(err.uuid) if isinstance(err, Overtaken) else None
            if vm is not None and vm.task not in (None, task):
                claim.lose()

        held = copy.copy(self)
        held.store = handle(self.store, claim, judge)
        held.links = Handles(self.links, claim)
        held.make_link = lambda *given: handle(self.make_link(*given), claim)
        held.slots = Slots(held.store, self.policy)
        return held

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.settings.policy

    def new_link(self, record: HostRecord, folder: Path) -> NewLink:
        """A link to a host that is not up yet; its sockets lie in the folder."""
        made = self.make_link(record, self.keys, folder, self.settings, self.gate, self.parts)
        if self.sessions is not None:
            made.on_login = self.sessions.settle
        return made

    def _new_ssh(self, target: Target) -> HostSSH:
        return HostSSH(target, self.keys, self.settings.timeouts)

    def link(self, host: str) -> Link:
        """The link to a registered host. Raises NotFound."""
        found = self.links.get(host)
        if found is None:
            raise missing("host", host)
        return found

    def shows(self, host: str) -> Link | None:
        """The link by which a host is shown; None where there is none, or another controller's word stands for it."""
        return None if host in self.told else self.links.get(host)

    def online(self, host: str) -> Link:
        """The link to a host that answers. Raises NotFound, Unreachable."""
        link = self.link(host)
        if not link.online:
            raise Unreachable(f"{host} does not answer: {link.why}", hint=f"vmctl host check {host}")
        return link

    def any_online(self, hosts: list[str] | None = None) -> Link:
        """Some host that answers, of those named."""
        for name, link in sorted(self.links.items()):
            if link.online and (hosts is None or name in hosts):
                return link
        if not self.links:
            raise NotFound("there are no hosts yet", hint="vmctl host add NAME...")
        raise Unreachable("no host answers", hint="vmctl host list")

    async def wait_any_online(self, hosts: list[str], limit_s: float = 15.0) -> Link:
        """Some host that answers, of those named; waited for a little, for who comes just after a start."""
        links = [self.links[name] for name in hosts if name in self.links]
        if not any(link.online for link in links):
            waits = [asyncio.create_task(link.wait_online(limit_s)) for link in links]
            for wait in asyncio.as_completed(waits):
                if await wait:
                    break
            for task in waits:
                task.cancel()
        return self.any_online(hosts)

    async def vms_about(self, link: Link) -> list[VMRecord]:
        """The registry's VMs that a host has to do with, or that it shows."""
        return await self.store.vms_about(link.record, list(link.domains))

    def event(self, kind: str, about: str | Spec | VMRecord, text: str, who: str = "", project: str = "") -> Event:
        """What happens at this moment to a VM, or to whatever has that name; for the transaction of what it tells."""
        if isinstance(about, str):
            return Event(kind, about, text, self.clock.now(), who=who, project=project)
        project = project or (about.project if isinstance(about, VMRecord) else "")
        return Event(kind, about.name, text, self.clock.now(), who=who, uuid=about.uuid, project=project)

    async def record_event(
        self, kind: str, about: str | Spec | VMRecord, text: str, who: str = "", project: str = ""
    ) -> None:
        """Record an event, and who asked for it."""
        await self.store.add(self.event(kind, about, text, who, project))
