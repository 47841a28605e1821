"""Routes: the cluster as a whole: top, plans, tasks, events, schedules."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from vmctl import __version__
from vmctl.act import plans, record
from vmctl.api import hosts, requests, views, vms
from vmctl.api.shared import Now, submit
from vmctl.observe import observe
from vmctl.records import Schedule, Task
from vmctl.tasks import as_json

router = APIRouter()


@router.get("/about")
async def about(controller: Now) -> dict[str, Any]:
    """Who answers."""
    return {"version": __version__, "pid": os.getpid(), "hosts": len(controller.world.links)}


@router.get("/top")
async def top(controller: Now) -> dict[str, Any]:
    """Hosts, VMs and the score at one moment."""
    summary = views.top(controller.world, await observe(controller.world))
    return summary | {"hosts": await hosts.list_hosts(controller), "vms": await vms.list_vms(controller)}


@router.get("/rebalance")
async def plan_rebalance(controller: Now) -> dict[str, Any]:
    """What a rebalance would do now."""
    return record.plan_json(await plans.plan_rebalance(controller.world, "local user"))


@router.post("/rebalance", status_code=202)
async def rebalance(controller: Now) -> dict[str, Any]:
    """Do it."""
    return await submit(controller, "rebalance", "cluster")


@router.get("/tasks")
async def list_tasks(controller: Now, most: int = 50) -> list[dict[str, Any]]:
    """The newest tasks, oldest first."""
    found = await controller.world.store.tasks(min(most, 500))
    return [as_json(task, controller.tasks.live(task.id)) for task in found]


@router.get("/tasks/{number}")
async def show_task(controller: Now, number: int) -> dict[str, Any]:
    """One task."""
    return as_json(await controller.world.store.get(Task, number), controller.tasks.live(number))


@router.get("/tasks/{number}/follow")
async def follow_task(controller: Now, number: int) -> StreamingResponse:
    """The task as JSON lines, until it has ended."""
    await controller.world.store.get(Task, number)

    async def lines() -> AsyncIterator[str]:
        async for state in controller.tasks.follow(number):
            yield json.dumps(state) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.post("/tasks/{number}/cancel", status_code=202)
async def cancel_task(controller: Now, number: int) -> dict[str, Any]:
    """Ask it to stop."""
    return as_json(await controller.tasks.cancel(number), controller.tasks.live(number))


@router.get("/events")
async def events(controller: Now, after: int = 0, most: int = 100) -> list[dict[str, Any]]:
    """Events with a number above `after`."""
    return [asdict(event) for event in await controller.world.store.events(after, min(most, 500))]


@router.get("/schedules")
async def schedules(controller: Now) -> list[dict[str, Any]]:
    """What runs by the clock."""
    return [asdict(schedule) for schedule in await controller.world.store.all(Schedule)]


@router.put("/schedules/{name}")
async def set_schedule(controller: Now, name: str, asked: requests.ScheduleSet) -> dict[str, Any]:
    """Schedule a job."""
    return asdict(await controller.scheduler.set(name, asked.cron, asked.mode))


@router.delete("/schedules/{name}")
async def remove_schedule(controller: Now, name: str) -> dict[str, str]:
    """Take a schedule away."""
    await controller.scheduler.remove(name)
    return {"schedule": name}
