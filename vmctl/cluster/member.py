"""One controller among several that share a registry: it says that it lives, sees who does not, leads if nobody does.

The leader observes and acts; the others pass on what they are asked, and take its place. A life that was ended, rightly
or wrongly, writes nothing more and ends itself; whoever leads next ends its log-ins on hosts before it does anything
there (`services/sessions.py`), so it does not matter whether it was dead, frozen or cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

from vmctl.decide.lives import DEAD_AFTER_S, Watch
from vmctl.errors import RegistryUnusable
from vmctl.model.audit import Entry
from vmctl.model.records import Event
from vmctl.model.replicas import Lead, Replica
from vmctl.ports import Parts
from vmctl.ports.store import Store
from vmctl.services.claims import Deposed
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.cluster.member")
BEAT_EVERY_S, LOOK_EVERY_S = 2.0, 1.0
OTHERS_FIRST_S = 3.0  # three looks: who reaches hosts has seen by then that nobody leads


async def _never(_lives: Collection[str]) -> bool:
    return False


WHO = "vmctl"  # who is named for what controllers do by themselves


class Member:
    """A life, from `join` on.

    `lead_begins` is called when it leads later, `deposed` when others ended it, `told_time` with what the registry's
    clock showed between two moments of the monotonic one. `outdone` says whether one of those lives reaches hosts, and
    this one none: then that one leads first.
    """

    def __init__(self, store: Store, own: Replica, parts: Parts) -> None:
        self._store, self.own, self._threads, self._clock = store, own, parts.threads, parts.clock
        self._watch = Watch(own.life)
        self._me = own
        self._others: dict[str, Replica] = {}
        self._lead: Lead | None = None
        self._news: set[asyncio.Event] = set()
        self._work: list[asyncio.Task[None]] = []
        self.lead_begins: Callable[[], object] = lambda: None
        self.deposed: Callable[[], None] = lambda: None
        self.told_time: Callable[[float, float, float], object] = lambda _at, _asked, _answered: None
        self.outdone: Callable[[Collection[str]], Awaitable[bool]] = _never
        self._nobody_since: float | None = None  # nobody leads, monotonic
        self.acting = False  # it leads, and has begun

    @property
    def leads(self) -> bool:
        """Whether it does."""
        return self._lead is not None and self._lead.life == self.own.life

    @property
    def me(self) -> Replica:
        """This life, as the registry has it."""
        return self._me

    @property
    def replaceable(self) -> bool:
        """Whether it leads, and another one could."""
        return self.leads and any(one.takes_part for one in self.others)

    @property
    def leader(self) -> Replica | None:
        """Another one that leads and has not ended, as far as is known."""
        return self._others.get(self._lead.life) if self._lead is not None else None

    def silent_s(self, life: str) -> float:
        """For how long another one was seen to say nothing."""
        return self._watch.silent_s(life)

    @property
    def others(self) -> list[Replica]:
        """Those that have not ended."""
        return list(self._others.values())

    async def join(self) -> None:
        """Begin this life; say again and again that it goes on, and look after the others'.

        Raises RegistryUnusable; Refused where a controller from elsewhere uses a registry that several cannot share.
        """
        await self._threads.wait(self._store.begin_life, self.own)
        if self._store.shared:
            await self._beat()
        await self.look()
        for one in self.others:
            if one.address and one.address == self.own.address:
                log.warning("%s is reached at %s, too: set `address` in [controllers]", one.name, one.address)
            if one.home == self.own.home:
                log.warning("%s has this controller's identity: was this machine copied? then remove `home`", one.name)
        if self._store.shared:
            for every_s, work, name in ((BEAT_EVERY_S, self._beat, "beat"), (LOOK_EVERY_S, self.look, "look")):
                self._work.append(asyncio.create_task(self._every(every_s, work, name), name=f"member: {name}"))

    async def close(self, why: str) -> None:
        """End this life."""
        for work in self._work:
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        with wall(log, "the end of this controller's life"), contextlib.suppress(Deposed):  # others have ended it
            await self._store.end_life(self.own.life, why, self._clock.now())

    async def _every(self, every_s: float, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        while True:
            try:
                with wall(log, name):  # what is the registry's trouble the others see, too, or end this life
                    await work()
            except Deposed:
                log.critical("this controller's life was ended in the registry: it ends at once")
                self.deposed()
            await asyncio.sleep(every_s)

    async def _beat(self) -> None:
        began = self._clock.monotonic()
        try:
            at = await self._store.beat(self.own.life, self._clock.now())
        except RegistryUnusable:
            # Whoever cannot write knows nothing of others, who perhaps cannot either: a server whose disk is full, or
            # a table that somebody else has locked, still tells which beats there were.
            self._watch.forget()
            raise
        self.told_time(at, began, self._clock.monotonic())

    async def look(self) -> None:
        """See who lives; end who does not; lead where nobody does."""
        asked = self._clock.monotonic()
        alive, lead = await self._store.lives()
        dead = set()
        for one in self._watch.look(alive, asked, self._clock.monotonic()):
            if await self._bury(one):
                dead.add(one.life)
        living = {one.life: one for one in alive if one.life not in dead}
        if self.own.life not in living:
            raise Deposed(self.own.life)
        self._me = living[self.own.life]
        if lead is not None and lead.life in living:
            self._nobody_since = None
        elif await self._may_lead(living):
            lead = await self._take(lead)
        self._know({life: one for life, one in living.items() if life != self.own.life}, lead)

    async def _bury(self, one: Replica) -> bool:
        """Whether it is dead from now on. Else it has said something since, or a transaction holds its row.

        That may be one of its own, or of somebody who looked at the database and forgot about it: it lives on then.
        """
        now, why = self._clock.now(), f"not heard for {DEAD_AFTER_S:g} s: dead, frozen or cut off"
        text = f"controller {one.name} was {why}; {self.own.name} has ended its life"
        entry = Entry(now, WHO, "controller ended", one.name, "done", detail={"life": one.life, "by": self.own.name})
        told = [Event("controller", one.name, text, now)]
        done = await self._store.bury(one.life, one.beat, why, now, told=told, entry=entry)
        if done:
            log.warning("%s", text)
        else:
            log.info("controller %s was %s; its life goes on, as a transaction holds its row", one.name, why)
        return done

    async def _may_lead(self, living: dict[str, Replica]) -> bool:
        """One that drains leads only where nobody else can; one that is outdone, where nobody else did at once."""
        others = [life for life, one in living.items() if one.takes_part and life != self.own.life]
        now = self._clock.monotonic()
        if self._nobody_since is None:
            self._nobody_since = now
        if not self._me.takes_part:
            return self._me.naming and not others
        waited = now - self._nobody_since >= OTHERS_FIRST_S
        return waited or not others or not await self.outdone(others)

    async def _take(self, before: Lead | None) -> Lead | None:
        now = self._clock.now()
        told = [Event("controller", self.own.name, f"controller {self.own.name} leads", now)]
        taken = await self._store.lead(self.own.life, now, told=told if self._store.shared else ())
        return taken if taken is not None else before

    def _know(self, others: dict[str, Replica], lead: Lead | None) -> None:
        if self.leads and (lead is None or lead.life != self.own.life):
            # After a failover to a server that had not all of it: another one may lead.
            log.critical("the registry has lost that this controller leads")
            raise Deposed(self.own.life)
        led, news = self.leads, (others.keys(), lead) != (self._others.keys(), self._lead)
        self._others, self._lead = others, lead
        if self.leads and not led:
            log.info("this controller leads (term %d)", lead.term if lead is not None else 0)
            self.lead_begins()
        if news:
            self._tell()

    def acts(self) -> None:
        """It leads, and what it observes and does has begun: it answers."""
        self.acting = True
        self._tell()

    def _tell(self) -> None:
        for waiting in self._news:
            waiting.set()

    async def news(self, limit_s: float | None = None) -> None:
        """Wait until something is new: who leads, who lives, whether it acts. Or for so long."""
        waiting = asyncio.Event()
        self._news.add(waiting)
        try:
            async with asyncio.timeout(limit_s):
                await waiting.wait()
        except TimeoutError:
            return
        finally:
            self._news.discard(waiting)
