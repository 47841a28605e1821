"""Before a controller does anything on a host: its log-in is written down, and those of earlier controllers are ended.

So a life that has ended does nothing more on any host: it can neither use the log-ins that it has, as whoever comes
after it ends them, nor get another one, as what is written for it is refused.
"""

from __future__ import annotations

import logging
from weakref import WeakSet

from vmctl.errors import CommandFailed, NotAllowed, RegistryUnusable, Unreachable, Unreadable
from vmctl.hosts import sessions
from vmctl.hosts.port import Link, NewLink
from vmctl.model.replicas import HostSession
from vmctl.ports import Clock
from vmctl.ports.store import Store

log = logging.getLogger("vmctl.sessions")


class Sessions:
    """The log-ins of one controller's life."""

    def __init__(self, store: Store, life: str, clock: Clock) -> None:
        self._store, self._life, self._clock = store, life, clock
        self._links: WeakSet[NewLink] = WeakSet()

    async def settle(self, link: NewLink) -> None:
        """A link has logged in. Raises Unreachable while a session that was left there goes on, and Deposed.

        What cannot be written down (a registry that takes nothing, a host whose /proc hides it) is not used, where
        another controller may lead meanwhile: RegistryUnusable, NotAllowed. One that has its registry for itself goes
        on without: it must show its hosts, full disk or not.
        """
        try:
            await self._settle(link)
        except (RegistryUnusable, NotAllowed) as err:
            if self._store.shared:
                raise
            log.warning("%s: its log-in is not written down: %s", link.name, err.message)

    async def _own(self, link: NewLink) -> tuple[str, int, int]:
        try:
            return await link.ask(sessions.OWN_SESSION)
        except (CommandFailed, Unreadable) as err:
            user = link.record.ssh_user
            raise NotAllowed(
                f"{link.name}: {user} does not see the process of its own log-in there",
                hint=f"on {link.name}: mount /proc without hidepid, or log in as root",
            ) from err

    async def _settle(self, link: NewLink) -> None:
        boot_id, pid, ticks = await self._own(link)
        left = await self._end_left(link, boot_id, pid)
        mine = HostSession(link.name, boot_id, pid, ticks, self._life, self._clock.now())
        link.session = mine  # first, so that no other link of ours takes it for one that was left
        self._links.add(link)
        await self._store.keep_session(mine, [one for one in left if not same(one, mine)])

    async def end_left(self, link: Link) -> None:
        """End what lives that have ended left on a host, through a link that is up. Raises HostError.

        A frozen one's log-in holds what only one may hold, such as a guest's port.
        """
        if link.session is not None:
            left = await self._end_left(link, link.session.boot_id, link.session.pid)
            await self._store.keep_session(None, left)

    async def _end_left(self, link: Link, boot_id: str, pid: int) -> list[HostSession]:
        """Those that are gone then. Raises Unreachable."""
        found = await self._store.left_sessions(link.name, self._life)
        in_use = {one.session for one in self._links if one.session is not None}  # after that: one may be new
        left = [one for one in found if one not in in_use]
        here = [one for one in left if one.boot_id == boot_id and one.pid != pid]
        for first in range(0, len(here), sessions.AT_ONCE):
            some = here[first : first + sessions.AT_ONCE]
            if still := await link.ask(sessions.end(some)):
                raise Unreachable(
                    f"{link.name}: an earlier controller's log-in there does not end (process {', '.join(still[:5])})",
                    hint=f"on {link.name}: kill -9 {' '.join(still[:5])}",
                )
        if here:
            log.info("%s: %d log-ins of earlier controllers are ended", link.name, len(here))
        return left


def same(one: HostSession, other: HostSession) -> bool:
    """Whether both are one log-in."""
    return (one.host, one.boot_id, one.pid, one.ticks) == (other.host, other.boot_id, other.pid, other.ticks)
