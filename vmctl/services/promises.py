"""What is promised to runs of jobs on hosts.

It lives in memory, with the tasks that hold it: those of the next controller take it anew.
"""

from __future__ import annotations

import asyncio

from vmctl.model.jobs import NOTHING, Promise, Promised
from vmctl.ports import Clock

NEW_S = 20.0  # after so long a host's load shows what began there


class Promises:
    """By run; each counts until it is taken back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hosts: dict[str, dict[str, tuple[Promise, float]]] = {}
        self._where: dict[str, str] = {}  # run -> its host
        self.turn = asyncio.Lock()  # of who waits for room: first come, first served
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}

    def turn_of(self, who: str, project: str) -> asyncio.Lock:
        """The turn of those who wait until a limit of that user or project allows them."""
        return self._turns.setdefault((who, project), asyncio.Lock())

    def give(self, run: str, promise: Promise) -> None:
        """Promise it, from now on."""
        if self._where.get(run) != promise.host:
            self.end(run)
            self._where[run] = promise.host
            self._hosts.setdefault(promise.host, {})[run] = promise, self._clock.monotonic()

    def end(self, run: str) -> None:
        """It has ended, or another controller goes on with it."""
        if (host := self._where.pop(run, None)) is not None:
            del self._hosts[host][run]

    def on(self, host: str) -> Promised:
        """What is promised on a host."""
        there = self._hosts.get(host)
        if not there:
            return NOTHING
        late = self._clock.monotonic() - NEW_S
        new = [one for one, since in there.values() if since > late]
        return Promised(
            len(there),
            sum(one.cpus for one, _ in there.values()),
            sum(one.mem_mib for one, _ in there.values()),
            sum(one.cpus for one in new),
            sum(one.mem_mib for one in new),
        )
