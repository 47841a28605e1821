"""Controllers' lives in memory: what its methods promise is in `vmctl.ports.store`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Any

from vmctl.model.audit import Entry
from vmctl.model.joining import ControllerKey
from vmctl.model.records import Event
from vmctl.model.replicas import HostSession, Lead, Replica
from vmctl.model.watching import HostWatch
from vmctl.services.claims import Deposed
from vmctl.store import rules


class MemoryReplicas:
    """Of a memory store."""

    _kept: dict[type[Any], dict[Any, Any]]
    _all: Callable[..., list[Any]]
    _find: Callable[..., Any]
    _put: Callable[[Any], None]
    _tell: Callable[[Collection[Event]], None]
    audit: Callable[[Entry], Awaitable[None]]

    shared = False

    def begin_life(self, replica: Replica) -> None:
        rules.may_begin(self._find(ControllerKey, replica.home))
        known = self._all(Replica)
        for earlier in rules.ended_by(replica, known, shared=self.shared):
            self._put(earlier)
        self._put(rules.as_begun(replica, known))

    async def beat(self, life: str, now: float) -> float:
        found = self._find(Replica, life)
        if found is None or found.ended_at is not None:
            raise Deposed(life)
        self._put(replace(found, beat=found.beat + 1, beat_at=now))
        return now

    async def heard(self, life: str = "") -> list[tuple[Replica, float | None]]:
        return [(one, None) for one in self._all(Replica, lambda one: not life or one.life == life)]

    async def lives(self) -> tuple[list[Replica], Lead | None]:
        return self._all(Replica, lambda one: one.ended_at is None), self._find(Lead, rules.LEAD)

    async def lead(self, life: str, now: float, *, told: Collection[Event] = ()) -> Lead | None:
        before = self._find(Lead, rules.LEAD)
        leader = self._find(Replica, before.life) if before is not None else None
        lead = rules.led_by(before, leader, life, now)
        if lead is not None and lead != before:
            self._put(lead)
            self._tell(told)
        return lead

    async def bury(
        self, life: str, beat: int, why: str, now: float, *, told: Collection[Event] = (), entry: Entry | None = None
    ) -> bool:
        found = self._find(Replica, life)
        if found is None or found.beat != beat or found.ended_at is not None:
            return False
        await self.end_life(life, why, now, told=told, entry=entry)
        return True

    async def left_sessions(self, host: str, life: str) -> list[HostSession]:
        alive = {one.life for one in self._all(Replica) if one.ended_at is None} - {life}
        used = {one.life for one in (self._find(Lead, rules.LEAD), self._find(HostWatch, host)) if one is not None}
        return self._all(HostSession, lambda one: one.host == host and one.life not in alive & used)

    async def keep_session(self, session: HostSession | None, gone: Collection[HostSession] = ()) -> None:
        for one in gone:
            self._kept[HostSession].pop(rules.key_of(one), None)
        if session is not None:
            self._put(session)

    async def end_life(
        self, life: str, why: str, now: float, *, told: Collection[Event] = (), entry: Entry | None = None
    ) -> None:
        found = self._find(Replica, life)
        if found is None:
            raise rules.missing("controller", life)
        if found.ended_at is None:
            self._put(replace(found, ended_at=now, why=why))
        self._tell(told)
        if entry is not None:
            await self.audit(entry)
