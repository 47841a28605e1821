"""Cold migration: stop in the guest, start on the other host; same disks, same identity, nothing copied.

What the start there needs is looked at before the guest is stopped. Each step can be done twice, so a controller that
takes over does the same again; and a VM that cannot be started on the target is started where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from vmctl.act import power
from vmctl.act.definitions import keep, refuse_drift
from vmctl.act.departed import refuse_departed
from vmctl.act.halt import halt, patience
from vmctl.act.needs import refuse_lacking
from vmctl.act.promise import promise, refuse_stuck
from vmctl.act.whereabouts import ASKED, Observation, ask
from vmctl.commands.vms import Migrate
from vmctl.decide.outcome import DomainPresence
from vmctl.errors import Cancelled, HostError, MigrationFailed, Refused, Uncertain, VmctlError
from vmctl.hosts import domainxml
from vmctl.hosts.port import Link
from vmctl.hosts.shown import Shown
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.tasks import Job
from vmctl.tasks.journals import Migrating

Moving = Job[Migrate, Migrating]


async def cold(services: Services, job: Moving, vm: VMRecord, shown: Shown) -> dict[str, Any]:
    """Move a VM that runs; what it was `shown` as was read just now."""
    refuse_stuck(vm, cold=True)
    refuse_drift(vm, "moved")
    source = vm.host
    target = await promise(services, job, vm)
    # An adopted VM starts there from its definition, which may need other things than what runs now.
    for xml in (shown.live, vm.definition) if vm.adopted else (shown.live,):
        await refuse_lacking(services, target, domainxml.read(xml).definition, vm.uuid, f"{vm.name} was not stopped")
    await _refuse_definition(vm, target)
    facts = {"source": source, "target": target.name, "autostart": shown.autostart}
    await job.note("stopping", cold=True, stopping_since=services.clock.now(), **facts)
    # After the journal: from here on a successor must go on with the move, not begin another one.
    await services.store.lease(vm, source, PowerState.STOPPING)
    return await go_on(services, job, await services.store.vm(vm.uuid))


async def _refuse_definition(vm: VMRecord, target: Link) -> None:
    """A definition of this VM that lies on the target is not ours to overwrite."""
    seen = await target.virt.domain(vm.uuid)
    if seen is not None:
        raise MigrationFailed(
            f"{target.name} has a definition of {vm.name} already: it was not moved",
            hint=f"on {target.name}: virsh undefine {vm.name} --keep-nvram",
        )


async def go_on(services: Services, job: Moving, vm: VMRecord) -> dict[str, Any]:
    """Stop it if it still runs, start it on the target, or where it was; from whichever step was reached."""
    if job.journal.definition:
        return await _move_definition(services, job, vm)
    source, target = job.journal.source, job.journal.target
    links = [link for name in (source, target) if (link := services.links.get(name))]
    await asyncio.gather(*(link.wait_online(power.LOOK_FOR_S) for link in links))
    began = services.clock.monotonic()
    here, there = await asyncio.gather(ask(services, source, vm.uuid), ask(services, target, vm.uuid))
    begun = job.journal.starting
    # Nothing was started there yet, and the VM was not seen to end here: giving up loses nothing.
    if there.sight is DomainPresence.SILENT and not begun and here.sight is not DomainPresence.GONE:
        await services.store.lease(vm, source, PowerState.RUNNING)
        raise MigrationFailed(f"{vm.name} was not moved and runs on {source}", lines=(str(here), str(there)))
    # A host that may have the VM is silent. A start anywhere could be a second copy, so the move ends without one.
    if here.sight is DomainPresence.SILENT or (there.sight is DomainPresence.SILENT and begun == target):
        lines = (str(here), str(there))
        await services.store.lease(
            vm, source, PowerState.UNKNOWN, also=(target,) if begun else (), why="; ".join(lines)
        )
        raise Uncertain(f"where {vm.name} runs is not certain", lines=lines, hint=f"vmctl show {vm.name}")
    if not begun and there.sight in (DomainPresence.RUNNING, DomainPresence.PAUSED):
        await _somebody_else(services, vm, here, there)
    if there.sight is DomainPresence.GONE and here.sight is not DomainPresence.GONE and begun != source:
        vm = await _stop(services, job, vm, source)
    elif here.sight is there.sight is DomainPresence.GONE:
        await asyncio.sleep(power.LOOK_AGAIN_S if begun else 0.0)  # what the dead controller asked for may begin now
        if vm.may_run_on:  # nobody has seen it end
            await refuse_departed(services, vm, (source, target))
    vm = await _as_seen(services, vm, here, there)
    if job.journal.back:
        return await _start_back(services, job, vm, job.journal.back)
    stopped_s = services.clock.monotonic() - began
    try:
        vm = await _start_on(services, job, vm, target)
    # It may run on the target, so it must not be started on its old host.
    except Uncertain:
        raise
    except VmctlError as err:
        # Read again: the failed start has written a new epoch of its lease.
        return await _start_back(services, job, await services.store.vm(vm.uuid), err.message)
    return await _arrived(services, job, vm, source, target, stopped_s)


async def _somebody_else(services: Services, vm: VMRecord, here: Observation, there: Observation) -> None:
    """Nothing was started on the target, and it is there: somebody migrates it, or has. Raises MigrationFailed."""
    where = there if here.sight is DomainPresence.GONE else here
    gone = () if where is here else (here.host,)
    power_now = where.domain.power if where.domain is not None else PowerState.UNKNOWN
    await services.store.lease(vm, where.host, power_now, gone=gone)
    text = f"{vm.name} was not moved: somebody migrates it to {there.host}"
    raise MigrationFailed(text, lines=(str(here), str(there)), hint=f"vmctl show {vm.name}")


async def _as_seen(services: Services, vm: VMRecord, here: Observation, there: Observation) -> VMRecord:
    """What a predecessor wrote down as unknown before it died, and is known now. Raises Uncertain if it is not."""
    if vm.power is not PowerState.UNKNOWN:
        return vm
    gone = [answer.host for answer in (here, there) if answer.sight is DomainPresence.GONE]
    running = [answer.host for answer in (here, there) if answer.sight is DomainPresence.RUNNING]
    if running:
        return await services.store.lease(vm, running[0], PowerState.RUNNING, gone=gone)
    return await power.seen_off(services, vm, gone)


async def _stop(services: Services, job: Moving, vm: VMRecord, source: str) -> VMRecord:
    """See the guest gone from its host. If it does not obey, it goes on as it was."""
    link, limit_s = services.link(source), patience(job, services.settings.timeouts.shutdown_s, services.clock.now())
    try:
        await halt(services, link, vm, job, force=False, limit_s=limit_s)
    except Refused:  # its guest cannot hear the button: nothing was pressed
        power_now, why = await link.virt.power(vm.uuid)
        await services.store.lease(vm, source, power_now, why=why)
        raise
    except Cancelled:
        asked = (await services.store.vm(vm.uuid)).why  # of its guest, if it was
        await services.store.lease(vm, source, PowerState.RUNNING, why=asked)
        raise
    except Uncertain as err:
        await services.store.lease(vm, source, PowerState.UNKNOWN, why=f"{ASKED} by a cold move: {err.message}")
        raise
    except VmctlError:
        # The guest was asked and may still obey. `ASKED` says so, and then its end is not taken for a crash.
        await services.store.lease(vm, source, PowerState.RUNNING, why=f"{ASKED} by a cold move that was given up")
        raise
    return await services.store.lease(vm, source, PowerState.STOPPING, gone=(source,))


async def _start_on(services: Services, job: Moving, vm: VMRecord, host: str) -> VMRecord:
    """Start it on this host, where it is not. An adopted one is defined there first, and that is undone if it fails."""
    link = services.online(host)
    seen_gone = {job.journal.source, job.journal.target} - {host}
    vm = await services.store.lease(vm, host, PowerState.STARTING, gone=seen_gone)
    defined = vm.adopted and not vm.transient and job.journal.source != host
    if defined and await link.virt.domain(vm.uuid) is None:
        # Before it is defined: an undo takes away only a definition that this task made, and never one that was
        # there.
        await job.note("defining it there", defined=host)
        await link.virt.define(vm.definition)
    try:
        return await power.launch(services, job, vm, host)
    except Uncertain:
        raise
    except VmctlError:
        if job.journal.defined == host:
            with contextlib.suppress(HostError):
                await link.virt.undefine(vm.uuid)
        raise


async def _start_back(services: Services, job: Moving, vm: VMRecord, why: str) -> dict[str, Any]:
    """The target could not start it: it goes on where it was. Raises MigrationFailed, which says where it is now."""
    source, target = job.journal.source, job.journal.target
    # A successor must not try the target again, where the start has failed.
    await job.note("starting it where it was", back=why)
    failed = f"{vm.name} could not be started on {target}: {why}"
    try:
        vm = await _start_on(services, job, vm, source)
    except VmctlError as err:
        text = f"{failed}; nor on {source}, where it was: {err.message}"
        await services.record_event("migration failed", vm, text, job.task.who)
        raise MigrationFailed(text, lines=err.lines, hint=f"vmctl start {vm.name}") from err
    await services.record_event("migration failed", vm, f"{failed}; it was started again on {source}", job.task.who)
    raise MigrationFailed(f"{failed}; it was started again on {source}", hint=f"vmctl migrate {vm.name} --check")


async def _arrived(
    services: Services, job: Moving, vm: VMRecord, source: str, target: str, stopped_s: float
) -> dict[str, Any]:
    await services.store.change(VMRecord, vm.uuid, moved_at=services.clock.now())
    if vm.adopted and not vm.transient:
        with contextlib.suppress(HostError):  # it runs; what is left of it on its old host is told by that host
            await services.online(source).virt.undefine(vm.uuid)
        if job.journal.autostart:
            await carry_autostart(services, job, vm, target)
    text = f"{vm.name} moved {source} -> {target} cold; its guest took {stopped_s:.1f} s to stop"
    await services.record_event("migrated", vm, text, job.task.who)
    return {"vm": vm.name, "source": source, "host": target, "cold": True, "stop_seconds": round(stopped_s, 3)}


async def carry_autostart(services: Services, job: Moving, vm: VMRecord, host: str) -> None:
    """Let libvirt start it when its new host boots, as its old one would have: libvirt forgets that at a migration."""
    try:
        await services.online(host).virt.set_autostart(vm.uuid, True)
    except VmctlError as err:
        mend = f"there: virsh autostart {vm.name}"
        job.say(f"libvirt's autostart of {vm.name} was not carried to {host}: {err.message}; {mend}")


# -- a definition alone


async def definition(services: Services, job: Moving, vm: VMRecord) -> dict[str, Any]:
    """Move the definition of a stopped VM, which only its host has, to another host."""
    source = services.online(vm.host)
    shown = await source.virt.shown(vm.uuid)
    vm = await keep(services, source, vm, shown)  # its owner may have changed it just now
    refuse_stuck(vm, cold=True)
    target = await promise(services, job, vm)
    what = f"the definition of {vm.name} was not moved"
    await refuse_lacking(services, target, domainxml.read(shown.kept).definition, vm.uuid, what)
    await _refuse_definition(vm, target)
    facts = {"source": source.name, "target": target.name, "autostart": shown.autostart}
    await job.note("moving its definition", cold=True, definition=shown.kept, **facts)
    return await _move_definition(services, job, vm)


async def _move_definition(services: Services, job: Moving, vm: VMRecord) -> dict[str, Any]:
    """Define it there, then forget it here; both can be done twice."""
    source, target = job.journal.source, job.journal.target
    for name in (source, target):
        await services.link(name).wait_online(power.LOOK_FOR_S)
    await services.online(target).virt.define(job.journal.definition)
    # Between the two: at every moment the registry names a host that has the definition.
    await services.store.lease(vm, target, PowerState.STOPPED)
    await services.online(source).virt.undefine(vm.uuid)
    if job.journal.autostart:
        await carry_autostart(services, job, vm, target)
    await services.record_event(
        "migrated", vm, f"{vm.name} is stopped; its definition moved {source} -> {target}", job.task.who
    )
    return {"vm": vm.name, "source": source, "host": target, "cold": True, "stop_seconds": 0.0}
