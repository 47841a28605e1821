"""Every running VM's port: found on the host where the VM runs, read, and found again after a migration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from vmctl.decide.health import GuestObservation
from vmctl.errors import VmctlError
from vmctl.guests.guest import Guest, Heard
from vmctl.guests.port import read
from vmctl.guests.told import GuestTold, ToldGuest, observation
from vmctl.hosts import domainxml
from vmctl.hosts.port import Link
from vmctl.hosts.shown import LEFT_OVER, DomainSeen
from vmctl.ledger.incarnations import Incarnations
from vmctl.model.vms import PowerState
from vmctl.ports import Clock

log = logging.getLogger("vmctl.guests")
HERE = (PowerState.RUNNING, PowerState.PAUSED)
GONE_AFTER_S = 5.0  # between two hosts' readings a VM that moves may be on neither
RETRY_S, SLOWEST_RETRY_S = 0.1, 10.0
SETTLED_S = 5.0  # a port that was open for so long is tried again at once
COUNT_EVERY_S = 10.0
HANDED_S = 5.0  # what was heard before a port changed hands is somebody's word for so long
COUNT_AFTER_S = 10.0  # of silence
GOODBYE = "its agent said goodbye: it was stopped, or its guest goes down or boots again"


class Where(Enum):
    """A VM that is on no host of those that are watched here."""

    GONE = "gone"
    ELSEWHERE = "elsewhere"  # on a host that another controller watches
    UNKNOWN = "unknown"  # it moves, or nobody has concluded yet what became of it


@dataclass(slots=True)
class Follower:
    """One VM, followed. Times are monotonic."""

    uuid: str
    guest: Guest = field(default_factory=Guest)
    host: str = ""
    port: str = ""  # why nothing can be heard, where that is known
    task: asyncio.Task[None] | None = None
    absent_since: float | None = None
    counting: asyncio.Task[None] | None = None
    counted: tuple[int, ...] = ()  # disk requests and packets sent, as its host last counted them
    counted_at: float = 0.0
    used_at: float | None = None  # when they last changed
    thawed_at: float = -math.inf  # until when something was done to it, so that its silence meant nothing
    status: str = "unknown"  # its health, as last judged

    def heard_s(self, now: float) -> float | None:
        """Since it was last heard."""
        return None if self.guest.heard_at is None else now - self.guest.heard_at

    def told(self, now: float) -> GuestTold:
        """What is told of it to whoever judges its health."""
        guest = self.guest
        cause = GOODBYE if guest.goodbye else self.port
        if not cause and guest.refused and not guest.whole:
            cause = f"what it says is not believed: {guest.refused}"
        return GuestTold(
            heard_s=self.heard_s(now),
            known=bool(guest.picture.os),
            period_s=guest.period_s,
            watches=guest.watches(now),
            failed_units=tuple(guest.picture.os.get("failed_units") or ()),  # type: ignore[arg-type]
            idle_s=None if self.used_at is None else now - self.used_at,
            cause=cause,
            stall=guest.stall(now),
            ip=self.address,
        )

    @property
    def news(self) -> tuple[object, ...]:
        """What is told at once when it is another."""
        guest = self.guest
        oks = tuple((name, watch.get("ok")) for name, watch in guest.picture.watches.items())
        return (self.uuid, self.port, guest.goodbye, guest.whole, bool(guest.picture.os), oks)

    def seen(self, now: float, frozen: str = "") -> GuestObservation:
        """What its health follows from."""
        if frozen:
            self.thawed_at = now
        return observation(self.told(now), now - self.thawed_at, frozen)

    def begin_anew(self, _now: float) -> None:
        """Its guest ends now, and says all again when it is back."""
        self.guest.heard_at = None

    def stall(self, now: float) -> float:
        """The share of time in which something in it waited."""
        return self.guest.stall(now)

    @property
    def address(self) -> str:
        """The address that it tells of itself, IPv4 before IPv6; empty where it has told none."""
        told = [str(a) for a in self.guest.picture.os.get("addresses") or ()]  # type: ignore[attr-defined]
        return next((a for a in told if ":" not in a), told[0] if told else "")


Followed = Follower | ToldGuest


class Guests:
    """All followers. `look` every second or so."""

    def __init__(
        self,
        links: Mapping[str, Link],
        incarnations: Incarnations,
        clock: Clock,
        watches: Callable[[str], bool],
        where: Callable[[str], Awaitable[Where]],
    ) -> None:
        """`watches`: whether a host's guests are read here; `where`: what became of a VM that none of those shows."""
        self._clock = clock
        self._links = links
        self._incarnations = incarnations
        self._watches, self._where = watches, where
        self.followers: dict[str, Follower] = {}
        self.afar: Collection[str] = ()  # hosts without a link of which something is told all the same
        self._told: dict[str, ToldGuest] = {}
        self._told_of: dict[str, set[str]] = {}  # host -> UUIDs of those that were told of there last

    @property
    def followed(self) -> dict[str, Followed]:
        """All guests that are listened to, here or by another controller; whoever has heard one goes before."""
        return {uuid: one for uuid in (*self._told, *self.followers) if (one := self.of(uuid)) is not None}

    def tell(self, host: str, told: Mapping[str, GuestTold], at: float, stale_s: float, epoch: int) -> None:
        """What a host's watcher, of that epoch, tells of its guests, at that time (monotonic) or later."""
        reader = (host, epoch)
        there = self._told_of.setdefault(host, set())
        for uuid in [uuid for uuid in there if uuid not in told and not self._runs(uuid)]:
            self._told.pop(uuid, None)
            there.discard(uuid)
        for uuid, one in told.items():
            found = self._told.get(uuid)
            if found is None:
                self._told[uuid] = ToldGuest(uuid, reader, one, at, stale_s)
                there.add(uuid)
            # It has moved, or another one reads its port, and has not heard it yet: until then it is as it was.
            elif found.reader == reader or one.heard_s is not None:
                self._told_of.get(found.host, set()).discard(uuid)
                there.add(uuid)
                found.reader, found.told, found.at, found.stale_s = reader, one, at, stale_s

    def forget_told(self, hosts: Iterable[str]) -> None:
        """What was told of guests there is nobody's word any more."""
        for host in hosts:
            for uuid in self._told_of.pop(host, set()):
                self._told.pop(uuid, None)

    def _drop_told(self) -> None:
        """Forget what is told of nobody any more: of hosts that are watched here now, or have left."""
        for host, there in list(self._told_of.items()):
            silent = self._watches(host) or (host not in self._links and host not in self.afar)
            for uuid in list(there):
                here = self.followers.get(uuid)
                heard = here is not None and here.guest.heard_at is not None
                if heard or (silent and here is None and not self._runs(uuid)):
                    there.discard(uuid)
                    self._told.pop(uuid, None)
            if not there and host not in self._links:
                del self._told_of[host]

    def _runs(self, uuid: str) -> bool:
        """Whether some host shows that it runs."""
        seen = (link.domains.get(uuid) for link in self._links.values())
        return any(domain is not None and domain.power in HERE for domain in seen)

    def told_by(self) -> dict[str, str]:
        """The hosts of guests that another controller listens to, by their VMs' UUIDs."""
        return {uuid: guest.host for uuid, guest in self._told.items() if uuid not in self.followers}

    def _watched(self) -> list[Link]:
        return [link for name, link in self._links.items() if self._watches(name)]

    async def look(self) -> None:
        """Begin with VMs that run now, and let go of those that are on no host that is watched here."""
        now = self._clock.monotonic()
        self._drop_told()
        present = {uuid for link in self._watched() for uuid, d in link.domains.items() if d.power in HERE}
        new = sorted(present - self.followers.keys())
        await self._incarnations.take(new)  # all at once; who is not among them asks again
        for uuid in new:
            follower = self.followers[uuid] = Follower(uuid)
            follower.task = asyncio.create_task(self._follow(follower), name=f"guest {uuid}")
        for uuid, follower in list(self.followers.items()):
            if uuid in present:
                follower.absent_since = None
            elif follower.absent_since is None:
                follower.absent_since = now
            elif now - follower.absent_since > GONE_AFTER_S:
                await self._let_go(follower, await self._where(uuid))
            self._count_if_silent(follower, now)

    async def _let_go(self, follower: Follower, where: Where) -> None:
        """Where it has ended, so have its processes. Elsewhere they go on, and somebody else hears of them."""
        if where is Where.UNKNOWN or follower.uuid not in self.followers:
            return
        if follower.task is not None:
            follower.task.cancel()
        del self.followers[follower.uuid]
        if where is Where.GONE:
            self._incarnations.vm_stopped(follower.uuid)
        else:
            self._keep_as_told(follower)
        await self._incarnations.leave([follower.uuid])

    def _keep_as_told(self, follower: Follower) -> None:
        """It is as it was, until whoever reads its port from now on has heard it."""
        uuid, host, now = follower.uuid, follower.host, self._clock.monotonic()
        known = self._told.get(uuid)
        if follower.guest.heard_at is not None and (known is None or known.told.heard_s is None):
            handed = ToldGuest(uuid, (host, 0), follower.told(now), now, HANDED_S, status=follower.status)
            self._told[uuid] = handed  # an epoch that no watcher has: the next one's word is another's
            self._told_of.setdefault(host, set()).add(uuid)

    def by_host(self) -> dict[str, list[Follower]]:
        """Those whose ports are read here, by the hosts that they run on."""
        found: dict[str, list[Follower]] = {}
        for follower in self.followers.values():
            found.setdefault(follower.host, []).append(follower)
        return found

    def let_go_of(self, hosts: Collection[str]) -> set[str]:
        """Another controller reads the ports there from now on; whose they are, and whose ledgers can be left."""
        gone = [one for one in self.followers.values() if one.host in hosts]
        for follower in gone:
            if follower.task is not None:
                follower.task.cancel()
            del self.followers[follower.uuid]
            self._keep_as_told(follower)
        return {follower.uuid for follower in gone}

    def status(self, uuid: str) -> str:
        """A VM's health in a word; empty for one that does not run."""
        follower = self.of(uuid)
        return "" if follower is None else follower.status

    def stall(self, uuid: str) -> float:
        """The share of time in which something inside the guest waited, by its own word; 0 where it has not spoken."""
        follower = self.of(uuid)
        return 0.0 if follower is None else follower.stall(self._clock.monotonic())

    def address(self, uuid: str) -> str:
        """The address that a guest tells of itself, IPv4 before IPv6; empty where it has told none."""
        follower = self.of(uuid)
        return "" if follower is None else follower.address

    def of(self, uuid: str) -> Followed | None:
        """One guest that is listened to, here or by another controller."""
        here, told = self.followers.get(uuid), self._told.get(uuid)
        return told if here is None or (here.guest.heard_at is None and told is not None) else here

    async def close(self) -> None:
        """Stop reading; what is known of guests stays in the ledger."""
        tasks = [follower.task for follower in self.followers.values() if follower.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- one VM

    def _home(self, uuid: str) -> Link | None:
        """The host that runs it, of those that answer."""
        found: list[tuple[DomainSeen, Link]] = []
        for link in self._watched():
            domain = link.domains.get(uuid)
            if link.online and domain is not None and domain.power in HERE and domain.why not in LEFT_OVER:
                found.append((domain, link))
        found.sort(key=lambda pair: pair[0].power is not PowerState.RUNNING)
        return found[0][1] if found else None

    async def _follow(self, follower: Follower) -> None:
        wait_s = RETRY_S
        while True:
            began = self._clock.monotonic()
            link = self._home(follower.uuid)
            if link is None:
                follower.port = "the host that runs it does not answer"
            else:
                await self._listen(follower, link)
            if self._clock.monotonic() - began > SETTLED_S:
                wait_s = RETRY_S
            await asyncio.sleep(wait_s)
            wait_s = min(SLOWEST_RETRY_S, wait_s * 2)

    async def _listen(self, follower: Follower, link: Link) -> None:
        follower.host = link.name
        try:
            path = domainxml.read(await link.virt.xml(follower.uuid)).agent_socket
            if not path:
                follower.port = "it has no port for an agent"
                return
            if not await self._incarnations.take([follower.uuid]):
                follower.port = "another controller still keeps the ledger of its processes"
                return
            follower.port = ""
            await read(link, path, follower.guest, lambda heard: self._heard(follower, heard))
            follower.port = "its port was closed"
        except VmctlError as err:
            follower.port = err.message
        except Exception as err:
            # A guest must not end the reading of its own port for good, whatever it found to break us with.
            log.exception("guest %s", follower.uuid)
            follower.port = f"{type(err).__name__} while reading it"

    def _heard(self, follower: Follower, heard: Heard) -> None:
        boot_id, ip = heard.boot_id, follower.address
        self._incarnations.guest_picture(follower.uuid, boot_id, heard.seen, ip=ip, gone=heard.gone)

    def _count_if_silent(self, follower: Follower, now: float) -> None:
        """See whether a silent guest still uses its disk or network; nobody waits for the answer."""
        heard_s, link = follower.heard_s(now), self._links.get(follower.host)
        if heard_s is None or heard_s < COUNT_AFTER_S:
            return
        if link is not None and link.online and now - follower.counted_at >= COUNT_EVERY_S:
            follower.counted_at = now
            follower.counting = asyncio.create_task(_count(follower, link, now), name=f"count {follower.uuid}")


async def _count(follower: Follower, link: Link, now: float) -> None:
    with contextlib.suppress(VmctlError):
        counted = await link.virt.use(follower.uuid)
        if counted != follower.counted:
            follower.counted, follower.used_at = counted, now
