"""Reset, pause and resume: each where it makes sense, and seen to be done although the reply was lost."""

from __future__ import annotations

from typing import Any

from vmctl.act.disks import look_for_key, storage_of
from vmctl.act.leftover import STALE, left_over
from vmctl.act.power import LOOK_FOR_S
from vmctl.act.whereabouts import ask, require_running
from vmctl.commands.vms import Pause, Reset, Resume
from vmctl.errors import HostError, NoAnswer, NotSent, Refused, Uncertain
from vmctl.hosts.port import Link
from vmctl.hosts.shown import ASLEEP, LEFT_OVER, POST_COPY_FAILED
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.tasks import Job
from vmctl.tasks.journals import Pressing

# verb -> the states in which it makes sense, and the one that shows that it was done; None: it cannot be seen
ACTIONS: dict[str, tuple[tuple[PowerState, ...], PowerState | None]] = {
    "reset": ((PowerState.RUNNING, PowerState.PAUSED), None),
    "pause": ((PowerState.RUNNING,), PowerState.PAUSED),
    "resume": ((PowerState.PAUSED,), PowerState.RUNNING),
}


async def power_action(services: Services, job: Job[Reset | Pause | Resume, Pressing]) -> dict[str, Any]:
    """Task: reset, pause or resume a VM that runs."""
    verb = job.task.kind
    vm = await services.store.claim(await services.store.vm(job.args.vm), job.id)
    # The host's word, not the registry's: somebody may have paused it a moment ago.
    link, seen = await require_running(services, vm)
    fitting, done = ACTIONS[verb]
    if seen.power is done:
        if job.journal.host:  # a predecessor's work
            told = [services.event(verb, vm, f"{vm.name} on {vm.host}: {verb}", job.task.who)]
            await services.store.lease(vm, vm.host, seen.power, why=seen.why, told=told)
        return {"vm": vm.name, "host": vm.host, "why": f"it is {done} already"}
    if seen.power not in fitting:
        raise Refused(f"{vm.name} is {seen.power}: it cannot {verb}", hint="vmctl list")
    if seen.why == POST_COPY_FAILED:
        end = f"vmctl stop --force {vm.name}, then vmctl start {vm.name}"
        raise Refused(f"{vm.name} cannot {verb}: its post-copy broke, and a part of its memory is lost", hint=end)
    if seen.why in LEFT_OVER:
        await _refuse_left_over(services, link, vm, verb)
    await job.note(verb, host=vm.host)
    storage = await storage_of(services, vm)
    if verb == "resume" and storage is not None and not vm.adopted:
        await look_for_key(link, storage, vm.uuid)  # it takes its lease again
    # libvirt's resume does not wake a guest that sleeps (pmsuspended); that needs a call of its own.
    awake = link.virt.wake if seen.why == ASLEEP else link.virt.resume
    action = {"reset": link.virt.reset, "pause": link.virt.suspend, "resume": awake}[verb]
    try:
        await action(vm.uuid)
    except (NoAnswer, NotSent) as err:
        await _seen_done(services, vm, verb, done, err)
    shown = (await link.refresh_domains()).get(vm.uuid)
    if shown is not None:
        await services.store.lease(vm, vm.host, shown.power, why=shown.why)
    await services.record_event(verb, vm, f"{vm.name} on {vm.host}: {verb}", job.task.who)
    return {"vm": vm.name, "host": vm.host}


async def _refuse_left_over(services: Services, link: Link, vm: VMRecord, verb: str) -> None:
    """Refuse what a migration left paused, where it may run elsewhere, or has. Raises Refused."""
    found = await left_over(services, link, vm)
    if found is None:
        return
    text = f"{vm.name} cannot {verb}: a migration left it paused on {vm.host}"
    if found.others:
        raise Refused(f"{text}, and it may run elsewhere", lines=found.others, hint="vmctl host list")
    if found.stale:
        end = f"vmctl stop --force {vm.name}, then vmctl start {vm.name}"
        raise Refused(f"{text}, and {STALE}", lines=found.stale, hint=end)


async def _seen_done(services: Services, vm: VMRecord, verb: str, done: PowerState | None, err: HostError) -> None:
    """See whether it was done although nobody said so. Raises Uncertain where that cannot be seen."""
    # Nothing left the controller, so there is nothing to be looked for.
    if isinstance(err, NotSent):
        err.message = f"nothing was done to {vm.name}: {err.message}"
        raise err
    await services.link(vm.host).wait_online(LOOK_FOR_S)
    answer = await ask(services, vm.host, vm.uuid)
    if done is None or answer.domain is None or answer.domain.power is not done:
        text = f"whether {vm.name} was {verb} on {vm.host} is not known: {err.message}"
        raise Uncertain(text.replace("pause on", "paused on").replace("resume on", "resumed on"), lines=(str(answer),))
