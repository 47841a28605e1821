"""Commands that are done when the answer comes: each is one change of the registry."""

from __future__ import annotations

from dataclasses import replace

from vmctl.commands import cluster, hosts, vms
from vmctl.commands.permissions import Principal
from vmctl.decide.heal import LEVELS
from vmctl.door import about_cluster, answers
from vmctl.door.services import Services
from vmctl.errors import Refused, Usage
from vmctl.records import HostRecord, VMRecord
from vmctl.store.rules import missing
from vmctl.tasks import now


async def label_host(services: Services, asked: hosts.LabelHost, _who: Principal) -> dict[str, str]:
    """Set labels; the answer is all that the host has."""

    def labelled(host: HostRecord | None) -> HostRecord:
        if host is None:
            raise missing("host", asked.host)
        return replace(host, labels={key: value for key, value in (host.labels | asked.labels).items() if value})

    return (await services.world.store.revise(HostRecord, asked.host, labelled)).labels


async def undrain_host(services: Services, asked: hosts.UndrainHost, who: Principal) -> answers.HostName:
    """Let a host take VMs again."""
    store, name = services.world.store, asked.host
    if not (await store.get(HostRecord, name)).draining:
        raise Refused(f"{name} is not draining")
    told = [services.world.event("host", name, f"{name} takes VMs again", who.name)]
    await store.change(HostRecord, name, draining=False, told=told)
    return answers.HostName(name)


async def set_autostart(services: Services, asked: vms.SetAutostart, _who: Principal) -> answers.Autostart:
    """Whether it is started again after its host's reboot."""
    vm = await services.world.store.vm(asked.vm)
    await services.world.store.change(VMRecord, vm.uuid, autostart=asked.on)
    return answers.Autostart(vm.name, asked.on)


async def set_heal(services: Services, asked: vms.SetHeal, _who: Principal) -> answers.Heal:
    """How far it may be treated."""
    if asked.level not in LEVELS:
        raise Usage(f"{asked.level!r} is none of {', '.join(LEVELS)}")
    vm = await services.world.store.vm(asked.vm)
    await services.world.store.change(VMRecord, vm.uuid, heal=asked.level)
    return answers.Heal(vm.name, asked.level)


async def set_schedule(services: Services, asked: cluster.SetSchedule, _who: Principal) -> answers.Schedule:
    """Do something by the clock."""
    kept = await services.scheduler.set(asked.name, asked.cron, asked.mode)
    return about_cluster.scheduled(kept, services.world.clock)


async def remove_schedule(services: Services, asked: cluster.RemoveSchedule, _who: Principal) -> answers.ScheduleName:
    """Take a schedule away."""
    await services.scheduler.remove(asked.name)
    return answers.ScheduleName(asked.name)


async def cancel_task(services: Services, asked: cluster.CancelTask, _who: Principal) -> answers.TaskNow:
    """Ask a task to stop."""
    task = await services.tasks.cancel(asked.number)
    return now(task, services.tasks.live(task.id))
