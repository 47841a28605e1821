"""Hosts shared out among controllers: each samples its share and tells the others; the leader shares out, and listens.

Only watching is shared out, which grants and denies nothing: it is the leader that acts, and that asks hosts before it
does. A host whose watcher has told nothing for a while is sampled by the leader itself until somebody does again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmctl.cluster.member import Member
from vmctl.decide.shares import shares
from vmctl.guests import Follower, told
from vmctl.hosts import loadreport
from vmctl.hosts.port import Link
from vmctl.model.records import HostRecord
from vmctl.model.watching import HostReport, HostWatch, heard
from vmctl.services import Services
from vmctl.services.sessions import Sessions
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.cluster.watcher")
SILENT_PERIODS = 2.0  # a watcher that tells nothing for so long is done without
MORE_S = 3.0  # for a report to be written and read
SHARE_AGAIN_S = 30.0
STEADY_S = 3.0  # a link that was there for so long is one
CANNOT_FOR_S = 600.0  # how long a watcher that did not reach a host does not get it again


@dataclass(slots=True)
class _Said:
    """What this controller told last of a host."""

    number: int = 0
    at: float = 0.0  # monotonic
    what: tuple[Any, ...] = ()  # told at once when it is another: the newest sample, whether it answers, who leads


@dataclass(slots=True)
class _Heard:
    """What the leader heard last of a host from its watcher."""

    at: float  # monotonic
    away_s: float | None  # since the watcher does not reach it; None: it does
    epoch: int


@dataclass(slots=True)
class _Leading:
    """What only the leader keeps in mind. Its successor begins anew, and knows it within a period."""

    since: float  # monotonic
    known: dict[str, tuple[int, int]] = field(default_factory=dict)  # host -> (epoch, number) of its newest report
    heard: dict[str, _Heard] = field(default_factory=dict)
    cannot: dict[str, dict[str, float]] = field(default_factory=dict)  # host -> life -> until when, monotonic
    past: dict[str, int] = field(default_factory=dict)  # host -> epoch of a watcher that could not: it counts no more
    looked: float | None = None  # when the last reading began
    here: bool | None = None  # whether it reached any host at the last look
    here_since: float = 0.0  # and since when that is so, monotonic
    blind_since: float | None = None  # others reach hosts, and it reaches none, monotonic
    lives: frozenset[str] | None = None  # that had not ended at the last look
    again_at: float = math.inf  # when log-ins that did not end are ended again, monotonic
    ending: asyncio.Task[None] | None = None  # the log-ins of those that have
    watchers: dict[str, str] = field(default_factory=dict)  # host -> life, as they were shared out
    shared: object = None  # from what hosts were shared out
    shared_at: float = 0.0


class Watcher:
    """One controller's part. `look` every second; `attach` begins a link to a host."""

    def __init__(self, services: Services, member: Member, attach: Callable[[HostRecord], Link]) -> None:
        self._services, self._member, self._attach = services, member, attach
        self._held: dict[str, HostWatch] = {}
        self._said: dict[str, _Said] = {}
        self._machines: dict[str, set[str]] = {}  # host -> the machine that it is, as far as it is known
        self._leading: _Leading | None = None
        self.changing = asyncio.Lock()  # held by whoever changes the links
        services.watched = lambda: self._held

    @property
    def held(self) -> Mapping[str, HostWatch]:
        """The hosts that this controller watches."""
        return self._held

    async def outdone(self, lives: Collection[str]) -> bool:
        """Whether it reaches no host, and one of these lives tells that it does.

        One that reaches none watches none, either, after a while: its leader gives them to others.
        """
        store = self._services.store
        if any(link.online for link in self._services.links.values()):
            return False
        told = heard(await store.all(HostWatch), await store.reports({}))
        return any(reaches and watch.life in lives for watch, reaches in told)

    @property
    def blind_s(self) -> float:
        """For how long it has led without reaching any host, while others reached some."""
        since = self._leading.blind_since if self._leading is not None else None
        return 0.0 if since is None else self._services.clock.monotonic() - since

    @property
    def _silent_s(self) -> float:
        return SILENT_PERIODS * self._services.settings.sample_period_s + MORE_S

    async def look(self) -> None:
        """Follow what is shared out, and tell what was seen; where this one leads, share out, and listen."""
        async with self.changing:
            await self._look()

    async def _look(self) -> None:
        if self._member.acting:
            await self._lead()
        now = {one.host: one for one in await self._services.store.watched_by(self._member.own.life)}
        changed = [host for host in sorted(self._held.keys() | now.keys()) if self._held.get(host) != now.get(host)]
        await self._let_go([host for host in changed if host in self._held])
        for host in changed:
            if host in now:
                with wall(log, f"watching {host}"):
                    await self._begin(host, now[host])
        await self._keep_ledgers()
        await self._tell()

    async def _begin(self, host: str, now: HostWatch) -> None:
        record = await self._services.store.find(HostRecord, host)
        if record is None:
            return
        log.info("%s is watched here from now on (epoch %d)", host, now.epoch)
        link = self._services.links.get(host) or self._attach(record)
        link.sample(True)
        self._held[host] = now

    async def _let_go(self, hosts: Collection[str]) -> None:
        """Watch them no more. Ledgers are left when all that was seen is written: somebody else goes on with them."""
        services = self._services
        # All that may fail first: who has let go of a part does not come back to the rest.
        gone = {host for host in hosts if await services.store.find(HostRecord, host) is None}
        machines, closed = services.guests.let_go_of(hosts), list[Link]()
        for host in hosts:
            log.info("%s is watched here no more", host)
            del self._held[host]
            self._said.pop(host, None)
            machines |= self._machines.pop(host, set())
            link = services.links.get(host)
            if link is None:  # it has just left the pool
                continue
            if host in gone:
                services.incarnations.host_removed(link)
            if not self._member.leads:
                closed.append(services.links.pop(host))
                services.loads.forget(host)
        try:
            await asyncio.gather(*(link.close() for link in closed), return_exceptions=True)
        finally:
            await services.incarnations.leave(machines)

    async def _keep_ledgers(self) -> None:
        """Keep those of the hosts that are watched here, as soon as nobody else does."""
        incarnations, links = self._services.incarnations, self._services.links
        self._machines |= {host: incarnations.machine_of(links[host]) for host in self._held if host in links}
        await incarnations.take(set[str]().union(*self._machines.values()))

    # -- what is told

    @property
    def _alone(self) -> bool:
        """Whether nobody would read what is told: only that he watches tells whoever leads himself."""
        return self._member.leads and not self._member.others

    async def _tell(self) -> None:
        reports, said, leader = [], {}, self._member.leader
        guests = {} if self._alone else self._services.guests.by_host()
        for host, watch in self._held.items():
            link = self._services.links.get(host)
            if link is None:
                continue
            before, now = self._said.get(host, _Said()), self._services.clock.monotonic()
            sampled = None if self._alone else self._services.loads.uptime_s(host)
            news = tuple(guest.news for guest in guests.get(host, ()))
            what = (sampled, link.online, link.why, leader.life if leader is not None else "", news)
            if what != before.what or now - before.at >= self._services.settings.sample_period_s:
                said[host] = _Said(before.number + 1, now, what)
                reports.append(HostReport(host, watch.epoch, before.number + 1, self._body(link, guests.get(host, ()))))
        if not reports:
            return
        try:
            await self._services.reports.tell(self._member.own.life, reports, self._services.clock.now())
        except BaseException:  # it may be written: it is told again, by another number
            self._said |= {host: _Said(one.number) for host, one in said.items()}
            raise
        self._said |= said

    def _body(self, link: Link, guests: Iterable[Follower]) -> dict[str, Any]:
        devices = {uuid: domain.net_devices for uuid, domain in link.domains.items()}
        report = None if self._alone else self._services.loads.report(link.name, devices)
        away_s = None if link.online else max(0.0, self._services.clock.now() - link.since)
        now = self._services.clock.monotonic()
        return {
            "away_s": away_s,
            "state": str(link.state),
            "why": link.why,
            "load": None if report is None else loadreport.to_json(report),
            "lockd": self._services.lockds.get(link.name, ""),
            "guests": {one.uuid: told.to_json(one.told(now)) for one in guests},
        }

    # -- the leader's part

    async def _lead(self) -> None:
        if self._leading is None:
            self._leading = _Leading(self._services.clock.monotonic())
        await self._listen(self._leading)
        self._note_whether_blind(self._leading)
        await self._share_out(self._leading)
        self._end_left(self._leading)
        for link in list(self._services.links.values()):
            self._sample_or_not(self._leading, link)

    def _end_left(self, leading: _Leading) -> None:
        """Whoever has died, its log-ins end where a link is up already; elsewhere that comes before the next one."""
        sessions, lives = self._services.sessions, frozenset(one.life for one in self._member.others)
        busy = leading.ending is not None and not leading.ending.done()
        if sessions is None or busy:
            return
        now = self._services.clock.monotonic()
        if leading.lives is None or leading.lives - lives or now >= leading.again_at:
            leading.again_at = math.inf
            ending = self._end_all(leading, sessions)
            leading.ending = asyncio.create_task(ending, name="end log-ins of those that have died")
        leading.lives = lives

    async def _end_all(self, leading: _Leading, sessions: Sessions) -> None:
        async def end(link: Link) -> bool:
            with wall(log, f"{link.name}: log-ins of controllers that have died"):
                await sessions.end_left(link)
                return True
            return False

        links = [link for link in self._services.links.values() if link.session is not None]
        if not all(await asyncio.gather(*(end(link) for link in links))):
            leading.again_at = self._services.clock.monotonic() + SHARE_AGAIN_S

    async def _listen(self, leading: _Leading) -> None:
        asked, before = self._services.clock.monotonic(), leading.looked
        ages = await self._services.store.told_s(self._services.clock.now()) if before is None else {}
        reports = await self._services.reports.news(leading.known)
        self._hear_first(reports, ages, asked)
        for one in reports:
            # How old one is that was there at the first look, only the registry's clock can say. Others came since.
            late = one.epoch <= leading.past.get(one.host, 0)
            if before is not None and one.host not in self._held and not late:
                with wall(log, f"what is told of {one.host}"):
                    self._hear(leading, one, before)
            leading.known[one.host] = (one.epoch, one.number)
        leading.looked = asked

    def _hear_first(self, reports: list[HostReport], ages: Mapping[str, float], asked: float) -> None:
        """What was there before: the loads, so that nobody waits for them. Health is no guess by anybody's clock."""
        for one in reports:
            if one.host not in self._held and one.body["load"] is not None and one.host in ages:
                with wall(log, f"what was told of {one.host}"):
                    load = loadreport.from_json(one.body["load"])
                    self._services.loads.take(one.host, load, asked - ages[one.host])

    def _hear(self, leading: _Leading, said: HostReport, told_at: float) -> None:
        leading.heard[said.host] = _Heard(told_at, said.body["away_s"], said.epoch)
        if (load := said.body["load"]) is not None:
            self._services.loads.take(said.host, loadreport.from_json(load), told_at)
        if lockd := said.body.get("lockd"):  # earlier versions do not tell it
            self._services.lockds[said.host] = str(lockd)
        guests = {uuid: told.from_json(one) for uuid, one in said.body["guests"].items()}
        self._services.guests.tell(said.host, guests, told_at, self._silent_s, said.epoch)

    async def _share_out(self, leading: _Leading) -> None:
        self._note_who_cannot(leading)
        living = (self._member.me, *self._member.others)
        lives = [one.life for one in living if one.takes_part] or [self._member.own.life]
        added = {name: link.record.added_at for name, link in self._services.links.items()}
        now = self._services.clock.monotonic()
        cannot = {host: sorted(found) for host, found in leading.cannot.items()}
        if leading.here is False and now - leading.here_since >= self._silent_s:
            # Others must watch hosts to show whether they reach any: else a leader that watches all leads on for ever.
            cannot = {host: sorted({*cannot.get(host, ()), self._member.own.life}) for host in added}
        if leading.shared == (lives, added, cannot) and now - leading.shared_at < SHARE_AGAIN_S:
            return  # nobody else shares out, but for a database that lost what it had taken
        held = {one.host: one.life for one in await self._services.store.all(HostWatch)}
        given = shares(list(added), held, lives, cannot)
        changed = {host: life for host, life in given.items() if held.get(host) != life}
        if changed:
            await self._services.store.share_out(changed, self._services.clock.now())
        leading.watchers, leading.shared, leading.shared_at = given, (lives, added, cannot), now

    def _note_whether_blind(self, leading: _Leading) -> None:
        """That no host lets this one in, the others' words show: a network without hosts looks the same from here."""
        now = self._services.clock.monotonic()
        here = any(link.online for link in self._services.links.values())
        elsewhere = any(self._is_reached(leading, host, now) for host in self._services.links)
        if here is not leading.here:
            leading.here, leading.here_since = here, now
        if not here:
            leading.cannot.clear()  # whom it saw fail may reach hosts by now, and must have some to tell so
        if not elsewhere or (here and now - leading.here_since >= STEADY_S):
            leading.blind_since = None
        elif not here and leading.blind_since is None:
            leading.blind_since = now

    def _is_reached(self, leading: _Leading, host: str, now: float) -> bool:
        """Whether another one that watches it has just told that it reaches it."""
        told = leading.heard.get(host)
        return told is not None and told.away_s is None and now - told.at <= self._silent_s

    def _note_who_cannot(self, leading: _Leading) -> None:
        """A host that answers here, and not its watcher, goes to another one."""
        now = self._services.clock.monotonic()
        for host, link in self._services.links.items():
            heard, life = leading.heard.get(host), leading.watchers.get(host, "")
            if heard is not None and heard.away_s is not None and heard.away_s >= self._silent_s and link.online:
                del leading.heard[host]  # it says nothing of whoever watches it next
                if life != self._member.own.life:  # which does reach it
                    leading.cannot.setdefault(host, {})[life] = now + CANNOT_FOR_S
                    leading.past[host] = heard.epoch
        leading.past = {host: epoch for host, epoch in leading.past.items() if host in self._services.links}
        for host, lives in list(leading.cannot.items()):
            leading.cannot[host] = {life: until for life, until in lives.items() if until > now}

    def _sample_or_not(self, leading: _Leading, link: Link) -> None:
        now = self._services.clock.monotonic()
        if link.name in self._held:
            link.sample(True)
        elif self._is_reached(leading, link.name, now):
            link.sample(False)
        elif now - leading.since > self._silent_s:  # before that its watcher may just not have been heard yet
            link.sample(True)
