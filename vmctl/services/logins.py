"""Log-ins of hosts that are not the pool's own: each has a connection of its own, made when it is wanted.

Nothing is run as somebody by the pool's own log-in: what one may do there is for sshd and the host to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from vmctl.hosts.facts import Fact
from vmctl.hosts.port import Link, Shell
from vmctl.hosts.ssh import HostSSH, Target
from vmctl.model.records import HostRecord
from vmctl.ports import Clock

T = TypeVar("T")
IDLE_S = 300.0  # after so long it is closed, once another one is wanted


@dataclass(eq=False, slots=True)
class _Kept:
    record: HostRecord
    ssh: HostSSH
    used_at: float
    connecting: asyncio.Lock = field(default_factory=asyncio.Lock)


class Logins:
    """Of all hosts. `link` raises NotFound; `new_ssh` makes a connection that is not up yet."""

    def __init__(self, link: Callable[[str], Link], new_ssh: Callable[[Target], HostSSH], clock: Clock) -> None:
        self._link, self._new_ssh, self._clock = link, new_ssh, clock
        self._kept: dict[tuple[str, str], _Kept] = {}

    async def shell(self, host: str, login: str) -> Shell:
        """Where commands run as that log-in; empty: the pool's own. Raises HostError, NotAllowed, NotFound."""
        link = self._link(host)
        if not login:
            return link.ssh
        await self._close_idle()
        kept = self._kept.get((host, login))
        if kept is None or kept.record != link.record:
            record = link.record
            target = Target(record.name, record.address, record.port, login, record.host_key)
            kept = self._kept[host, login] = _Kept(record, self._new_ssh(target), 0.0)
        kept.used_at = self._clock.monotonic()
        async with kept.connecting:
            if not kept.ssh.connected:
                await kept.ssh.connect()
        return kept.ssh

    async def ask(self, host: str, login: str, fact: Fact[T]) -> T:
        """What the host tells that log-in. Raises as `shell` does, and HostError for an answer that cannot be read."""
        return fact.read((await (await self.shell(host, login)).run(fact.command)).out, host)

    async def _close_idle(self) -> None:
        late = self._clock.monotonic() - IDLE_S
        for key, kept in list(self._kept.items()):
            if kept.used_at < late and not kept.connecting.locked():
                del self._kept[key]
                await kept.ssh.close()

    async def close(self) -> None:
        """Close them all."""
        kept, self._kept = list(self._kept.values()), {}
        await asyncio.gather(*(one.ssh.close() for one in kept))
