"""Commands that are done when the answer comes: each is one change of the registry."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from vmctl.commands import cluster, hosts, tasks, vms
from vmctl.decide.heal import LEVELS
from vmctl.door import about_cluster, answers
from vmctl.door.parts import ControllerParts
from vmctl.errors import Refused, Usage
from vmctl.model import versions
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.rights import Principal
from vmctl.store.rules import missing
from vmctl.tasks import now


async def label_host(parts: ControllerParts, asked: hosts.LabelHost, who: Principal) -> dict[str, str]:
    """Set labels; the answer is all that the host has."""

    def labelled(host: HostRecord | None) -> HostRecord:
        if host is None:
            raise missing("host", asked.host)
        versions.check(parts.expected, host, asked.host)
        return replace(host, labels={key: value for key, value in (host.labels | asked.labels).items() if value})

    labels = (await parts.services.store.revise(HostRecord, asked.host, labelled)).labels
    said = ", ".join(f"{key}={value}" for key, value in sorted(asked.labels.items()))
    await parts.services.record_event("labels", asked.host, f"{asked.host} was labelled: {said}", who.name)
    return labels


async def undrain_host(parts: ControllerParts, asked: hosts.UndrainHost, who: Principal) -> answers.HostName:
    """Let a host take VMs again; a drain that is still at it ends."""
    store, name = parts.services.store, asked.host
    if not (await store.get(HostRecord, name)).draining:
        raise Refused(f"{name} is not draining")
    for task in await store.open_tasks():
        if task.kind == "drain" and task.subject == name:
            with contextlib.suppress(Refused):  # it has just ended
                await parts.tasks.cancel(task.id, who)
    told = [parts.services.event("host", name, f"{name} takes VMs again", who.name)]
    await store.change(HostRecord, name, draining=False, told=told)
    return answers.HostName(name)


def _seen(parts: ControllerParts, vm: VMRecord) -> Callable[[VMRecord | None], None]:
    """What a VM must be like to be edited: still there, and of the version that was seen."""

    def check(kept: VMRecord | None) -> None:
        if kept is None:
            raise missing("VM", vm.name)
        versions.check(parts.expected, kept, vm.name)

    return check


async def set_autostart(parts: ControllerParts, asked: vms.SetAutostart, who: Principal) -> answers.Autostart:
    """Whether it is started again after its host's reboot."""
    vm = await parts.services.store.vm(asked.vm)
    again = "started again" if asked.on else "left off"
    told = parts.services.event("autostart", vm, f"{vm.name} is {again} after its host's reboot", who.name)
    await parts.services.store.change(VMRecord, vm.uuid, autostart=asked.on, told=[told], check=_seen(parts, vm))
    return answers.Autostart(vm.name, asked.on)


async def set_heal(parts: ControllerParts, asked: vms.SetHeal, who: Principal) -> answers.Heal:
    """How far it may be treated."""
    if asked.level not in LEVELS:
        raise Usage(f"{asked.level!r} is none of {', '.join(LEVELS)}")
    vm = await parts.services.store.vm(asked.vm)
    told = parts.services.event("heal level", vm, f"{vm.name} may be treated: {asked.level}", who.name)
    await parts.services.store.change(VMRecord, vm.uuid, heal=asked.level, told=[told], check=_seen(parts, vm))
    return answers.Heal(vm.name, asked.level)


async def set_schedule(parts: ControllerParts, asked: cluster.SetSchedule, who: Principal) -> answers.Schedule:
    """Do something by the clock."""
    kept = await parts.scheduler.set(asked.name, asked.cron, asked.mode)
    said = f"{asked.name} is scheduled at {asked.cron!r}, to {asked.mode}"
    await parts.services.record_event("schedule", asked.name, said, who.name)
    return about_cluster.scheduled(kept, parts.services.clock)


async def remove_schedule(
    parts: ControllerParts, asked: cluster.RemoveSchedule, who: Principal
) -> answers.ScheduleName:
    """Take a schedule away."""
    await parts.scheduler.remove(asked.name)
    await parts.services.record_event("schedule", asked.name, f"{asked.name} is scheduled no more", who.name)
    return answers.ScheduleName(asked.name)


async def cancel_task(parts: ControllerParts, asked: tasks.CancelTask, who: Principal) -> answers.TaskNow:
    """Ask a task to stop."""
    task = await parts.tasks.cancel(asked.number, who)
    return now(task, parts.tasks.live(task.id))
