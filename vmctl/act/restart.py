"""VMs that should run, and that ended with their host's reboot, are started again: wherever placement says."""

from __future__ import annotations

from collections.abc import Iterable

from vmctl.commands.vms import Start
from vmctl.decide.health import age
from vmctl.decide.restart import wait_s
from vmctl.model.records import VMRecord
from vmctl.model.rights import AUTOSTART
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.tasks import Tasks

TOO_OFTEN = "not started again:"
RESTS = "; it rests before it is started again"


class Restarts:
    """`look` at all VMs every few seconds."""

    def __init__(self, services: Services, tasks: Tasks) -> None:
        self._services = services
        self._tasks = tasks

    async def look(self, vms: Iterable[VMRecord]) -> None:
        """Start what is due."""
        for vm in vms:
            due = vm.wanted == "running" and vm.power is PowerState.STOPPED and vm.task is None
            if due and vm.autostart and not vm.adopted:
                await self._again(vm)

    async def _again(self, vm: VMRecord) -> None:
        now = self._services.clock.now()
        wait = wait_s([now - at for at in vm.restarts])
        if wait is None and not vm.why.startswith(TOO_OFTEN):
            why = f"{TOO_OFTEN} {len(vm.restarts)} starts in an hour did not help"
            told = [self._services.event("autostart", vm, f"{vm.name} is {why}; vmctl start {vm.name}")]
            await self._services.store.change(VMRecord, vm.uuid, why=why, told=told)
        if wait and RESTS not in vm.why:
            text = f"{vm.name} should run: it is started again in {age(wait)}, as its last start did not help"
            told = [self._services.event("autostart", vm, text)]
            await self._services.store.change(VMRecord, vm.uuid, why=f"{vm.why}{RESTS}", told=told)
        if wait is None or wait > 0:
            return
        # Counted before it is tried: a controller that dies here must not try for ever.
        told = [self._services.event("autostart", vm, f"{vm.name} should run: it is started again")]
        await self._services.store.change(VMRecord, vm.uuid, restarts=[now, *vm.restarts][:8], told=told)
        await self._tasks.submit(Start(vm.uuid), AUTOSTART, vm.name, vm.thing)
