"""What controllers tell each other of hosts: by the registry, and by a cache beside it where there is one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from vmctl.model.watching import HostReport
from vmctl.ports.store import Store
from vmctl.store.jsons import as_json, from_json
from vmctl.store.reportcache import ReportCache, digest


class Reports:
    """Of one controller."""

    def __init__(self, store: Store, cache: ReportCache | None) -> None:
        self._store, self._cache = store, cache

    async def tell(self, life: str, reports: Collection[HostReport], now: float) -> None:
        """Keep what a life tells of hosts, as `Store.report`."""
        if self._cache is not None:
            bodies = {one.host: as_json(one.body).encode() for one in reports}
            reports = [replace(one, digest=digest(one, bodies[one.host])) for one in reports]
            # Before the registry says that they are there: who reads that asks for them at once.
            await self._cache.keep({one.digest: bodies[one.host] for one in reports})
        await self._store.report(life, reports, now)

    async def news(self, known: Mapping[str, tuple[int, int]]) -> list[HostReport]:
        """What is told of hosts, but for the reports that are `known`, as `Store.reports`."""
        if self._cache is None:
            return await self._store.reports(known)
        heads = await self._store.report_heads(known)
        wanted = {one.host: one for one in heads if one.digest}
        bodies = await self._cache.find(wanted.values()) if wanted else {}
        found = [replace(wanted[host], body=from_json(body)) for host, body in bodies.items()]
        if len(found) == len(heads):
            return found
        there = {one.host: (one.epoch, one.number) for one in found}
        return [*found, *await self._store.reports({**known, **there})]

    async def close(self) -> None:
        """Let go of the cache."""
        if self._cache is not None:
            await self._cache.close()
