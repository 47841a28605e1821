"""Start and reboot: a start takes a place, a lease and the lock, and is seen to be done."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from vmctl.act import disks, record
from vmctl.act.definitions import learn, refuse_drift, refuse_losing_tpm
from vmctl.act.departed import refuse_departed
from vmctl.act.disks import storage_of
from vmctl.act.halt import asker, halt, note_asked, patience
from vmctl.act.layers import refuse_newer_layers
from vmctl.act.leaked import explained
from vmctl.act.mounted import refuse_unmounted
from vmctl.act.needs import refuse_lacking
from vmctl.act.whereabouts import Observation, ask, off_at, prove_off, require_running
from vmctl.commands.vms import Reboot, Start
from vmctl.decide.outcome import DomainPresence
from vmctl.decide.place import place
from vmctl.errors import (
    Cancelled,
    HostError,
    NoAnswer,
    NoHostFits,
    NotMounted,
    Refused,
    RegistryUnusable,
    Uncertain,
    VmctlError,
)
from vmctl.hosts import domainxml
from vmctl.hosts.leaseprobe import refused_by_lock
from vmctl.hosts.port import Link
from vmctl.model.plans import NoPlace, Placement
from vmctl.model.records import Storage, VMRecord
from vmctl.model.rights import AUTOSTART
from vmctl.model.vms import VM, PowerState, in_project
from vmctl.services import Services
from vmctl.services.observe import measured
from vmctl.storage import kind_of, on
from vmctl.tasks import AnyJob, Job
from vmctl.tasks.journals import Rebooting, Starting

LOOK_FOR_S = 60.0  # how long an unknown outcome is looked after
MENDS = {
    "draining": "vmctl host undrain",
    "online": "vmctl host check",
    "storage": "vmctl host check",
}  # a rule that says no -> what changes it
LOOK_AGAIN_S = 3.0  # a call that a dead controller left behind may still begin: "not there" is believed after two looks


def no_host(found: NoPlace) -> NoHostFits:
    """The error for a VM that fits nowhere, a line per host, and the command that may make room."""
    lines = tuple(f"{v.host}: {v.why}" for v in found.verdicts)
    # Reversed, so that of several hosts that one rule refuses the first one is named.
    by_rule = {v.refusal.rule: v.host for v in reversed(found.verdicts) if v.refusal}
    hint = next((f"{MENDS[rule]} {by_rule[rule]}" for rule in MENDS if rule in by_rule), "vmctl top")
    return NoHostFits(found.why, lines=lines, hint=hint)


async def choose(services: Services, job: AnyJob, vm: VM, host: str, kind: str, why: str = "") -> Placement:
    """Place a VM and record why. The caller holds `services.placing`. Raises NoHostFits.

    The VM is judged as the same snapshot shows it, where it is in it. `why`: the reason that a plan gave.
    """
    if host:
        # An unknown name is refused here, before a decision about it is recorded.
        services.link(host)
    cluster = await measured(services)
    seen = next((one for one in cluster.vms if one.spec.uuid == vm.spec.uuid), None)
    asked = seen if seen is not None and kind == "migrate" else vm
    # In a thread: whoever asks first may wait for the search to be compiled, and this controller must go on to beat.
    found = await services.threads.run(place, asked, cluster, services.policy, host)
    # Kept also where no host fits: `vmctl why` tells what was decided and not done.
    await record.placement(services, job, kind, vm, found, cluster, why)
    if isinstance(found, NoPlace):
        raise no_host(found)
    return found


def xml_for(vm: VMRecord, link: Link, storage: Storage | None) -> str:
    """The domain XML to start the VM with on this host."""
    if vm.adopted:
        return vm.definition
    accel = link.about.accel if link.about else "kvm"
    site = domainxml.Site(accel)
    if storage is not None:
        site = domainxml.Site(accel, storage.lockspace, kind_of(storage).source)
    return domainxml.build(vm.spec, site)


async def launch(
    services: Services, job: AnyJob, vm: VMRecord, host: str, event: tuple[str, str] | None = None, **more: Any
) -> VMRecord:
    """Start a VM on the host its lease names, and read back that it runs. Returns the VM with its new lease.

    `event` (its kind and text) and `more` fields of the VM are written with that lease: in one transaction.

    An error is no proof that it was not started (the connection may have broken in between), so the host is read.
    """
    try:
        link = services.online(host)
        xml = await _prepare(services, vm, link)
        # Before the call: a successor that reads this looks at that host before it starts anything.
        await job.note("starting", starting=host)
    except VmctlError:  # nothing was sent
        await services.store.lease(vm, off_at(vm), PowerState.STOPPED, gone=(host,))
        raise
    try:
        # A VM of ours is a transient domain, so that no host can start a stale copy by itself. An adopted one has its
        # owner's definition on the host, and is started from that.
        if vm.adopted and not vm.transient:
            await link.virt.start(vm.uuid)
        else:
            await link.virt.create(xml)
    except HostError as err:
        # Without an answer the call may still take effect, so one look that shows nothing proves nothing.
        answer = await look_after(services, vm, host, wait_for_it=isinstance(err, NoAnswer))
        if answer.sight is DomainPresence.GONE:
            await _not_started(services, vm, host, err)
            said = explain_start(vm, host, err)
            raise (await explained(services, vm, host, said) if isinstance(said, Refused) else said) from err
    told = [services.event(event[0], vm, event[1], job.task.who)] if event else []
    # drift, read_at, ended: what was learnt of the QEMU before says nothing of this one.
    try:
        return await services.store.lease(
            vm, host, PowerState.RUNNING, told=told, wanted="running", drift=[], read_at=0.0, ended=[], **more
        )
    except RegistryUnusable as err:  # it runs: nothing may be undone, nothing started elsewhere
        text = f"{vm.name} runs on {host}, and that could not be written: {err.message}"
        raise Uncertain(text, hint=err.hint) from err


async def _not_started(services: Services, vm: VMRecord, host: str, err: HostError) -> None:
    """Write down that it is not on this host. Its lock may be held by a copy of it on a host that says nothing."""
    silent = [name for name, link in sorted(services.links.items()) if not link.online]
    if silent and refused_by_lock(err.message):
        why = f"its lock is held: it may run on {', '.join(silent)}"
        await services.store.lease(vm, off_at(vm), PowerState.UNKNOWN, gone=(host,), also=silent, why=why)
    else:
        await services.store.lease(vm, off_at(vm), PowerState.STOPPED, gone=(host,))


async def _prepare(services: Services, vm: VMRecord, link: Link) -> str:
    """What a start needs on the host; the XML to start with."""
    storage = await storage_of(services, vm)
    xml = xml_for(vm, link, storage)
    needs, what = domainxml.read(xml).definition, f"{vm.name} was not started"
    if storage is None or vm.adopted:
        await refuse_lacking(services, link, needs, vm.uuid, what)
        return xml
    # First: without the mount, what comes next would find or make files in an empty directory of the host's own.
    await refuse_unmounted(services, link, storage)
    await asyncio.gather(refuse_lacking(services, link, needs, vm.uuid, what), _open(link, storage, vm))
    return xml


async def _open(link: Link, storage: Storage, vm: VMRecord) -> None:
    """The lockspace where the VM takes its lease, with its key."""
    await on(link, storage).open()
    await disks.look_for_key(link, storage, vm.uuid)


def explain_start(vm: VMRecord, host: str, err: HostError) -> HostError | Refused:
    """A start that the lock refused is a refusal: the VM or its disk is in use elsewhere."""
    if refused_by_lock(err.message):
        return Refused(
            f"{vm.name} was not started on {host}: its lock is held, so it or its disk is in use elsewhere",
            lines=(err.message,),
            hint=f"vmctl show {vm.name}",
        )
    if not err.message.startswith(vm.name):
        err.message = f"{vm.name} was not started on {host}: {err.message}"
    return err


async def look_after(services: Services, vm: VMRecord, host: str, *, wait_for_it: bool) -> Observation:
    """What became of a start that failed or was not answered. Raises Uncertain when the host stays silent.

    `wait_for_it`: libvirt may still do it, so "not there" is believed only when the time is over.
    """
    deadline = services.clock.monotonic() + LOOK_FOR_S
    while True:
        answer = await ask(services, host, vm.uuid)
        over = services.clock.monotonic() > deadline
        if answer.sight in (DomainPresence.RUNNING, DomainPresence.PAUSED) or (
            answer.sight is DomainPresence.GONE and (over or not wait_for_it)
        ):
            return answer
        if over:
            await _not_known(services, vm, host, answer)
        await asyncio.sleep(1.0)


async def outcome(services: Services, vm: VMRecord, host: str) -> Observation:
    """What became of a start whose controller died. Raises Uncertain when the host stays silent."""
    link = services.links.get(host)
    if link is not None:
        # A controller that has just started has no links yet. A host that is only not connected is no silent host.
        await link.wait_online(LOOK_FOR_S)
    answer = await ask(services, host, vm.uuid)
    if answer.sight is DomainPresence.GONE:
        await asyncio.sleep(LOOK_AGAIN_S)
        answer = await ask(services, host, vm.uuid)
    if answer.sight is DomainPresence.SILENT:
        await _not_known(services, vm, host, answer)
    return answer


async def _not_known(services: Services, vm: VMRecord, host: str, answer: Observation) -> None:
    await services.store.lease(vm, host, PowerState.UNKNOWN, why=str(answer))
    raise Uncertain(
        f"whether {vm.name} was started on {host} is not known", lines=(str(answer),), hint=f"vmctl show {vm.name}"
    )


async def start(services: Services, job: Job[Start, Starting]) -> dict[str, Any]:
    """Task: start a VM where placement says, or on `host`."""
    vm = await services.store.claim(await services.store.vm(job.args.vm), job.id)
    if job.journal.starting:
        # A predecessor may have asked libvirt already, so the host is read before anything is placed anew.
        return await _finish_start(services, vm, job, "started")
    if not job.args.as_registered:
        refuse_drift(vm, "started")
        _refuse_half(vm)
    vm = await prove_off(services, vm, "start", job.args.i_know_it_is_off, job.task.who)
    wanted = _only(vm, job.args.host)
    # Somebody who starts it has looked: the budget of restarts begins anew.
    more: dict[str, Any] = {} if job.task.who == AUTOSTART.name else {"restarts": []}
    while True:
        vm, found = await _place_and_lease(services, job, vm, wanted)
        try:
            vm = await launch(services, job, vm, found.host, ("started", f"{vm.name} runs on {found.why}"), **more)
            break
        except NotMounted as err:  # placement knows that now, and takes another host
            # Only this host will do: it was asked for, or the VM's definition is only there.
            if wanted:
                raise
            job.say(f"not started on {found.host}: {err.message}")
            # The failed launch has written a new epoch of the lease; with the old record the next step would be
            # refused.
            vm = await services.store.vm(vm.uuid)
    return {"vm": vm.name, "host": vm.host, "why": found.why}


def _refuse_half(vm: VMRecord) -> None:
    """Refuse to start what is not whole: its guest would come up without its data, or not at all."""
    if vm.half:
        anyway = f"if its disk is whole all the same: vmctl start {vm.name} --as-registered"
        raise Refused(f"{vm.name} was not started: it is {vm.why}", lines=(anyway,), hint=f"vmctl delete {vm.name}")


async def _place_and_lease(
    services: Services, job: Job[Start, Starting], vm: VMRecord, wanted: str
) -> tuple[VMRecord, Placement]:
    """Choose the host of a start, and take the lease for it."""
    # Choosing and taking the lease are one step: else two starts at once would both count on the same room.
    async with services.placing:
        seen = VM(in_project(vm.spec, vm.project), power=PowerState.STARTING, adopted=vm.adopted)
        found = await choose(services, job, seen, wanted, "start")
        if not job.args.as_registered and not vm.adopted:
            # Only now is there a host from which the files beside its disk can be seen.
            await refuse_newer_layers(services, services.online(found.host), vm, job.task.who)
        vm = await services.store.lease(vm, found.host, PowerState.STARTING)
    job.say(f"placed on {found.why}")
    return vm, found


def _only(vm: VMRecord, asked: str) -> str:
    """The one host that a start may use; empty: placement chooses.

    An adopted VM starts where its definition is; a transient one where it was, if what it was made of is only there.
    """
    if not vm.adopted or not vm.host or (vm.transient and not vm.stuck_cold):
        return asked
    # Started elsewhere, it would be a second definition, or start without what only its old host has.
    if asked and asked != vm.host:
        why = vm.stuck_cold[0] if vm.transient else f"it was adopted, and is defined on {vm.host}"
        raise Refused(
            f"{vm.name} cannot start on {asked}: {why}",
            hint=f"vmctl start {vm.name}" if vm.transient else f"vmctl migrate {vm.name} --cold --to {asked}",
        )
    return vm.host


async def seen_off(services: Services, vm: VMRecord, gone: Collection[str]) -> VMRecord:
    """A VM of which was written that it may run, and that these hosts show to be gone now.

    Raises Uncertain where it may still run elsewhere.
    """
    if vm.power is PowerState.UNKNOWN:
        vm = await services.store.lease(vm, off_at(vm), PowerState.STOPPED, gone=gone)
    if vm.power is PowerState.UNKNOWN:
        raise Uncertain(f"{vm.name} was not started: it {vm.why}", hint=f"vmctl show {vm.name}")
    return vm


async def _finish_start(
    services: Services, vm: VMRecord, job: Job[Any, Starting | Rebooting], kind: str
) -> dict[str, Any]:
    """A controller died in a start: one that runs is done, one that does not is started again there."""
    host = job.journal.starting
    answer = await outcome(services, vm, host)
    if answer.sight is DomainPresence.GONE:
        await refuse_departed(services, vm, (host,))
        vm = await services.store.lease(await seen_off(services, vm, (host,)), host, PowerState.STARTING)
        why = "started after the controller's restart"
        await launch(services, job, vm, host, (kind, f"{vm.name} runs on {host}: {why}"))
    else:
        why = "found running after the controller's restart"
        told = [services.event(kind, vm, f"{vm.name} runs on {host}: {why}", job.task.who)]
        await services.store.lease(vm, host, PowerState.RUNNING, told=told, wanted="running")
    return {"vm": vm.name, "host": host, "why": why}


async def reboot(services: Services, job: Job[Reboot, Rebooting]) -> dict[str, Any]:
    """Task: shut a VM down through its guest and start it again on the same host.

    Not libvirt's own reboot: with a lock manager that one fails to take the VM's lock again and kills the VM
    (seen with libvirt 9.0: a control-error event, then "shutting down").
    """
    vm = await services.store.claim(await services.store.vm(job.args.vm), job.id)
    if job.journal.starting:
        return await _finish_start(services, vm, job, "reboot")
    # What is refused is refused before the guest is stopped. A successor skips this: its predecessor may have stopped
    # it.
    if not job.journal.host:
        found, _ = await require_running(services, vm)
        vm = await learn(services, found, vm)
        refuse_drift(vm, "rebooted")
        refuse_losing_tpm(vm, "rebooted")
        await disks.refuse_without(services, found, vm)
        xml = xml_for(vm, found, None)
        await refuse_lacking(services, found, domainxml.read(xml).definition, vm.uuid, f"{vm.name} was not stopped")
        await job.note("stopping", host=vm.host, stopping_since=services.clock.now())
    link = services.online(job.journal.host)
    limit = patience(job, job.args.timeout_s or services.settings.timeouts.shutdown_s, services.clock.now())
    try:
        await halt(services, link, vm, job, force=False, limit_s=limit)
    except (Cancelled, Refused):
        raise
    except VmctlError:
        await note_asked(services, vm, f"a reboot by {asker(job)}")
        raise
    vm = await services.store.lease(vm, link.name, PowerState.STARTING, gone=(link.name,))
    vm = await launch(services, job, vm, link.name, ("reboot", f"{vm.name} was restarted on {link.name}"))
    return {"vm": vm.name, "host": link.name}
