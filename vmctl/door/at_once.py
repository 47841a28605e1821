"""Commands that are done when the answer comes: each is one change of the registry."""

from __future__ import annotations

from dataclasses import replace

from vmctl.commands import cluster, hosts, tasks, vms
from vmctl.commands.permissions import Principal
from vmctl.decide.heal import LEVELS
from vmctl.door import about_cluster, answers
from vmctl.door.parts import ControllerParts
from vmctl.errors import Refused, Usage
from vmctl.model.records import HostRecord, VMRecord
from vmctl.store.rules import missing
from vmctl.tasks import now


async def label_host(parts: ControllerParts, asked: hosts.LabelHost, _who: Principal) -> dict[str, str]:
    """Set labels; the answer is all that the host has."""

    def labelled(host: HostRecord | None) -> HostRecord:
        if host is None:
            raise missing("host", asked.host)
        return replace(host, labels={key: value for key, value in (host.labels | asked.labels).items() if value})

    return (await parts.services.store.revise(HostRecord, asked.host, labelled)).labels


async def undrain_host(parts: ControllerParts, asked: hosts.UndrainHost, who: Principal) -> answers.HostName:
    """Let a host take VMs again."""
    store, name = parts.services.store, asked.host
    if not (await store.get(HostRecord, name)).draining:
        raise Refused(f"{name} is not draining")
    told = [parts.services.event("host", name, f"{name} takes VMs again", who.name)]
    await store.change(HostRecord, name, draining=False, told=told)
    return answers.HostName(name)


async def set_autostart(parts: ControllerParts, asked: vms.SetAutostart, _who: Principal) -> answers.Autostart:
    """Whether it is started again after its host's reboot."""
    vm = await parts.services.store.vm(asked.vm)
    await parts.services.store.change(VMRecord, vm.uuid, autostart=asked.on)
    return answers.Autostart(vm.name, asked.on)


async def set_heal(parts: ControllerParts, asked: vms.SetHeal, _who: Principal) -> answers.Heal:
    """How far it may be treated."""
    if asked.level not in LEVELS:
        raise Usage(f"{asked.level!r} is none of {', '.join(LEVELS)}")
    vm = await parts.services.store.vm(asked.vm)
    await parts.services.store.change(VMRecord, vm.uuid, heal=asked.level)
    return answers.Heal(vm.name, asked.level)


async def set_schedule(parts: ControllerParts, asked: cluster.SetSchedule, _who: Principal) -> answers.Schedule:
    """Do something by the clock."""
    kept = await parts.scheduler.set(asked.name, asked.cron, asked.mode)
    return about_cluster.scheduled(kept, parts.services.clock)


async def remove_schedule(
    parts: ControllerParts, asked: cluster.RemoveSchedule, _who: Principal
) -> answers.ScheduleName:
    """Take a schedule away."""
    await parts.scheduler.remove(asked.name)
    return answers.ScheduleName(asked.name)


async def cancel_task(parts: ControllerParts, asked: tasks.CancelTask, _who: Principal) -> answers.TaskNow:
    """Ask a task to stop."""
    task = await parts.tasks.cancel(asked.number)
    return now(task, parts.tasks.live(task.id))
