"""Controllers that have joined are let into the hosts, and removed ones are let in no more. The leader's part."""

from __future__ import annotations

import asyncio
import logging

from vmctl.errors import HostError
from vmctl.hosts.letin import let_in
from vmctl.hosts.port import Link
from vmctl.model.joining import ControllerKey, line
from vmctl.services import Services
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.cluster.keys")
AGAIN_S = 600.0  # an older file may have been put back, with keys that were taken off
AT_ONCE = 32  # hosts: one that hangs holds up few others


class Keys:
    """`look` every few seconds. A host that was away is seen to when it is back."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # host -> since when it is online, what was put, and when
        self._done: dict[str, tuple[float, tuple[str, ...], float]] = {}
        self._told: set[str] = set()  # hosts that take no change

    async def look(self) -> None:
        """Put keys onto the hosts that have not had them since they came."""
        keys = await self._services.store.all(ControllerKey)
        lines = tuple(sorted(line(key) for key in keys if not key.removed))
        links = [link for link in self._services.links.values() if link.online]
        now = self._services.clock.monotonic()
        due = [link for link in links if self._is_due(link, lines, now)]
        for first in range(0, len(due), AT_ONCE):
            some = {link.name: link.since for link in due[first : first + AT_ONCE]}
            let = await asyncio.gather(*(self._let_in(link, lines) for link in due[first : first + AT_ONCE]))
            done = [name for name, good in zip(some, let, strict=True) if good]
            for key in keys:  # one writer: two at once would each leave out what the other one adds
                await self._keep(key, done)
            # Last: what could not be written down is done again.
            self._done |= {name: (some[name], lines, now) for name in done}

    def _is_due(self, link: Link, lines: tuple[str, ...], now: float) -> bool:
        since, put, at = self._done.get(link.name, (0.0, (), -AGAIN_S))
        return (since, put) != (link.since, lines) or now - at >= AGAIN_S

    async def _let_in(self, link: Link, lines: tuple[str, ...]) -> bool:
        with wall(log, f"controllers' keys on {link.name}"):
            try:
                await let_in(link, lines)
            except HostError as err:
                await self._tell(link, err)
                raise
            self._told.discard(link.name)
            return True
        return False

    async def _tell(self, link: Link, err: HostError) -> None:
        """Once: removed controllers may still be let in there, and new ones are not."""
        if link.online and link.name not in self._told:
            self._told.add(link.name)
            text = f"who is let into {link.name} cannot be changed: {err.message}; there: ~/.ssh/authorized_keys"
            await self._services.record_event("alarm", link.name, text)

    async def _keep(self, key: ControllerKey, done: list[str]) -> None:
        """Write down where its key was put; of one that was removed, where it is no more."""
        new = sorted(set(done) & set(key.hosts) if key.removed else set(done) - set(key.hosts))
        if not new:
            return
        what = "is not let into {0} any more" if key.removed else "is let into {0}"
        told = [self._services.event("controller", host, f"controller {key.name} {what.format(host)}") for host in new]
        hosts = sorted(set(key.hosts) ^ set(new))
        await self._services.store.change(ControllerKey, key.home, hosts=hosts, told=told)
        key.hosts[:] = hosts  # for those that come next
