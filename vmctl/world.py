"""What observing and acting share: registry, links to hosts, loads, settings. Passed, never global."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vmctl.config import Settings
from vmctl.errors import NotFound, Unreachable
from vmctl.guests import Guests
from vmctl.hosts.link import HostLink
from vmctl.hosts.loads import Loads
from vmctl.incarnations import Incarnations
from vmctl.model import Policy
from vmctl.records import Event
from vmctl.store.store import Store, missing

LOGINS_AT_ONCE = 32


class Slots:
    """At most so many live migrations at once, out of and into each host; the rest wait in the order they came."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._held: list[tuple[int, str, str]] = []
        self._freed = asyncio.Condition()

    def blocker(self, source: str, target: str) -> str | None:
        """Why this migration must wait, in words."""
        out = [task for task, host, _ in self._held if host == source]
        into = [task for task, _, host in self._held if host == target]
        if len(out) >= self._policy.max_outgoing:
            return f"{source} already sends {len(out)} (task {out[0]})"
        if len(into) >= self._policy.max_incoming:
            return f"{target} already receives {len(into)} (task {into[0]})"
        return None

    @asynccontextmanager
    async def take(
        self, task: int, source: str, target: str, waiting: Callable[[str], None], cancelled: Callable[[], None]
    ) -> AsyncIterator[bool]:
        """Hold a slot, and say whether it was waited for; `waiting` hears why, `cancelled` may raise to give up."""
        waited = False
        async with self._freed:
            while (why := self.blocker(source, target)) is not None:
                waited = True
                waiting(why)
                cancelled()
                try:
                    async with asyncio.timeout(1.0):
                        await self._freed.wait()
                except TimeoutError:
                    continue
            self._held.append((task, source, target))
        try:
            yield waited
        finally:
            self._held.remove((task, source, target))
            async with self._freed:
                self._freed.notify_all()


@dataclass(slots=True)
class World:
    """One controller's surroundings."""

    store: Store
    settings: Settings
    runtime: Path
    keys: tuple[Path, ...]
    links: dict[str, HostLink] = field(default_factory=dict)
    loads: Loads = field(default_factory=Loads)
    moving: dict[str, str] = field(default_factory=dict)  # VM's UUID -> where a migration takes it
    dirty_mib_s: dict[str, float] = field(default_factory=dict)  # VM's UUID -> as seen in its last live migration
    no_lock: dict[str, str] = field(default_factory=dict)  # host -> why its lock manager gives no leases
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOGINS_AT_ONCE))
    placing: asyncio.Lock = field(default_factory=asyncio.Lock)  # one placement at a time sees all promises
    slots: Slots = field(init=False)
    incarnations: Incarnations = field(init=False)
    guests: Guests = field(init=False)

    def __post_init__(self) -> None:
        self.slots = Slots(self.settings.policy)
        self.incarnations = Incarnations(self.store, self.settings.ledger)
        self.guests = Guests(self.links, self.incarnations)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.settings.policy

    def link(self, host: str) -> HostLink:
        """The link to a registered host. Raises NotFound."""
        found = self.links.get(host)
        if found is None:
            raise missing("host", host)
        return found

    def online(self, host: str) -> HostLink:
        """The link to a host that answers. Raises NotFound, Unreachable."""
        link = self.link(host)
        if not link.online:
            raise Unreachable(f"{host} does not answer: {link.why}", hint=f"vmctl host check {host}")
        return link

    def any_online(self, hosts: list[str] | None = None) -> HostLink:
        """Some host that answers, of those named."""
        for name, link in sorted(self.links.items()):
            if link.online and (hosts is None or name in hosts):
                return link
        if not self.links:
            raise NotFound("there are no hosts yet", hint="vmctl host add NAME...")
        raise Unreachable("no host answers", hint="vmctl host list")

    async def wait_any_online(self, hosts: list[str], limit_s: float = 15.0) -> HostLink:
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

    async def tell(self, kind: str, subject: str, text: str, who: str = "") -> None:
        """Record an event, and who asked for it."""
        await self.store.add(Event(kind, subject, text, time.time(), who=who))
