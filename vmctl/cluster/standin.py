"""What a controller that does not lead answers from while nobody leads: the registry, and what hosts' watchers told.

It is read when somebody asks, at most once a second. Nothing is decided by it: whoever leads next forgets it, and asks
the hosts.
"""

from __future__ import annotations

import asyncio
import logging
import math

from vmctl.cluster.member import Member
from vmctl.guests import told
from vmctl.hosts import loadreport
from vmctl.model.hosts import HostState, HostTold
from vmctl.model.replicas import Lead, LeaderHeard
from vmctl.model.watching import HostReport
from vmctl.services import Services
from vmctl.services.known import Known
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.cluster.standin")
FRESH_S = 1.0
STALE_PERIODS, MORE_S = 2.0, 20.0  # a word that is older counts no more; who begins to lead needs so long
NOBODY = HostTold(HostState.UNKNOWN, "no controller has told of it lately")


class StandIn:
    """One controller's."""

    def __init__(self, services: Services, member: Member, known: Known) -> None:
        self._services, self._member, self._known = services, member, known
        self._told: dict[str, tuple[int, int]] = {}  # host -> (epoch, number) of the report that is known
        self._reading = asyncio.Lock()
        self._read_at = -math.inf  # monotonic
        self._heard_at: float | None = None  # a leader, monotonic

    async def read(self) -> LeaderHeard | None:
        """Read what is new. When a leader was last heard; None: not known. Raises RegistryUnusable."""
        async with self._reading:
            began = self._services.clock.monotonic()
            if began - self._read_at >= FRESH_S:
                await self._read(began)
                self._read_at = began
        if self._heard_at is None:
            return None
        ago_s = self._services.clock.monotonic() - self._heard_at
        return LeaderHeard(ago_s, self._services.clock.now() - ago_s)

    async def _read(self, began: float) -> None:
        services, store = self._services, self._services.store
        await self._known.refresh()
        for lead in await store.all(Lead):
            for leader, silent_s in await store.heard(lead.life):
                if silent_s is not None and leader.life != self._member.own.life:
                    self._heard_at = began - silent_s
        ages, reports = await store.told_s(services.clock.now()), await services.reports.news(self._told)
        if self._member.leads:
            return  # from just now on: what others knew is no word of a host
        here = {name for name, link in services.links.items() if link.tried}
        services.guests.afar = (self._told.keys() | {one.host for one in reports}) - here
        for one in reports:
            self._told[one.host] = (one.epoch, one.number)
            if one.host in services.guests.afar and one.host in ages:
                with wall(log, f"what is told of {one.host}"):
                    self._take(one, began - ages[one.host])
        for host in services.told.keys() - services.guests.afar:
            del services.told[host]
        stale = [host for host in services.guests.afar if ages.get(host, math.inf) > self._stale_s]
        services.told |= dict.fromkeys(stale, NOBODY)

    @property
    def _stale_s(self) -> float:
        return STALE_PERIODS * self._services.settings.sample_period_s + MORE_S

    def _take(self, said: HostReport, told_at: float) -> None:
        services, body = self._services, said.body
        state = HostState.ONLINE if body["away_s"] is None else HostState(body.get("state", HostState.UNKNOWN))
        services.told[said.host] = HostTold(state, body.get("why", ""))
        if (load := body["load"]) is not None:
            services.loads.take(said.host, loadreport.from_json(load), told_at)
        guests = {uuid: told.from_json(one) for uuid, one in body["guests"].items()}
        services.guests.tell(said.host, guests, told_at, self._stale_s, said.epoch)

    def forget(self) -> None:
        """It leads from now on: what others knew is no word of a host."""
        services = self._services
        here = {name for name, link in services.links.items() if link.tried}
        afar = services.told.keys() - here  # one that is watched here by now shows its own load
        for host in afar:
            services.loads.forget(host)
        services.guests.forget_told(afar)
        services.told.clear()
        self._told.clear()
        services.guests.afar = ()
        self._read_at, self._heard_at = -math.inf, None
