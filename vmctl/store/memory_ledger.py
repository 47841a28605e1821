"""The ledger in memory, as small as it can be: what its methods promise is in `vmctl.ports.store`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable

from vmctl.ledger import Changes, Life, Listening, Run, ShortLived
from vmctl.model.identity import parse_gpid, same_name
from vmctl.model.policy import LedgerPolicy
from vmctl.store.incarnations import DAY_S, MOST_LIVES, uuid_range


class MemoryLedger:
    """Lives in the order in which they were first written."""

    def __init__(self, kept_by: Callable[[str], Collection[str]]) -> None:
        """`kept_by` gives the machines whose ledger a controller's life keeps."""
        self._kept_by = kept_by
        self._lives: dict[uuid.UUID, Life] = {}
        self._runs: dict[Run, float] = {}
        self._listening: dict[tuple[uuid.UUID, str, int, float], Listening] = {}
        self._short: dict[tuple[str, str, int], ShortLived] = {}

    async def write(self, changes: Changes) -> None:
        for run, at in changes.seen_at.items():
            self._runs[run] = max(at, self._runs.get(run, at))
        for life in changes.lives.values():
            self._lives[life.uuid] = _going_on(self._lives.get(life.uuid), life)
        for one in changes.listening.values():
            self._listening[one.uuid, one.ip, one.port, one.since] = one
        for count in changes.short_lived:
            same = count.machine, count.program, count.day
            before = self._short.get(same)
            more = (before.runs, before.cpu_s) if before else (0, 0.0)
            self._short[same] = count._replace(runs=count.runs + more[0], cpu_s=count.cpu_s + more[1])

    async def prune(self, now: float, policy: LedgerPolicy) -> int:
        old = now - policy.days * DAY_S
        ended = sorted((life for life in self._lives.values() if life.ended_at is not None), key=_ended_at)
        gone = {life.uuid for life in ended if _ended_at(life) < old}
        for machine in {life.machine for life in ended}:
            left = [life for life in ended if life.machine == machine and life.uuid not in gone]
            gone |= {life.uuid for life in left[: max(0, len(left) - policy.rows_per_machine)]}
        self._lives = {number: life for number, life in self._lives.items() if number not in gone}
        self._listening = {
            key: one
            for key, one in self._listening.items()
            if one.uuid not in gone and not (one.until is not None and one.until < old)
        }
        self._short = {key: count for key, count in self._short.items() if count.day >= old // DAY_S}
        used = {life.of for life in self._lives.values()}
        self._runs = {run: at for run, at in self._runs.items() if run in used or at >= now - DAY_S}
        return len(gone)

    async def runs(self, machines: Collection[str] | None = None) -> dict[Run, float]:
        return {run: at for run, at in self._runs.items() if machines is None or run.machine in machines}

    async def valid(self, machines: Collection[str] | None = None) -> AsyncIterator[tuple[Run, list[Life]]]:
        for run in await self.runs(machines):
            if lives := [life for life in self._lives.values() if life.of == run and life.ended_at is None]:
                yield run, lives

    async def open_ports(self, lives: Collection[uuid.UUID] | None = None) -> dict[uuid.UUID, tuple[Listening, ...]]:
        found: dict[uuid.UUID, tuple[Listening, ...]] = {}
        for one in self._listening.values():
            if one.until is None and (lives is None or one.uuid in lives):
                found[one.uuid] = (*found.get(one.uuid, ()), one)
        return found

    async def processes(
        self,
        machine: str | None = None,
        program: str | None = None,
        *,
        valid: bool | None = None,
        most: int = 1000,
        but: str = "",
    ) -> list[Life]:
        kept = self._kept_by(but) if but else ()
        found = [
            life
            for life in reversed(self._lives.values())
            if machine in (None, life.machine) and program in (None, life.program)
            if valid in (None, life.ended_at is None) and life.machine not in kept
        ]
        return sorted(found, key=lambda life: (life.ended_at is not None, -(life.ended_at or 0.0)))[:most]

    async def find(self, name: str) -> list[Life]:
        if ":" in name:
            asked = parse_gpid(name)
            return _newest(life for life in self._lives.values() if same_name(asked, life.gpid))
        low, high = uuid_range(name)
        return _newest(life for number, life in self._lives.items() if low <= number.bytes <= high)[:MOST_LIVES]

    async def previous_lives(self, life: Life, most: int = 20) -> list[Life]:
        earlier = [
            one
            for one in reversed(self._lives.values())
            if (one.machine, one.program) == (life.machine, life.program)
            and one.uuid != life.uuid
            and one.first_seen <= life.first_seen
        ]
        if life.command or life.port:
            earlier = [
                one
                for one in earlier
                if (life.command and one.command == life.command) or (life.port and one.port == life.port)
            ]
        return sorted(earlier, key=lambda one: -one.first_seen)[:most]

    async def listening(self, ip: str, port: int, at: float, most: int = 100) -> list[Life]:
        then = [
            one
            for one in self._listening.values()
            if (one.ip, one.port) == (ip, port) and one.since <= at and (one.until is None or one.until >= at)
        ]
        then.sort(key=lambda one: one.since)
        return [self._lives[one.uuid] for one in then if one.uuid in self._lives][:most]

    async def short_lived(self, machine: str | None, since_day: int, most: int = 200) -> list[ShortLived]:
        found = [one for one in self._short.values() if machine in (None, one.machine) and one.day >= since_day]
        return sorted(found, key=lambda one: -one.cpu_s)[:most]


def _going_on(old: Life | None, new: Life) -> Life:
    """A life that is written again: its start, first sighting, address and port stay, its peaks only grow."""
    if old is None:
        return new
    return new._replace(
        started_us=old.started_us,
        ip=old.ip or new.ip,
        port=old.port or new.port,
        first_seen=min(old.first_seen, new.first_seen),
        cpu_peak=max(old.cpu_peak, new.cpu_peak),
        rss_peak_kib=max(old.rss_peak_kib, new.rss_peak_kib),
    )


def _newest(lives: Iterable[Life]) -> list[Life]:
    return sorted(lives, key=lambda life: (life.ended_at is not None, -life.first_seen))


def _ended_at(life: Life) -> float:
    return life.ended_at or 0.0
