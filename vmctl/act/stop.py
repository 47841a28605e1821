"""Stop a VM: through its guest, or by the plug; done when its host shows it gone, and nobody else may have it."""

from __future__ import annotations

import asyncio
from typing import Any

from vmctl.act.definitions import learn, refuse_losing_tpm
from vmctl.act.halt import asker, halt, note_asked, patience
from vmctl.act.leaked import after_stop
from vmctl.act.power import LOOK_FOR_S
from vmctl.act.whereabouts import IN_VAIN, ask, check_signature, off_at, prove_off
from vmctl.commands.vms import Stop
from vmctl.decide.outcome import DomainPresence
from vmctl.errors import Cancelled, HostError, Refused, Uncertain, Unreachable, VmctlError
from vmctl.hosts.port import Link
from vmctl.hosts.shown import DomainSeen
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.tasks import Job
from vmctl.tasks.journals import Stopping


async def stop(services: Services, job: Job[Stop, Stopping]) -> dict[str, Any]:
    """Task: shut a VM down through its guest, or with `force` pull the plug; done when its host shows it gone.

    A VM whose host is silent or was removed is taken for stopped only on an admin's signed word.
    """
    vm = await services.store.claim(await services.store.vm(job.args.vm), job.id)
    signed = job.args.i_know_it_is_off
    check_signature(vm, signed)
    vm = await _where_it_is(services, vm)
    link = services.links.get(vm.host)
    begun = job.journal.stopping_since  # by a controller that died
    if link is not None and not link.online:
        # A link that is just being made again is no reason to ask for a signature.
        await link.wait_online(LOOK_FOR_S if begun else 5.0)
    if vm.power is PowerState.STOPPED:
        return await _stays_off(services, vm, "it was stopped already")
    if link is None or (signed and not link.online):
        vm = await prove_off(services, vm, "stop --force", signed, job.task.who)
        return await _stays_off(services, vm, f"{job.task.who} signed for it" if signed else "it is not there")
    link = await _answering(services, vm, job)
    if await _first_sight(link, vm, job) is None:  # it ended by itself, or runs where nobody knows of
        await prove_off(services, vm, "stop", signed, job.task.who)
        if begun:
            await services.record_event("stopped", vm, f"{vm.name} was stopped on {link.name}", job.task.who)
        return await _stays_off(services, vm, "its guest obeyed" if begun else "it had ended by itself")
    vm = await learn(services, link, vm)  # what it is now, for its next start
    refuse_losing_tpm(vm, "stopped")
    for one in vm.drift:
        job.say(f"{vm.name} is not as it is written down, and will not start like this again: {one['what']}")
    before = job.journal.wanted if begun else vm.wanted
    await job.note("stopping", host=vm.host, stopping_since=begun or services.clock.now(), wanted=before)
    limit = patience(job, job.args.timeout_s or services.settings.timeouts.shutdown_s, services.clock.now())
    # From now on, an end of its guest is what was asked for; if it runs on, it is wanted as before.
    await services.store.change(VMRecord, vm.uuid, wanted="stopped")
    await _halt(services, link, vm, job, limit, before)
    told = [services.event("stopped", vm, f"{vm.name} was stopped on {link.name}", job.task.who)]
    vm = await services.store.lease(
        vm, off_at(vm), PowerState.STOPPED, gone=(link.name,), read_at=services.clock.now(), told=told
    )
    if vm.power is not PowerState.STOPPED:
        raise Uncertain(f"{vm.name} was stopped on {link.name}, and {vm.why}", hint=f"vmctl stop --force {vm.name}")
    await after_stop(services, vm, link)
    return {"vm": vm.name, "host": link.name}


async def _halt(
    services: Services, link: Link, vm: VMRecord, job: Job[Stop, Stopping], limit_s: float, before: str
) -> None:
    """See it end. Where it does not, it is wanted as `before`, and what was asked of its guest is written down."""
    try:
        await halt(services, link, vm, job, force=job.args.force, limit_s=limit_s)
    except Uncertain:  # it was asked for: an end that is seen later is no guest's own
        await note_asked(services, vm, f"{asker(job)}: no answer yet")
        raise
    except (Cancelled, Refused):
        await services.store.change(VMRecord, vm.uuid, wanted=before)
        raise
    except VmctlError:  # it may obey later: that is then what was asked for
        await note_asked(services, vm, f"{asker(job)}{IN_VAIN}", wanted=before)
        raise


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


async def _answering(services: Services, vm: VMRecord, job: Job[Stop, Stopping]) -> Link:
    """The VM's host; where it is silent, the error has the ways out. Raises Unreachable, Uncertain."""
    try:
        return services.online(vm.host)
    except HostError as err:
        ways = (f"if you know that {vm.name} is off: vmctl stop {vm.name} --i-know-it-is-off",)
        if not job.journal.stopping_since:
            err.lines = ways
            raise
        # A predecessor pressed the button: an end that is seen later is no guest's own.
        await note_asked(services, vm, f"{asker(job)}: no answer yet", wanted="stopped")
        text = f"whether {vm.name} was stopped is not known: {err.message}"
        raise Uncertain(text, lines=ways, hint=f"vmctl show {vm.name}") from err
