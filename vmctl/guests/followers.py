"""Every running VM's port: found on the host where the VM runs, read, and found again after a migration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from vmctl.decide.health import GuestObservation
from vmctl.errors import VmctlError
from vmctl.guests.guest import Guest, Heard
from vmctl.guests.port import read
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
GOODBYE = "its agent said goodbye: it was stopped, or its guest goes down or boots again"


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

    def seen(self, now: float, frozen: str = "") -> GuestObservation:
        """What its health follows from."""
        guest = self.guest
        if frozen:
            self.thawed_at = now
        silent_s, idle_s = self.heard_s(now), None if self.used_at is None else now - self.used_at
        cause = GOODBYE if guest.goodbye else self.port
        if not cause and guest.refused and not guest.whole:
            cause = f"what it says is not believed: {guest.refused}"
        if self.guest.heard_at is not None and not guest.picture.os:
            return GuestObservation(None, port=cause or "its agent has said hello and nothing more yet", frozen=frozen)
        return GuestObservation(
            heard_s=None if silent_s is None else min(silent_s, now - self.thawed_at),
            period_s=guest.period_s,
            watches=guest.watches(now),
            failed_units=tuple(guest.picture.os.get("failed_units") or ()),  # type: ignore[arg-type]
            idle_s=idle_s,
            port=cause,
            frozen=frozen,
        )


class Guests:
    """All followers. `look` every second or so."""

    def __init__(self, links: Mapping[str, Link], incarnations: Incarnations, clock: Clock) -> None:
        self._clock = clock
        self._links = links
        self._incarnations = incarnations
        self.followers: dict[str, Follower] = {}

    def look(self, moving: Collection[str]) -> None:
        """Begin with VMs that run now, and let go of those that are nowhere and are not `moving`."""
        now = self._clock.monotonic()
        present = {uuid for link in self._links.values() for uuid, d in link.domains.items() if d.power in HERE}
        for uuid in sorted(present - self.followers.keys()):
            follower = self.followers[uuid] = Follower(uuid)
            follower.task = asyncio.create_task(self._follow(follower), name=f"guest {uuid}")
        for uuid, follower in list(self.followers.items()):
            if uuid in present or uuid in moving:
                follower.absent_since = None
            elif follower.absent_since is None:
                follower.absent_since = now
            elif now - follower.absent_since > GONE_AFTER_S:
                self._let_go(follower)

    def _let_go(self, follower: Follower) -> None:
        if follower.task is not None:
            follower.task.cancel()
        del self.followers[follower.uuid]
        self._incarnations.vm_stopped(follower.uuid)

    def status(self, uuid: str) -> str:
        """A VM's health in a word; empty for one that does not run."""
        return self.followers[uuid].status if uuid in self.followers else ""

    def stall(self, uuid: str) -> float:
        """The share of time in which something inside the guest waited, by its own word; 0 where it has not spoken."""
        follower = self.followers.get(uuid)
        return 0.0 if follower is None else follower.guest.stall(self._clock.monotonic())

    def address(self, uuid: str) -> str:
        """The address that a guest tells of itself, IPv4 before IPv6; empty where it has told none."""
        follower = self.followers.get(uuid)
        return "" if follower is None else _address(follower)

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
        for link in self._links.values():
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
        ip = _address(follower)
        self._incarnations.guest_picture(follower.uuid, heard.boot_id, heard.seen, ip=ip, gone=heard.gone)

    def count(self, follower: Follower) -> None:
        """See whether a silent guest still uses its disk or network; nobody waits for the answer."""
        now = self._clock.monotonic()
        link = self._links.get(follower.host)
        if link is not None and link.online and now - follower.counted_at >= COUNT_EVERY_S:
            follower.counted_at = now
            follower.counting = asyncio.create_task(_count(follower, link, now), name=f"count {follower.uuid}")


async def _count(follower: Follower, link: Link, now: float) -> None:
    with contextlib.suppress(VmctlError):
        counted = await link.virt.use(follower.uuid)
        if counted != follower.counted:
            follower.counted, follower.used_at = counted, now


def _address(follower: Follower) -> str:
    addresses = [str(a) for a in follower.guest.picture.os.get("addresses") or ()]  # type: ignore[attr-defined]
    return next((a for a in addresses if ":" not in a), addresses[0] if addresses else "")
