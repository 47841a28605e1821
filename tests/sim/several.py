"""Several controllers on one registry, in a simulated cluster: each may die, stand still, or be cut off from it.

A client asks whichever one leads, as the ones that do not lead would for him: with a key, so that what is asked again
is done once.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sim.cluster import STORE_S, WRITES, Cluster, SimLink, ToldStore
from tests.sim.life import WHOSE, Life, Mortal
from vmctl.cluster.controller import Controller
from vmctl.cluster.member import Member
from vmctl.commands import catalogue
from vmctl.door.how import How
from vmctl.errors import RegistryUnusable, VmctlError
from vmctl.model.records import Task
from vmctl.model.replicas import Lead, Replica
from vmctl.model.rights import LOCAL_USER
from vmctl.model.watching import HostWatch
from vmctl.services import Services
from vmctl.services.claims import Deposed
from vmctl.services.sessions import Sessions

NAMES = "abc"
PLANS = {"drain", "rebalance"}  # kinds of commands that give others
KINDS = {command.arguments: kind for kind, command in catalogue.tasks().items()}
PATIENCE_S, LOOK_S = 20.0, 0.3  # of a client, until somebody leads
AGAIN_S = 1.0  # after which one whose life was ended begins another
SHARED_WRITES = WRITES | {
    *("beat", "lead", "bury", "end_life", "keep_session", "share_out", "report", "take_machines", "leave_machines"),
}
# Whose life has ended may still say so, and is told
NOT_FENCED = {"end_life", "bury", "beat", "begin_life"}


class SharedStore(ToldStore):
    """The registry that all of them have."""

    shared = True

    def check_of(self, one: One) -> Callable[[str], Exception | None]:
        """What befalls a call of one of them, which may be cut off, or have lost its life."""
        life = one.life_id

        def check(name: str) -> Exception | None:
            if one.severed:
                raise RegistryUnusable("the registry does not answer")
            if name in SHARED_WRITES - NOT_FENCED and self._ended(life):
                raise Deposed(life)
            if name in SHARED_WRITES - WRITES:
                fate = self.fates.draw("registry", name)
                if self.full or fate == "refused":
                    raise RegistryUnusable("the registry's disk is full")
                return RegistryUnusable("the registry gave no answer") if fate == "unanswered" else None
            return self.check(name)

        return check

    def _ended(self, life: str) -> bool:
        found = self._find(Replica, life)
        return found is not None and found.ended_at is not None


class SimMember(Member):
    """A member whose end is the simulated process's."""

    ends: Callable[[], None]

    @property
    def deposed(self) -> Callable[[], None]:
        """What a process does whose life others have ended."""
        return self.ends

    @deposed.setter
    def deposed(self, _call: Callable[[], None]) -> None:
        return


@dataclass
class One:
    """A controller's machine, and whatever runs there now."""

    name: str
    life: Life | None = None
    life_id: str = ""
    controller: Controller | None = None
    member: SimMember | None = None
    severed: bool = False
    frozen: bool = False
    coming: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self.life is not None and self.life.alive

    @property
    def acting(self) -> bool:
        """Whether it leads, has begun, and goes on."""
        return self.alive and not self.frozen and self.member is not None and self.member.acting


class Several(Cluster):
    """Everything of one run with several controllers."""

    def __init__(self, seed: int, controllers: int) -> None:
        super().__init__(seed)
        self.store: SharedStore = SharedStore(self.world, self.clock)
        self.all = [One(name) for name in NAMES[:controllers]]
        self._over = False
        self.given: Counter[str] = Counter()  # commands, by their kinds

    # -- which of them

    def leading(self) -> One | None:
        """The one that leads, as the registry has it."""
        lead = next(iter(self.store._all(Lead)), None)
        return next((one for one in self.all if lead is not None and one.life_id == lead.life), None)

    def named(self, which: str) -> One | None:
        """The leader, another one, or one by its name."""
        leader = self.leading()
        if which == "leader":
            return leader
        if which == "other":
            return next((one for one in self.all if one is not leader and one.alive), None)
        return next((one for one in self.all if one.name == which), None)

    @property
    def running(self) -> bool:
        """Whether any of them lives."""
        return any(one.alive for one in self.all)

    # -- what befalls them

    async def start(self, killed_at: int | None = None) -> None:
        """Those that are down come up, one after the other; `killed_at`: the step at which the first of them dies."""
        for one in self.all:
            if not one.alive:
                await self._up(one, killed_at)
                killed_at = None
        self._choose()

    def _choose(self) -> None:
        """The one whose steps are counted: whoever leads."""
        one = self.leading() or self.all[0]
        self.life, self.controller = one.life, one.controller

    async def _up(self, one: One, killed_at: int | None = None) -> None:
        one.life = life = Life()
        one.frozen, one.controller, one.member = False, None, None
        self.lives.append(life)
        if killed_at is not None:
            life.after(killed_at, life.end)
        token = WHOSE.set(life)
        try:
            await asyncio.create_task(self._begin_one(one, life))
        except asyncio.CancelledError:
            if life.alive:
                raise
            self.world.log(f"{one.name} was killed while it started")
        except RegistryUnusable as err:
            life.end()
            self._come_again(one, err.message)
        finally:
            WHOSE.reset(token)

    async def _begin_one(self, one: One, life: Life) -> None:
        one.life_id = f"{one.name}-{self.world.new_uuid()}"
        store: Any = Mortal(self.store, life, STORE_S, self.store.check_of(one))
        services = Services(
            store,
            self.settings,
            Path("/nonexistent"),
            (),
            parts=self.parts,
            make_link=lambda record, *given: SimLink(self, life, record, *given),
            read_key=self._read_key,
        )
        services.sessions = Sessions(store, one.life_id, self.clock)
        services.incarnations.keeper = one.life_id
        own = Replica(one.life_id, one.name, one.name, "sim", self.clock.now(), address=one.name)
        one.member = SimMember(store, own, self.parts)
        one.member.ends = lambda: self._ends(one, life)
        one.controller = Controller(services, member=one.member)
        await one.controller.start()

    def _ends(self, one: One, life: Life) -> None:
        """Its life was ended in the registry: the process ends at once, and its unit begins another one."""
        life.end()
        self._come_again(one, "its life was ended")
        life.check()

    def _come_again(self, one: One, why: str) -> None:
        if self._over:
            return
        self.world.log(f"{one.name} ends: {why}")

        async def again() -> None:
            await asyncio.sleep(AGAIN_S)
            if not one.alive and not self._over:
                await self._up(one)

        task = self.loop.create_task(again(), context=contextvars.Context())
        one.coming.add(task)
        task.add_done_callback(one.coming.discard)

    def die(self, which: str) -> None:
        """kill -9 of one of them; it stays away until somebody begins it."""
        if (one := self.named(which)) is not None and one.life is not None and one.alive:
            self.thaw(one.name)
            for task in one.coming:
                task.cancel()
            self.steps += one.life.steps
            one.life.end()

    def freeze(self, which: str) -> None:
        """It stands still."""
        if (one := self.named(which)) is not None and one.life is not None and one.alive and not one.frozen:
            one.frozen = True
            self.loop.freeze(one.life)

    def thaw(self, which: str = "") -> None:
        """It goes on, or all of them do."""
        for one in self.all:
            if one.frozen and one.life is not None and which in ("", one.name):
                one.frozen = False
                self.loop.thaw(one.life)

    def sever(self, which: str) -> None:
        """It does not reach the registry any more."""
        if (one := self.named(which)) is not None:
            one.severed = True

    def drain(self, which: str, *, on: bool) -> None:
        """An admin wants it to have no part, or lets all have theirs."""
        one = self.named(which)
        for some in [one] if on else self.all:
            if some is not None and self.store._find(Replica, some.life_id) is not None:
                self.store._change(Replica, some.life_id, {"draining": on})

    def join(self) -> None:
        """All of them reach it again."""
        for one in self.all:
            one.severed = False

    async def kill(self) -> None:
        """kill -9 of all of them."""
        self._over = True
        self.thaw()
        await super().kill()
        for one in self.all:
            for task in list(one.coming):
                task.cancel()
        self._over = False

    async def all_well(self) -> None:
        """Nothing befalls them any more, and one of them leads."""
        self.thaw()
        self.join()
        self.drain("", on=False)
        for life in self.lives:
            life.befalls.clear()
        await self.start()
        deadline = self.world.now + 120.0
        while not any(one.acting for one in self.all):
            if self.world.now > deadline:
                self.world.broken.append("nobody leads, though all is well")
                return
            await asyncio.sleep(LOOK_S)

    # -- clients

    async def give(self, asked: Any) -> Any:
        """What a client hears; None, and a line that says why, where it hears no yes."""
        how, deadline = How(key=f"{self.world.random.getrandbits(64):016x}"), self.world.now + PATIENCE_S
        self.given[KINDS.get(type(asked), "")] += 1
        while self.world.now < deadline:
            one = self.leading()
            if one is not None and one.acting and not self.store._ended(one.life_id):
                heard, answer = await self._ask(one, asked, how)
                if heard:
                    return answer
                deadline = self.world.now + PATIENCE_S
            await asyncio.sleep(LOOK_S)
        self.world.log("  no controller leads")
        return None

    async def _ask(self, one: One, asked: Any, how: How) -> tuple[bool, Any]:
        """Whether one of them answered, and what."""
        assert one.life is not None and one.controller is not None
        life, life_id = one.life, one.life_id
        token = WHOSE.set(life)
        try:
            work = asyncio.create_task(one.controller.door.ask(asked, LOCAL_USER, how))
        finally:
            WHOSE.reset(token)
        while not work.done():
            await asyncio.wait({work}, timeout=LOOK_S)
            if not work.done() and (not life.alive or self.store._ended(life_id)):
                return False, None  # whoever leads next is asked; this one may still do it
        try:
            return True, work.result()
        except (asyncio.CancelledError, Deposed):
            return False, None
        except VmctlError as err:
            self.world.log(f"  not accepted: {err.message}")
            return True, None

    # -- the truth

    async def untrue(self) -> list[str]:
        """The same, and of the controllers themselves."""
        found = await super().untrue()
        begun = Counter(task.kind for task in await self.store.all(Task) if task.who == LOCAL_USER.name)
        found += [
            f"{count} tasks {kind}, and {self.given[kind]} were asked for"
            for kind, count in begun.items()
            if count > self.given[kind] and not (kind == "migrate" and self.given.keys() & PLANS)
        ]
        living = {one.life_id for one in self.all if one.alive}
        known = {one.life for one in await self.store.all(Replica) if one.ended_at is None}
        if living != known:
            found.append(f"the lives {sorted(living)} go on, and in the registry {sorted(known)}")
        acting = [one.name for one in self.all if one.acting]
        if len(acting) != 1:
            found.append(f"{acting or 'nobody'} act")
        found += [
            f"{one.host} is watched by {one.life}, which has ended"
            for one in await self.store.all(HostWatch)
            if one.life not in living
        ]
        return found
