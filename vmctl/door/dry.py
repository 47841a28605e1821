"""What a command would do: asked of what decides it, or tried on a copy of the registry that is thrown away.

Nothing is written, and no host is asked: what only a host can say comes out when the command is given.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from vmctl.cluster.schedules import Scheduler
from vmctl.commands import cluster, hosts, jobs, tasks, vms
from vmctl.commands.rows import Command
from vmctl.door.answers import DryRun
from vmctl.door.parts import ControllerParts
from vmctl.door.things import About
from vmctl.door.user_answers import NewToken
from vmctl.errors import Refused
from vmctl.model.records import DecisionRecord, Event, LoadMean, Task, VMRecord
from vmctl.model.rights import Principal
from vmctl.ports.store import Store
from vmctl.store import rules
from vmctl.store.memory import MemoryStore
from vmctl.tasks import Tasks

AtOnce = Callable[[ControllerParts, Any, Principal], Awaitable[Any]]
# What is done by a command -> the query that decides the same and does nothing
DECIDED_BY: Mapping[type[Any], type[Any]] = {
    vms.Create: vms.WhereToCreate,
    vms.Start: vms.WhereToStart,
    vms.Migrate: vms.CheckMigration,
    cluster.Rebalance: cluster.PlanRebalance,
    hosts.DrainHost: hosts.PlanDrain,
    jobs.RunJob: jobs.WhereToRun,
}
NOT_COPIED = (LoadMean, Event, DecisionRecord, Task)


def query(asked: Any) -> Any | None:
    """The query that decides the same as a command; None where there is none."""
    kind = DECIDED_BY.get(type(asked))
    return kind(**{field.name: getattr(asked, field.name) for field in fields(kind)}) if kind is not None else None


async def at_once(parts: ControllerParts, about: About, who: Principal, handler: AtOnce) -> Any:
    """What a command that is done at once would answer. Raises whatever it would."""
    if isinstance(about.asked, tasks.CancelTask):
        if parts.tasks.live(about.asked.number) is None:
            raise Refused(f"task {about.asked.number} has ended", hint=f"vmctl task show {about.asked.number}")
        return None
    services = copy.copy(parts.services)
    services.store = await _copied(parts.services.store)
    services.links = {}  # no host can be reached from here, whatever is tried
    trial = Tasks(services.store, clock=services.clock)
    on_copy = replace(parts, services=services, tasks=trial, scheduler=Scheduler(services, trial))
    answer = await handler(on_copy, about.asked, who)
    return None if isinstance(answer, NewToken) else answer


async def _copied(store: Store) -> Store:
    made = MemoryStore()
    for kind in rules.KEYS:
        for record in await store.all(kind) if kind not in NOT_COPIED else ():
            await made.put(record)
    for task in await store.open_tasks():
        await made.put(task)
    return made


async def told(store: Store, row: Command, about: About, detail: Any) -> DryRun:
    """What is answered."""
    now = ""
    if about.thing.vm:
        vm: VMRecord = await store.vm(about.thing.vm)
        now = f" ({vm.power}{f' on {vm.host}' if vm.host else ''} now)"
    asks = "; its hosts are asked when it is done" if detail is None and (row.task or row.on_hosts) else ""
    return DryRun(row.kind, about.subject, f"would {row.kind} {about.subject}{now}{asks}", detail)
