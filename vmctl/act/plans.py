"""Plans and their carrying out: each move is a migrate task of its own; one that fails does not stop the rest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from vmctl.act import record
from vmctl.commands.cluster import Rebalance
from vmctl.commands.hosts import DrainHost
from vmctl.commands.vms import Migrate
from vmctl.decide import asked as deciding
from vmctl.errors import Cancelled, PartlyFailed, Refused, Unreachable
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import HostState
from vmctl.model.plans import Move, Plan
from vmctl.model.policy import Policy
from vmctl.model.records import HostRecord, Task, TaskState, VMRecord
from vmctl.model.rights import Thing
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.services.observe import measured
from vmctl.tasks import Job, Tasks
from vmctl.tasks.journals import CarryingOut

Decider = Callable[[Cluster, Policy, Any], Plan]
Carrying = Job[Rebalance | DrainHost, CarryingOut]


async def plan(services: Services, kind: str, subject: str, who: str, decide: Decider, asked: Any) -> Plan:
    """Make a plan on the cluster as it is measured now; it is recorded with its moves."""
    cluster = await measured(services)
    if cluster.hosts and not any(one.state is HostState.ONLINE for one in cluster.hosts):
        raise Unreachable("no host answers: nothing is known of any load", hint="vmctl host list")
    # in a thread: a large cluster takes seconds, and nobody else may wait for them
    made = await services.threads.run(decide, cluster, services.policy, asked)
    await record.plan(services, kind, subject, made, cluster, who)
    return made


async def plan_rebalance(services: Services, who: str, asked: Rebalance) -> Plan:
    """The plan that evens the cluster out now, within its budget."""
    return await plan(services, "rebalance", "cluster", who, deciding.plan_rebalance, asked)


class Plans:
    """The tasks that carry out plans."""

    def __init__(self, services: Services, tasks: Tasks) -> None:
        self._services = services
        self._tasks = tasks

    async def rebalance(self, job: Job[Rebalance, CarryingOut]) -> dict[str, Any]:
        """Task: even the cluster out, with no more than its arguments say: moves, gib, minutes."""
        return await self._carry_out(job, await plan_rebalance(self._services, job.task.who, job.args))

    async def drain(self, job: Job[DrainHost, CarryingOut]) -> dict[str, Any]:
        """Task: take no more VMs on a host, and move those there away. The mark stays until undrain."""
        services, host = self._services, job.args.host
        job.check_cancelled()
        if not job.journal.begun:  # else the mark stands, or somebody has taken it away since
            # Before the plan, so that nothing is placed there while it is made.
            told = services.event("drain", host, f"{host} is being drained", job.task.who)
            await services.store.change(HostRecord, host, draining=True, told=[told])
            async with services.placing:
                pass  # a start that chose this host before the mark has taken its lease by now
        await job.note("waiting for what moves there already", begun=True)
        # A VM that a task holds cannot be planned for. Planned now, the drain would report it as staying.
        await self._wait_for_holders(job, host)
        # What a predecessor's moves took away counts, too; written with the next step.
        left = job.journal.left + await self._gone(host, job.journal.moves)
        job.keep(left=left, moves=[])
        made = await plan(services, "drain", host, job.task.who, deciding.plan_drain, job.args)
        result = await self._carry_out(job, made)
        result["moved"] += left
        job.check_cancelled()  # it takes VMs again: nothing is drained
        if made.stays:
            moved = f"{result['moved']} VMs left {host}" if result["moved"] else f"no VM could leave {host}"
            await services.record_event("drain", host, f"{moved}, {len(made.stays)} stay", job.task.who)
            raise PartlyFailed(f"{moved}, {len(made.stays)} stay", lines=made.stays, hint=f"vmctl host undrain {host}")
        await services.record_event("drained", host, f"{host} is drained: {result['moved']} VMs left it", job.task.who)
        return result

    async def _gone(self, host: str, moves: list[list[str]]) -> int:
        """How many of the VMs that an earlier controller's plan moved have left the host."""
        moved = {uuid for uuid, *_ in moves}
        return sum(vm.uuid in moved and vm.host != host for vm in await self._services.store.all(VMRecord))

    async def _wait_for_holders(self, job: Carrying, host: str) -> None:
        """Tasks that hold VMs of the host end first, and moves that an earlier controller's drain has begun."""
        store = self._services.store
        begun = [task for task in await store.open_tasks() if task.args.get("parent") == job.id]
        first = {task.id: task.subject for task in begun}
        for vm in await store.all(VMRecord):
            if vm.task not in (None, job.id) and host in (vm.host, vm.moving_to):
                first[vm.task] = vm.name
        for number, name in first.items():
            job.show(text=f"waiting for task {number}, which holds {name}")
            ended = asyncio.create_task(self._tasks.wait(number))
            cancelled = asyncio.create_task(job.cancel_asked.wait())
            await asyncio.wait({ended, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            # Left alone, the loser of the two would wait for ever.
            for waiting in (ended, cancelled):
                waiting.cancel()
            if job.cancel_asked.is_set():
                await self._cancel(begun, job)
            job.check_cancelled()

    async def _carry_out(self, job: Carrying, plan: Plan) -> dict[str, Any]:
        total = len(plan.moves)
        if plan.moves:  # else it is the result, and told as such
            job.say(plan.why)
        await job.note("moving", moves=[[m.uuid, m.vm, m.source, m.target] for m in plan.moves])
        ended = [asyncio.Event() for _ in plan.moves]
        children: list[Task] = []
        work = [asyncio.create_task(self._move(job, plan, number, ended, children)) for number in range(total)]
        canceller = asyncio.create_task(self._pass_on(job, children))
        lines: list[str] = []
        try:
            for done, next_ended in enumerate(asyncio.as_completed(work)):
                job.show(percent=100 * done / total, text=f"{done}/{total} moves")
                line, good = await next_ended
                job.say(line)
                if not good:
                    lines.append(line)
        finally:
            canceller.cancel()
        done_moves = f"{total - len(lines)} of {total} moves done"
        if lines and job.cancel_asked.is_set():
            raise Cancelled(f"task {job.id} was cancelled: {done_moves}", lines=tuple(lines))
        if lines:
            raise PartlyFailed(done_moves, lines=tuple(lines), hint="vmctl task list")
        return {"moved": total, "moves": total, "why": plan.why, "stays": list(plan.stays)}

    async def _move(
        self, job: Carrying, plan: Plan, number: int, ended: list[asyncio.Event], children: list[Task]
    ) -> tuple[str, bool]:
        """One move as a task of its own, begun when earlier moves have left the host it goes to; (sentence, done)."""
        move = plan.moves[number]
        try:
            # Moves go side by side, but a later one may count on room that an earlier one makes.
            for before in leave_first(plan, number):
                await ended[before].wait()
            if job.cancel_asked.is_set():
                return f"{move.vm}: not begun, as asked", False
            asked = Migrate(move.uuid, move.target, why=move.why, parent=job.id)
            vm = await self._services.store.find(VMRecord, move.uuid)
            thing = vm.thing if vm is not None else Thing(vm=move.uuid)
            child = await self._tasks.submit(asked, job.who, move.vm, thing)
            children.append(child)
            end = await self._tasks.wait(child.id)
            done = end.state is TaskState.DONE or await self._is_gone(move)
            return f"{move.vm}: {_outcome(end)}", done
        finally:
            # Whatever its end: who waits for it asks the rules again before it moves.
            ended[number].set()

    async def _is_gone(self, move: Move) -> bool:
        """Whether the VM has ended meanwhile: then nothing of the move is left to be done."""
        vm = await self._services.store.find(VMRecord, move.uuid)
        return vm is None or (vm.power is PowerState.STOPPED and not vm.host)

    async def _pass_on(self, job: Carrying, children: list[Task]) -> None:
        """Cancelling the plan cancels the moves under way."""
        await job.cancel_asked.wait()
        await self._cancel(children, job)

    async def _cancel(self, children: list[Task], job: Carrying) -> None:
        for child in children:
            with contextlib.suppress(Refused):  # it has ended
                await self._tasks.cancel(child.id, job.who)


def leave_first(plan: Plan, number: int) -> list[int]:
    """Earlier moves away from the host that this one goes to, whose room the plan may count on, and of the same VM."""
    move = plan.moves[number]
    before = enumerate(plan.moves[:number])
    return [n for n, earlier in before if earlier.source == move.target or earlier.vm == move.vm]


def _outcome(task: Task) -> str:
    if task.state is TaskState.DONE:
        return f"now on {task.result.get('host')}"
    return str(task.error.get("message", task.state))
