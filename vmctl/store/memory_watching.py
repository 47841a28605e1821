"""Who watches what, and who joins, in memory: what its methods promise is in `vmctl.ports.store`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from vmctl.model.audit import Entry
from vmctl.model.joining import ControllerKey, Invitation
from vmctl.model.records import HostRecord
from vmctl.model.replicas import Replica
from vmctl.model.watching import HostReport, HostWatch, MachineReader
from vmctl.store import rules


class MemoryWatching:
    """Of a memory store."""

    _kept: dict[type[Any], dict[Any, Any]]
    _all: Callable[..., list[Any]]
    _find: Callable[..., Any]
    _put: Callable[[Any], None]
    audit: Callable[[Entry], Awaitable[None]]

    async def share_out(self, given: Mapping[str, str], now: float) -> None:
        for host, life in given.items():
            before = self._find(HostWatch, host)
            if self._find(HostRecord, host) is None or (before is not None and before.life == life):
                continue
            self._put(HostWatch(host, life, before.epoch + 1 if before is not None else 1, now))

    async def report(self, life: str, reports: Collection[HostReport], now: float) -> None:
        for one in reports:
            held = self._find(HostWatch, one.host)
            if held is not None and (held.life, held.epoch) == (life, one.epoch):
                self._put(replace(one, told_at=now, told_number=one.number))

    async def reports(self, known: Mapping[str, tuple[int, int]]) -> list[HostReport]:
        return self._all(HostReport, lambda one: known.get(one.host) != (one.epoch, one.number))

    async def report_heads(self, known: Mapping[str, tuple[int, int]]) -> list[HostReport]:
        return [replace(one, body={}) for one in await self.reports(known)]

    async def told_s(self, now: float) -> dict[str, float]:
        told = self._all(HostReport, lambda one: one.told_number == one.number)
        return {one.host: max(0.0, now - one.told_at) for one in told}

    async def take_machines(self, life: str, machines: Collection[str]) -> list[str]:
        alive = {one.life for one in self._all(Replica) if one.ended_at is None}
        for machine in machines:
            held = self._find(MachineReader, machine)
            if held is None or held.life not in alive:
                self._put(MachineReader(machine, life))
        return sorted(one for one in set(machines) if self._find(MachineReader, one).life == life)

    async def leave_machines(self, life: str, machines: Collection[str]) -> None:
        for machine in machines:
            held = self._find(MachineReader, machine)
            if held is not None and held.life == life:
                del self._kept[MachineReader][machine]

    async def invite(self, invitation: Invitation, entry: Entry) -> None:
        self._put(invitation)
        await self.audit(entry)

    async def join(self, hash: str, key: ControllerKey, now: float, entry: Entry) -> bool:
        if not rules.may_join(self._find(Invitation, hash), self._find(ControllerKey, key.home), key, now):
            return False
        self._kept[Invitation].pop(hash, None)
        self._put(key)
        await self.audit(entry)
        return True

    def kept_by(self, life: str) -> set[str]:
        """The machines whose ledger a life keeps."""
        return {one.machine for one in self._all(MachineReader) if one.life == life}

    async def watched_by(self, life: str) -> list[HostWatch]:
        return self._all(HostWatch, lambda one: one.life == life)
