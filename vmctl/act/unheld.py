"""VMs held by a task that the registry does not have: it was changed by hand, or lost a part. They would stay busy.

A task's end and the freeing of its VM are one transaction, so no task of ours leaves one behind.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable

from vmctl.errors import Overtaken
from vmctl.model.records import VMRecord
from vmctl.services import Services
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.act.unheld")


async def free_unheld(services: Services, vms: Iterable[VMRecord], going_on: Collection[int]) -> None:
    """Free those of `vms`, which were read before; `going_on`: tasks that are known to go on.

    Where they run stays as it was known: hosts are looked at before anything is done with them.
    """
    held = [vm for vm in vms if vm.task is not None and vm.task not in going_on]
    open_tasks = {task.id for task in await services.store.open_tasks()} if held else set[int]()
    for vm in held:
        if vm.task in open_tasks:
            continue
        with wall(log, f"freeing {vm.name}"):
            text = f"{vm.name} was held by task {vm.task}, of which the registry knows nothing: it is free again"
            told = [services.event("freed", vm, text)]
            free = {"task": None, "moving_to": "", "copying": False}
            await services.store.change(VMRecord, vm.uuid, told=told, check=_is_held_by(vm.task), **free)


def _is_held_by(task: int | None) -> Callable[[VMRecord | None], None]:
    def check(now: VMRecord | None) -> None:
        if now is None or now.task != task:
            raise Overtaken("somebody else has freed it")

    return check
