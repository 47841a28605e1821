"""VMs that a task holds which the registry does not have, as after somebody has changed it by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.act.hosts import UUID
from vmctl.act.unheld import free_unheld
from vmctl.model.records import Event, Task, TaskState, VMRecord
from vmctl.services import Services


async def hold(services: Services, **more: Any) -> int:
    """A task that holds the VM, in the middle of a migration."""
    task = await services.store.add(Task(0, "migrate", "web1", 1.0, state=TaskState.RUNNING))
    await services.store.change(VMRecord, UUID, task=task, moving_to="kvm2", copying=True, **more)
    return task


async def look(services: Services, *going_on: int) -> None:
    """As is done every few seconds."""
    await free_unheld(services, await services.store.all(VMRecord), going_on)


async def test_one_whose_task_is_gone_is_free_and_that_is_told_once(services: Services) -> None:
    task = await hold(services, may_run_on={"kvm1": "machine-kvm1", "kvm2": "machine-kvm2"})
    before = await services.store.vm(UUID)
    await services.store.remove(Task, task)
    for _ in range(2):
        await look(services)
    after = await services.store.vm(UUID)
    assert (after.task, after.moving_to, after.copying) == (None, "", False)
    assert (after.host, after.power, after.may_run_on) == (before.host, before.power, before.may_run_on)
    [event] = [event for event in await services.store.all(Event) if event.kind == "freed"]
    assert f"web1 was held by task {task}" in event.text and event.uuid == UUID


async def test_one_whose_task_has_ended_by_hand_is_free(services: Services) -> None:
    task = await hold(services)
    await services.store.change(Task, task, state=TaskState.FAILED)
    await look(services)
    assert (await services.store.vm(UUID)).task is None


async def test_one_that_an_open_task_holds_stays_held(services: Services) -> None:
    task = await hold(services)
    await look(services)
    assert (await services.store.vm(UUID)).task == task


async def test_one_whose_task_goes_on_here_is_not_asked_for(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As is so nearly always: then the registry is not asked for anything."""
    task = await hold(services)
    monkeypatch.delattr(type(services.store), "open_tasks")
    await look(services, task)
    assert (await services.store.vm(UUID)).task == task


async def test_one_that_is_taken_meanwhile_stays_held(services: Services) -> None:
    """By a task that was accepted after both were read."""
    gone = 999
    await services.store.change(VMRecord, UUID, task=gone)
    open_tasks = services.store.open_tasks

    async def and_it_is_taken() -> list[Task]:
        found = await open_tasks()
        await services.store.change(VMRecord, UUID, task=None)
        await hold(services)
        return found

    services.store.open_tasks = and_it_is_taken  # type: ignore[method-assign]
    await look(services)
    assert (await services.store.vm(UUID)).task not in (None, gone)
