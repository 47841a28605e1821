"""Start, stop and what lies between: a start takes a place, a lease and the lock; a stop ends when the VM is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from vmctl.act import disks, record
from vmctl.act.definitions import learn, refuse_drift, refuse_losing_tpm
from vmctl.act.disks import storage_of
from vmctl.act.halt import halt, patience
from vmctl.act.layers import refuse_newer_layers
from vmctl.act.leaked import after_stop, explained
from vmctl.act.mounted import refuse_unmounted
from vmctl.act.needs import refuse_lacking
from vmctl.act.whereabouts import ASKED, Observation, ask, check_signature, off_at, prove_off, require_running
from vmctl.commands.permissions import AUTOSTART
from vmctl.commands.vms import Reboot, Start, Stop
from vmctl.decide.outcome import DomainPresence
from vmctl.decide.place import place
from vmctl.errors import (
    HostError,
    NoAnswer,
    NoHostFits,
    NotMounted,
    Refused,
    RegistryUnusable,
    Uncertain,
    Unreachable,
    VmctlError,
)
from vmctl.hosts import domainxml
from vmctl.hosts.leaseprobe import refused_by_lock
from vmctl.hosts.port import Link
from vmctl.hosts.shown import DomainSeen
from vmctl.model.plans import NoPlace, Placement
from vmctl.model.records import Storage, VMRecord
from vmctl.model.vms import VM, PowerState
from vmctl.services import Services
from vmctl.services.observe import measured
from vmctl.storage import kind_of, on
from vmctl.tasks import AnyJob, Job
from vmctl.tasks.journals import Rebooting, Starting, Stopping

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
    found = place(seen if seen is not None and kind == "migrate" else vm, cluster, services.policy, only=host)
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
            await services.store.lease(vm, off_at(vm), PowerState.STOPPED, gone=(host,))
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
        seen = VM(vm.spec, power=PowerState.STARTING, adopted=vm.adopted)
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


async def seen_off(services: Services, vm: VMRecord, gone: Iterable[str]) -> VMRecord:
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
        vm = await services.store.lease(await seen_off(services, vm, (host,)), host, PowerState.STARTING)
        why = "started after the controller's restart"
        await launch(services, job, vm, host, (kind, f"{vm.name} runs on {host}: {why}"))
    else:
        why = "found running after the controller's restart"
        told = [services.event(kind, vm, f"{vm.name} runs on {host}: {why}", job.task.who)]
        await services.store.lease(vm, host, PowerState.RUNNING, told=told, wanted="running")
    return {"vm": vm.name, "host": host, "why": why}


async def stop(services: Services, job: Job[Stop, Stopping]) -> dict[str, Any]:
    """Task: shut a VM down through its guest, or with `force` pull the plug; done when its host shows it gone.

    A VM whose host is silent or was removed is taken for stopped only on an admin's signed word.
    """
    vm = await services.store.claim(await services.store.vm(job.args.vm), job.id)
    signed = job.args.i_know_it_is_off
    check_signature(vm, signed)
    vm = await _where_it_is(services, vm)
    link = services.links.get(vm.host)
    if link is not None and not link.online:
        # A link that is just being made again is no reason to ask for a signature.
        await link.wait_online(5.0)
    if vm.power is PowerState.STOPPED:
        return await _stays_off(services, vm, "it was stopped already")
    if link is None or (signed and not link.online):
        vm = await prove_off(services, vm, "stop --force", signed, job.task.who)
        return await _stays_off(services, vm, f"{job.task.who} signed for it" if signed else "it is not there")
    link = _answering(services, vm)
    if await _first_sight(link, vm, job) is None:  # it ended by itself, or runs where nobody knows of
        await prove_off(services, vm, "stop", signed, job.task.who)
        return await _stays_off(services, vm, "it had ended by itself")
    vm = await learn(services, link, vm)  # what it is now, for its next start
    refuse_losing_tpm(vm, "stopped")
    for one in vm.drift:
        job.say(f"{vm.name} is not as it is written down, and will not start like this again: {one['what']}")
    begun = job.journal.stopping_since  # by a controller that died
    before = job.journal.wanted if begun else vm.wanted
    await job.note("stopping", host=vm.host, stopping_since=begun or services.clock.now(), wanted=before)
    limit = patience(job, job.args.timeout_s or services.settings.timeouts.shutdown_s, services.clock.now())
    # From now on, an end of its guest is what was asked for; if it runs on, it is wanted as before.
    await services.store.change(VMRecord, vm.uuid, wanted="stopped")
    try:
        await halt(link, vm, job, force=job.args.force, limit_s=limit)
    except Uncertain:  # it was asked for: an end that is seen later is no guest's own
        await services.store.change(VMRecord, vm.uuid, why=f"{ASKED} by {job.task.who or 'somebody'}: no answer yet")
        raise
    except VmctlError:
        await services.store.change(VMRecord, vm.uuid, wanted=before)
        raise
    told = [services.event("stopped", vm, f"{vm.name} was stopped on {link.name}", job.task.who)]
    vm = await services.store.lease(
        vm, off_at(vm), PowerState.STOPPED, gone=(link.name,), read_at=services.clock.now(), told=told
    )
    if vm.power is not PowerState.STOPPED:
        raise Uncertain(f"{vm.name} was stopped on {link.name}, and {vm.why}", hint=f"vmctl stop --force {vm.name}")
    await after_stop(services, vm, link)
    return {"vm": vm.name, "host": link.name}


async def _first_sight(link: Link, vm: VMRecord, job: Job[Stop, Stopping]) -> DomainSeen | None:
    """The domain before a stop asks anything of it. Raises Unreachable, which says so."""
    try:
        return await link.virt.domain(vm.uuid)
    except HostError as err:
        hint = f"vmctl host check {link.name}"
        if job.journal.stopping_since:  # by a controller that died
            raise Uncertain(f"whether {vm.name} was stopped is not known: {err.message}", hint=hint) from err
        raise Unreachable(f"{vm.name} was not stopped, nothing was asked of it: {err.message}", hint=hint) from err


async def _where_it_is(services: Services, vm: VMRecord) -> VMRecord:
    """A VM without a home, of which one host alone shows a copy: what is left of two, or of a move that broke."""
    if vm.host or vm.power is PowerState.STOPPED:
        return vm
    # Only one copy may be taken for the VM by itself: which of two goes on, a human decides.
    asked = await asyncio.gather(*(ask(services, name, vm.uuid) for name in vm.may_run_on))
    shown = [answer for answer in asked if answer.domain is not None and answer.sight is not DomainPresence.GONE]
    if len(shown) != 1 or shown[0].domain is None:
        return vm
    return await services.store.lease(vm, shown[0].host, shown[0].domain.power, why=shown[0].domain.why)


async def _stays_off(services: Services, vm: VMRecord, why: str) -> dict[str, Any]:
    """It is off already; that it is meant to be is written down."""
    await services.store.change(VMRecord, vm.uuid, wanted="stopped", ended=[])
    return {"vm": vm.name, "host": vm.host, "why": why}


def _answering(services: Services, vm: VMRecord) -> Link:
    """The VM's host; where it is silent, the error has the ways out. Raises Unreachable."""
    try:
        return services.online(vm.host)
    except HostError as err:
        err.lines = (f"if you know that {vm.name} is off: vmctl stop {vm.name} --i-know-it-is-off",)
        raise


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
        xml = xml_for(vm, found, None)
        await refuse_lacking(services, found, domainxml.read(xml).definition, vm.uuid, f"{vm.name} was not stopped")
        await job.note("stopping", host=vm.host, stopping_since=services.clock.now())
    link = services.online(job.journal.host)
    limit = patience(job, job.args.timeout_s or services.settings.timeouts.shutdown_s, services.clock.now())
    await halt(link, vm, job, force=False, limit_s=limit)
    vm = await services.store.lease(vm, link.name, PowerState.STARTING, gone=(link.name,))
    vm = await launch(services, job, vm, link.name, ("reboot", f"{vm.name} was restarted on {link.name}"))
    return {"vm": vm.name, "host": link.name}
