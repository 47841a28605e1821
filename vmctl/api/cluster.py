"""Routes: the cluster as a whole: top, plans, tasks, events, schedules."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from vmctl import __version__, snapshot
from vmctl.act import plans, power
from vmctl.api import hosts, requests, views, vms
from vmctl.api.shared import Now, submit
from vmctl.decide.capacity import capacity
from vmctl.decide.reboots import reboots
from vmctl.decisions import plan_json
from vmctl.errors import Usage
from vmctl.hosts.history import PERIODS_S
from vmctl.model import Budget
from vmctl.observe import observe
from vmctl.records import HostRecord, Schedule, Task
from vmctl.schedules import next_run
from vmctl.sizes import parse
from vmctl.tasks import as_json

router = APIRouter()


@router.get("/about")
async def about(controller: Now) -> dict[str, Any]:
    """Who answers."""
    return {"version": __version__, "pid": os.getpid(), "hosts": len(controller.world.links)}


@router.get("/top")
async def top(controller: Now) -> dict[str, Any]:
    """Hosts, VMs and the score at one moment."""
    seen = await observe(controller.world)
    shown = {"hosts": await hosts.shown(controller, seen), "vms": await vms.shown(controller, seen)}
    return views.top(controller.world, seen) | shown


@router.get("/history/{kind}/{name}")
async def history(
    controller: Now, kind: Literal["host", "vm"], name: requests.Part, since_s: requests.Moment = 900.0
) -> dict[str, Any]:
    """A host's or VM's load: points of the last quarter of an hour, and means of 1 and 10 minutes further back.

    CPU in cores, memory in MiB; `since_s` seconds back from now.
    """
    store, since = controller.world.store, time.time() - since_s
    key = (await store.get(HostRecord, name)).name if kind == "host" else (await store.vm(name)).uuid
    subject = f"{kind}/{key}"
    means = {str(period): await store.means(subject, period, since) for period in PERIODS_S}
    return {
        "points": [{"at": at, **values} for at, values in controller.world.loads.points(subject, since)],
        "means": {period: [{"at": mean.at, **mean.values} for mean in found] for period, found in means.items()},
    }


@router.get("/snapshot")
async def save_snapshot(controller: Now) -> Response:
    """The cluster now and the policy, as a snapshot file holds them."""
    text = snapshot.save(await power.measured(controller.world), controller.world.policy)
    return Response(text, media_type="application/json")


@router.get("/rebalance")
async def plan_rebalance(controller: Now, asked: Annotated[requests.Spend, Query()]) -> dict[str, Any]:
    """What a rebalance would do now."""
    budget = Budget(**asked.given())
    return plan_json(await plans.plan_rebalance(controller.world, "local user", budget, keep=False))


@router.get("/rebalance/curve")
async def plan_curve(controller: Now) -> list[dict[str, Any]]:
    """The best plans for 1, 2, 4, ... moves."""
    return [plan_json(plan) for plan in await plans.plan_curve(controller.world)]


@router.post("/rebalance", status_code=202)
async def rebalance(controller: Now, asked: requests.Spend) -> dict[str, Any]:
    """Do it."""
    return await submit(controller, "rebalance", "cluster", **asked.given())


@router.get("/capacity")
async def show_capacity(controller: Now, size: Annotated[list[str] | None, Query()] = None) -> dict[str, Any]:
    """What more fits, what could be lost and what to buy; `size` as 2c/4G, as often as wanted."""
    try:
        sizes = parse(size or ())
    except ValueError as err:
        raise Usage(str(err)) from err
    cluster = await power.measured(controller.world)
    return asdict(await asyncio.to_thread(capacity, cluster, controller.world.policy, sizes))


@router.get("/reboot-plan")
async def plan_reboots(controller: Now) -> dict[str, Any]:
    """Which hosts can be rebooted at once, after which moves."""
    cluster = await power.measured(controller.world)
    return asdict(await asyncio.to_thread(reboots, cluster, controller.world.policy))


@router.get("/tasks")
async def list_tasks(controller: Now, most: requests.Most = 50) -> list[dict[str, Any]]:
    """The newest tasks, oldest first."""
    found = await controller.world.store.tasks(most)
    resumable = controller.tasks.resumable
    return views.each(
        found, lambda task: as_json(task, controller.tasks.live(task.id)) | {"resumes": task.kind in resumable}
    )


@router.get("/tasks/{number}")
async def show_task(controller: Now, number: requests.Number) -> dict[str, Any]:
    """One task; one about hosts with the doctor's report."""
    task = await controller.world.store.get(Task, number)
    report = {"report": task.journal["report"]} if "report" in task.journal else {}
    return as_json(task, controller.tasks.live(number)) | report


@router.get("/tasks/{number}/follow")
async def follow_task(controller: Now, number: requests.Number) -> StreamingResponse:
    """The task as JSON lines, until it has ended."""
    await controller.world.store.get(Task, number)

    async def lines() -> AsyncIterator[str]:
        async for state in controller.tasks.follow(number):
            yield json.dumps(state) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.post("/tasks/{number}/cancel", status_code=202)
async def cancel_task(controller: Now, number: requests.Number) -> dict[str, Any]:
    """Ask it to stop."""
    return as_json(await controller.tasks.cancel(number), controller.tasks.live(number))


@router.get("/events")
async def events(controller: Now, after: requests.After = 0, most: requests.Most = 100) -> list[dict[str, Any]]:
    """Events with a number above `after`."""
    return views.each(await controller.world.store.events(after, most), asdict)


@router.get("/schedules")
async def schedules(controller: Now) -> list[dict[str, Any]]:
    """What runs by the clock."""
    return views.each(await controller.world.store.all(Schedule), _schedule)


def _schedule(schedule: Schedule) -> dict[str, Any]:
    return asdict(schedule) | {"next_run": next_run(schedule.cron)}


@router.put("/schedules/{name}")
async def set_schedule(controller: Now, name: requests.Part, asked: requests.ScheduleSet) -> dict[str, Any]:
    """Schedule a job."""
    return _schedule(await controller.scheduler.set(name, asked.cron, asked.mode))


@router.delete("/schedules/{name}")
async def remove_schedule(controller: Now, name: requests.Part) -> dict[str, str]:
    """Take a schedule away."""
    await controller.scheduler.remove(name)
    return {"schedule": name}
