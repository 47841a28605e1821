"""Delete a VM and its disks: only what is seen to be off, and only what is its own."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from vmctl.act import disks
from vmctl.act.disks import storage_of
from vmctl.act.layers import beside
from vmctl.act.mounted import host_with, refuse_unmounted
from vmctl.act.needed import refuse_if_needed, refuse_links
from vmctl.act.whereabouts import prove_off
from vmctl.commands.vms import Delete
from vmctl.errors import Refused
from vmctl.model.records import HALF_DELETED, MORE_MAY_COME, VMRecord
from vmctl.services import Services
from vmctl.tasks import Job
from vmctl.tasks.journals import Deleting


async def delete(services: Services, job: Job[Delete, Deleting]) -> dict[str, Any]:
    """Task: delete a stopped VM and its disks. Refused while it runs or may run anywhere."""
    vm = await _claimed_or_gone(services, job)
    if vm is None:
        return {"vm": job.task.subject}
    if vm.adopted and not vm.transient:
        raise Refused(
            f"{vm.name} was adopted: its disks are not ours to delete",
            hint=f"on {vm.host}: virsh undefine {vm.name}; then vmctl forgets it by itself",
        )
    vm = await prove_off(services, vm, "delete", job.args.i_know_it_is_off, job.task.who)
    left: list[str] = []
    more = MORE_MAY_COME if MORE_MAY_COME in vm.why else ""
    if not vm.adopted:
        await refuse_if_needed(services, {disk.path for disk in vm.spec.disks}, vm.uuid)
        storage = await storage_of(services, vm)
        # Before anything is deleted: a successor that finds no such VM any more knows that this is done.
        await job.note("deleting disks", deleting=vm.uuid)
        if storage is not None:
            link = await host_with(services, storage)
            await refuse_links(link, storage, disks.names(storage, vm.spec))
            # Read before the disks go: files beside them are left, and told of.
            strangers = [one.path for one in await beside(link, vm.spec)]
            await services.store.change(VMRecord, vm.uuid, why=f"{HALF_DELETED}{more}: a delete of it has not ended")
            left = [*await disks.remove(link, storage, vm.spec), *strangers]
            await refuse_unmounted(services, link, storage)  # else what was deleted may only be out of sight
    # Last: while files are left, the registry must know whose they are.
    await services.store.remove(VMRecord, vm.uuid)
    kept = f"; left where they are: {', '.join(left)}" if left else ""
    if more:
        folders = sorted({str(PurePosixPath(disk.path).parent) for disk in vm.spec.disks})
        kept += f"; a host that gave no answer may still make files in {', '.join(folders)}: look there later"
    what = "was forgotten; its disks stay" if vm.adopted else f"and its disks were deleted{kept}"
    await services.record_event("deleted", vm, f"{vm.name} {what}", job.task.who)
    return {"vm": vm.name, "left": left, "forgotten": vm.adopted}


async def _claimed_or_gone(services: Services, job: Job[Delete, Deleting]) -> VMRecord | None:
    """The VM to delete; None when an earlier controller came as far as forgetting it."""
    vm = await services.store.find_vm(job.args.vm)
    if vm is None and job.journal.deleting:
        return None
    return await services.store.claim(vm or await services.store.vm(job.args.vm), job.id)
