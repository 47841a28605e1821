"""Plans and their carrying out: each move is a migrate task of its own; one that fails does not stop the rest."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from vmctl.act import power, record
from vmctl.decide import rebalance as decide
from vmctl.errors import PartlyFailed, Refused
from vmctl.model import Plan
from vmctl.records import HostRecord, Task, TaskState
from vmctl.tasks import Job, Tasks
from vmctl.world import World


async def plan_rebalance(world: World, who: str) -> Plan:
    """The plan that evens the cluster out now; recorded."""
    cluster = await power.measured(world)
    made = decide.rebalance(cluster, world.policy)
    await record.plan(world, "rebalance", "cluster", made, cluster, who)
    return made


async def plan_drain(world: World, host: str, who: str) -> Plan:
    """The plan that empties a host; recorded."""
    world.link(host)
    cluster = await power.measured(world)
    made = decide.drain(cluster, host, world.policy)
    await record.plan(world, "drain", host, made, cluster, who)
    return made


class Plans:
    """The tasks that carry out plans."""

    def __init__(self, world: World, tasks: Tasks) -> None:
        self._world = world
        self._tasks = tasks

    async def rebalance(self, job: Job) -> dict[str, Any]:
        """Task: even the cluster out."""
        plan = await plan_rebalance(self._world, job.task.who)
        return await self._carry_out(job, plan)

    async def drain(self, job: Job) -> dict[str, Any]:
        """Task: take no more VMs on a host, and move those there away. The mark stays until undrain."""
        host = job.args["host"]
        await self._world.store.change(HostRecord, host, draining=True)
        plan = await plan_drain(self._world, host, job.task.who)
        result = await self._carry_out(job, plan)
        if plan.stays:
            moved = f"{result['moved']} VMs left {host}" if result["moved"] else f"no VM could leave {host}"
            raise PartlyFailed(f"{moved}, {len(plan.stays)} stay", lines=plan.stays, hint=f"vmctl host undrain {host}")
        return result

    async def _carry_out(self, job: Job, plan: Plan) -> dict[str, Any]:
        total = len(plan.moves)
        job.say(plan.why)
        await job.note("moving", moves=[[m.vm, m.source, m.target] for m in plan.moves])
        children = [await self._submit(move.vm, move.target, move.why, job) for move in plan.moves]
        watchers = [asyncio.create_task(self._tasks.wait(child.id)) for child in children]
        canceller = asyncio.create_task(self._pass_on(job, children))
        try:
            for done, next_ended in enumerate(asyncio.as_completed(watchers)):
                job.show(percent=100 * done / total, text=f"{done}/{total} moves")
                ended = await next_ended
                job.say(f"{ended.subject}: {_outcome(ended)}")
        finally:
            canceller.cancel()
        ends = [watcher.result() for watcher in watchers]
        moved = [task.subject for task in ends if task.state is TaskState.DONE]
        failed = [f"{task.subject}: {_outcome(task)}" for task in ends if task.state is not TaskState.DONE]
        if failed:
            raise PartlyFailed(f"{len(moved)} of {total} moves done", lines=tuple(failed), hint="vmctl task list")
        return {"moved": len(moved), "moves": total, "why": plan.why, "stays": list(plan.stays)}

    async def _submit(self, vm: str, target: str, why: str, job: Job) -> Task:
        return await self._tasks.submit("migrate", vm, job.task.who, vm=vm, to=target, why=why, parent=job.id)

    async def _pass_on(self, job: Job, children: list[Task]) -> None:
        await job.cancel_asked.wait()
        for child in children:
            with contextlib.suppress(Refused):  # it has ended
                await self._tasks.cancel(child.id)


def _outcome(task: Task) -> str:
    if task.state is TaskState.DONE:
        return f"now on {task.result.get('host')}"
    return str(task.error.get("message", task.state))
