"""Which moves of a plan wait for which, and what a plan waits for."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tests.act.crash import job_again, new_job, to_its_end
from tests.act.hosts import UUID, FakeHost
from vmctl.act.plans import Plans, leave_first
from vmctl.decide import asked
from vmctl.model.plans import Move, Plan
from vmctl.model.records import HostRecord, Task, TaskState, VMRecord
from vmctl.model.rights import Principal
from vmctl.ports.store import Store
from vmctl.services import Services, observe
from vmctl.tasks import Tasks


def test_a_move_waits_for_room_and_for_its_own_vm() -> None:
    ways = [("parked", "kvm1", "kvm3"), ("big", "kvm2", "kvm1"), ("parked", "kvm3", "kvm2"), ("other", "kvm4", "kvm5")]
    plan = Plan(tuple(Move(vm, source, target, "") for vm, source, target in ways), "")
    assert [leave_first(plan, number) for number in range(4)] == [[], [0], [0, 1], []]


class Waiting:
    """Tasks that end when they are waited for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.waited: list[int] = []
        self.cancelled: list[int] = []

    async def cancel(self, number: int, _who: Principal) -> Task:
        self.cancelled.append(number)
        return await self._store.get(Task, number)

    async def wait(self, number: int) -> Task:
        self.waited.append(number)
        await self._store.end_task(number, state=TaskState.DONE)
        return await self._store.get(Task, number)


async def test_a_drain_that_is_taken_over_waits_for_the_moves_of_its_predecessor(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for one that holds no VM yet: planned once more, it would be refused as busy."""
    tasks, waited_when_planned = Waiting(services.store), []

    def nothing(*_: Any) -> Plan:
        waited_when_planned.extend(tasks.waited)
        return Plan((), "nothing to do")

    monkeypatch.setattr(asked, "plan_drain", nothing)
    monkeypatch.setattr(observe, "FIRST_LOAD_S", 0.0)
    drain = await new_job(services, "drain", "kvm1", host="kvm1")
    move = {"vm": UUID, "to": "kvm2"}
    begun = await new_job(services, "migrate", "web1", **move, parent=drain.id)
    holds = await new_job(services, "stop", "web1", vm=UUID)
    await new_job(services, "migrate", "web1", **move)  # somebody's
    await services.store.claim(await services.store.vm(UUID), holds.id)
    plans = Plans(services, cast(Tasks, tasks))
    assert await to_its_end(services, lambda _, job: plans.drain(job), drain) == "done"
    assert sorted(waited_when_planned) == [begun.id, holds.id]


async def test_a_drain_that_is_taken_over_and_cancelled_cancels_the_moves_of_its_predecessor(
    services: Services, kvm1: FakeHost
) -> None:
    tasks = Waiting(services.store)
    drain = await new_job(services, "drain", "kvm1", host="kvm1")
    begun = await new_job(services, "migrate", "web1", vm=UUID, to="kvm2", parent=drain.id)

    async def until_cancelled(number: int) -> Task:
        drain.cancel_asked.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    tasks.wait = until_cancelled  # type: ignore[method-assign]
    plans = Plans(services, cast(Tasks, tasks))
    assert (await to_its_end(services, lambda _, job: plans.drain(job), drain)).endswith("was cancelled")
    assert tasks.cancelled == [begun.id]


async def test_a_drain_that_is_taken_over_counts_what_has_left_and_heeds_an_undrain(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "plan_drain", lambda *_: Plan((), "nothing to do"))
    monkeypatch.setattr(observe, "FIRST_LOAD_S", 0.0)
    await services.store.change(VMRecord, UUID, host="kvm2")  # the predecessor's first move
    plans = Plans(services, cast(Tasks, Waiting(services.store)))
    for undrained, said in ((False, "done"), (True, "was cancelled")):
        drain = await new_job(services, "drain", "kvm1", host="kvm1")
        moves = [[UUID, "web1", "kvm1", "kvm2"], ["gone", "gone1", "kvm1", "kvm2"]]
        await services.store.change(Task, drain.id, journal={"begun": True, "moves": moves}, cancel_asked=undrained)
        outcome = await to_its_end(services, lambda _, job: plans.drain(job), await job_again(services, drain.id))
        assert outcome.endswith(said)
        assert not (await services.store.get(HostRecord, "kvm1")).draining, "the mark is not set a second time"
    assert [event.text for event in await services.store.events()] == ["kvm1 is drained: 1 VMs left it"]


async def test_a_move_of_a_plan_that_was_cancelled_is_not_begun(services: Services, kvm1: FakeHost) -> None:
    drain, ended = await new_job(services, "drain", "kvm1", host="kvm1"), [asyncio.Event()]
    drain.cancel_asked.set()
    plan = Plan((Move("web1", "kvm1", "kvm2", "", uuid=UUID),), "one move")
    plans = Plans(services, cast(Tasks, Waiting(services.store)))
    assert await plans._move(drain, plan, 0, ended, []) == ("web1: not begun, as asked", False)
    assert ended[0].is_set(), "who waits for it goes on"
