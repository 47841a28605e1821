"""`why` tells what was done; what was decided and came to nothing is told as that."""

from __future__ import annotations

import pytest

from tests.act.hosts import UUID
from vmctl.act.decided import about
from vmctl.model.records import DecisionRecord, Task, TaskState
from vmctl.services import Services


async def decide(services: Services, host: str, at: float, state: TaskState, error: str = "") -> None:
    """A placement, and how its task ended."""
    number = await services.store.add(Task(0, "migrate", "web1", at))
    await services.store.end_task(number, state=state, error={"message": error} if error else {})
    await services.store.add(DecisionRecord("migrate", UUID, f"{host} is best", at, None, host, {"task": number}))


@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.CANCELLED])
async def test_what_came_to_nothing_is_no_reason(services: Services, state: TaskState) -> None:
    await decide(services, "kvm1", 10.0, TaskState.DONE)
    await decide(services, "kvm2", 20.0, state, "no route")
    done, undone = await about(services.store, await services.store.vm(UUID), None)
    assert done is not None and done.host == "kvm1"
    assert [(one.why, one.error) for one in undone] == [("kvm2 is best", "no route")]
    done, undone = await about(services.store, await services.store.vm(UUID), 15.0)
    assert done is not None and undone == []


async def test_of_a_vm_that_never_got_a_place_only_the_tries_are_told(services: Services) -> None:
    await decide(services, "kvm1", 10.0, TaskState.FAILED, "no host fits")
    done, undone = await about(services.store, await services.store.vm(UUID), None)
    assert done is None and len(undone) == 1


async def test_a_decision_about_an_earlier_vm_of_this_name_is_not_its_own(services: Services) -> None:
    await services.store.add(DecisionRecord("create", "web1", "kvm9 is best", -5.0, None, "kvm9"))
    assert await about(services.store, await services.store.vm(UUID), None) == (None, [])
    await services.store.add(DecisionRecord("create", "web1", "kvm1 is best", 2.0, None, "kvm1"))
    done, _ = await about(services.store, await services.store.vm(UUID), None)
    assert done is not None and done.host == "kvm1", "as earlier versions kept them"
