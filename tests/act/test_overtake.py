"""`stop --force` ends a stop that still waits for the guest, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.act.hosts import UUID
from vmctl.act.overtake import overtake_stop
from vmctl.commands.vms import Migrate, Stop
from vmctl.model.records import TaskState
from vmctl.model.rights import Principal
from vmctl.services import Services
from vmctl.tasks import AnyJob, Tasks


@pytest.mark.parametrize(("kind", "state"), [("stop", TaskState.CANCELLED), ("migrate", TaskState.RUNNING)])
async def test_only_a_stop_gives_way(services: Services, kind: str, state: TaskState) -> None:
    holds = asyncio.Event()

    async def waits(job: AnyJob) -> dict[str, Any]:
        await services.store.claim(await services.store.vm(UUID), job.id)
        holds.set()
        while True:
            job.check_cancelled()
            await asyncio.sleep(0.01)

    tasks = Tasks(services.store)
    tasks.handlers[kind] = waits
    asked = {"stop": Stop, "migrate": Migrate}[kind](UUID)
    task = await tasks.submit(asked, Principal("me"), "web1")
    async with asyncio.timeout(10):
        await holds.wait()
        await overtake_stop(services.store, tasks, await services.store.vm(UUID), Principal("me"))
        job = tasks.live(task.id)
        assert (job.state if job else (await tasks.wait(task.id)).state) is state
    await tasks.close()
