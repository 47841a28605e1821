"""Pulling the plug while a stop still waits for the guest: the waiting one gives way."""

from __future__ import annotations

import asyncio

from vmctl.model.records import Task, VMRecord
from vmctl.model.rights import Principal
from vmctl.ports.store import Store
from vmctl.tasks import Tasks

GIVE_WAY_S = 5.0


async def overtake_stop(store: Store, tasks: Tasks, vm: VMRecord, who: Principal) -> None:
    """End a `stop` that holds the VM; whatever else holds it goes on, and is then named as what makes it busy."""
    holder = await store.find(Task, vm.task) if vm.task is not None else None
    if holder is None or holder.kind != "stop" or tasks.live(holder.id) is None:
        return
    await tasks.cancel(holder.id, who)
    await asyncio.wait({asyncio.create_task(tasks.wait(holder.id))}, timeout=GIVE_WAY_S)
