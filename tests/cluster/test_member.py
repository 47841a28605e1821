"""A controller among several: what it does when the registry forgets that it leads, or takes nothing from anybody."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster.watchers import Clock
from vmctl.cluster.member import Member
from vmctl.decide.lives import DEAD_AFTER_S
from vmctl.errors import RegistryUnusable
from vmctl.model.replicas import Lead, Replica
from vmctl.ports import SYSTEM, Parts
from vmctl.services.claims import Deposed
from vmctl.store import rules
from vmctl.store.memory import MemoryStore

OWN = Replica("own", "kvm1", "home-1", "0.1", 1.0)
OTHER = Replica("other", "kvm2", "home-2", "0.1", 1.0)


class Store(MemoryStore):
    """One that several share, and that may take nothing."""

    shared = True
    full = False

    async def beat(self, life: str, now: float) -> float:
        """Where it is full, nobody beats."""
        if self.full:
            raise RegistryUnusable("its disk is full")
        return await super().beat(life, now)


@pytest.fixture
async def store() -> Store:
    made = Store()
    for one in (OWN, OTHER):
        await made.put(one)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def member(store: Store, clock: Clock) -> Member:
    made = Member(store, OWN, Parts(clock, SYSTEM.ids, SYSTEM.threads))
    await made.look()
    assert made.leads
    return made


@pytest.mark.parametrize("lead", [None, Lead(rules.LEAD, "other", 1, 1.0), Lead(rules.LEAD, "other", 2, 1.0)])
async def test_one_of_whose_lead_the_registry_knows_nothing_ends(
    store: Store, member: Member, lead: Lead | None
) -> None:
    """After a failover to a server that had not all of it. Another one may lead: two would act."""
    store._kept[Lead].clear()
    if lead is None:
        store._kept[Replica]["third"] = replace(OTHER, life="third", home="home-3")
        lead = Lead(rules.LEAD, "third", 7, 1.0)
    await store.put(lead)
    with pytest.raises(Deposed):
        await member.look()


async def test_nobody_is_dead_of_whom_the_registry_takes_nothing(store: Store, member: Member, clock: Clock) -> None:
    """It still tells which beats there were: its disk is full, or a table is locked."""
    store.full = True
    for _ in range(60):
        clock.at += 1.0
        with pytest.raises(RegistryUnusable):
            await member._beat()
        await member.look()
    store.full = False
    await member._beat()
    assert {one.life for one in (await store.lives())[0]} == {"own", "other"}
    for waited_s in range(2, int(DEAD_AFTER_S) + 2):  # a second of the last look's counts
        clock.at += 1.0
        await member._beat()
        await member.look()
        assert waited_s >= DEAD_AFTER_S or {one.life for one in (await store.lives())[0]} == {"own", "other"}
    assert [one.life for one in (await store.lives())[0]] == ["own"], "it says nothing, and could"


async def test_one_whose_row_somebody_holds_lives_on(store: Store, member: Member, clock: Clock) -> None:
    """Its life could not be ended: what is asked is passed on to it as before."""
    held = [True]
    bury = store.bury

    async def bury_or_not(*words: Any, **more: Any) -> bool:
        return not held[0] and await bury(*words, **more)

    store.bury = bury_or_not  # type: ignore[method-assign]
    for _ in range(30):
        clock.at += 1.0
        await member._beat()
        await member.look()
        assert [one.life for one in member.others] == ["other"]
    held[0] = False
    clock.at += 1.0
    await member.look()
    assert not member.others


# -- who leads next


async def always(_lives: Collection[str]) -> bool:
    """Others reach hosts, and this one none."""
    return True


async def test_one_that_reaches_no_host_leads_where_nobody_else_did_at_once(store: Store, clock: Clock) -> None:
    made = Member(store, OWN, Parts(clock, SYSTEM.ids, SYSTEM.threads))
    made.outdone = always
    for _ in range(3):
        await made.look()
        assert not made.leads
        clock.at += 1.0
    await made.look()
    assert made.leads


async def test_it_waits_for_nobody_where_it_is_alone(store: Store, clock: Clock) -> None:
    await store.end_life("other", "killed", 2.0)
    made = Member(store, OWN, Parts(clock, SYSTEM.ids, SYSTEM.threads))
    made.outdone = always
    await made.look()
    assert made.leads


async def test_it_waits_anew_when_somebody_has_led_meanwhile(store: Store, clock: Clock) -> None:
    made = Member(store, OWN, Parts(clock, SYSTEM.ids, SYSTEM.threads))
    made.outdone = always
    await made.look()
    await store.lead("other", 3.0)
    clock.at += 5.0
    await made.look()
    await store.end_life("other", "killed", 4.0)
    await store.put(replace(OTHER, life="third"))
    clock.at += 1.0
    await made.look()
    assert not made.leads
