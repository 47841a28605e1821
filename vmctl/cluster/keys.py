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
            some = {link.name: link.since for link in due[first : first + AT_ONCE]}
            let = await asyncio.gather(*(self._let_in(link, lines) for link in due[first : first + AT_ONCE]))
            done = [name for name, good in zip(some, let, strict=True) if good]
            for key in keys:  # one writer: two at once would each leave out what the other one adds
                await self._keep(key, done)
            # Last: what could not be written down is done again.
            self._done |= {name: (some[name], lines) for name in done}

    async def _let_in(self, link: Link, lines: tuple[str, ...]) -> bool:
        with wall(log, f"controllers' keys on {link.name}"):
            await let_in(link, lines)
            return True
        return False

    async def _keep(self, key: ControllerKey, hosts: list[str]) -> None:
        new = sorted(set(hosts) - set(key.hosts))
        if not new:
            return
        texts = {host: f"controller {key.name} is let into {host}" for host in new}
        told = [self._services.event("controller", host, text) for host, text in texts.items()]
        await self._services.store.change(ControllerKey, key.home, hosts=sorted([*key.hosts, *new]), told=told)
        key.hosts.extend(new)
