"""Controllers that have joined are let into the hosts, and removed ones are let in no more. The leader's part."""

from __future__ import annotations

import asyncio
import logging

from vmctl.hosts.letin import let_in
from vmctl.hosts.port import Link
from vmctl.model.joining import ControllerKey, line
from vmctl.services import Services
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.cluster.keys")
AT_ONCE = 32  # hosts: one that hangs holds up few others


class Keys:
    """`look` every few seconds. A host that was away is seen to when it is back."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._done: dict[str, tuple[float, tuple[str, ...]]] = {}  # host -> since when it is online, and what was put

    async def look(self) -> None:
        """Put keys onto the hosts that have not had them since they came."""
        keys = [one for one in await self._services.store.all(ControllerKey) if not one.removed]
        lines = tuple(sorted(line(key) for key in keys))
        links = [link for link in self._services.links.values() if link.online]
        due = [link for link in links if self._done.get(link.name) != (link.since, lines)]
        for first in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self._see_to(link, keys, lines) for link in due[first : first + AT_ONCE]))

    async def _see_to(self, link: Link, keys: list[ControllerKey], lines: tuple[str, ...]) -> None:
        with wall(log, f"controllers' keys on {link.name}"):
            await self._put(link, keys, lines)

    async def _put(self, link: Link, keys: list[ControllerKey], lines: tuple[str, ...]) -> None:
        since = link.since
        await let_in(link, lines)
        for key in keys:
            if link.name not in key.hosts:
                text = f"controller {key.name} is let into {link.name}"
                told = [self._services.event("controller", link.name, text)]
                key.hosts.append(link.name)
                await self._services.store.change(ControllerKey, key.home, hosts=sorted(key.hosts), told=told)
        self._done[link.name] = since, lines  # last: what could not be written down is done again
