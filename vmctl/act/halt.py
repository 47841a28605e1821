"""Bring a VM's guest to a stop and see it gone: the power button, or the plug."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, NoReturn

from vmctl.act.departed import departure
from vmctl.act.whereabouts import ASKED
from vmctl.errors import Cancelled, HostError, LibvirtError, Refused, Uncertain, VmctlError
from vmctl.hosts.port import Link
from vmctl.hosts.qemus import processes
from vmctl.hosts.shown import LEFT_OVER, POST_COPY_FAILED, DomainSeen
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.tasks import AnyJob, Job
from vmctl.tasks.journals import Stopping

PRESS_AFTER_S = (0.0, 2.0, 4.0, 8.0)  # a guest that still boots misses the first press of its power button
PRESS_EVERY_S = 15.0  # and then
# What a guest gets at least, also where a predecessor's wait has used its time up.
MOST_BRIEF_S = 5.0
LOOK_EVERY_S = 0.2
VERBS = {"migrate": "cold move"}  # a kind of task -> what it is to who reads of it here
PLUG_FOR_S = 60.0  # how long a host that does not answer is asked again to pull the plug


async def halt(services: Services, link: Link, vm: VMRecord, job: AnyJob, *, force: bool, limit_s: float) -> None:
    """Bring a VM to a stop and see it gone. Raises VmctlError when its guest does not obey, Uncertain where it went on.

    A host that is lost meanwhile is waited for: what it was asked for goes on there.
    """
    limit_s = PLUG_FOR_S if force else limit_s
    began = link.clock.monotonic()
    presses, migrated = 0, False
    before = bool(job.task.journal.get("stopping_since"))  # a predecessor may have pressed
    while True:
        if job.cancel_asked.is_set() and not (force and presses):  # of a plug that is pulled the end is seen
            await _cancelled(services, vm, job, pressed=before or presses > 0)
        waited = link.clock.monotonic() - began
        try:
            seen = await link.virt.domain(vm.uuid)
            if seen is None or seen.power is PowerState.STOPPED:
                # libvirt may have lost sight of a QEMU that runs, after a restart of libvirtd: its disk is still
                # being written.
                await _surely_ended(link, vm)
                await _not_moved(services, link, vm, surely=migrated)
                return
            migrated = migrated or seen.has_job
            # Somebody migrates it, and it is being handed over: who ends it here now may not have ended it there.
            handed_over = seen.has_job and seen.why in LEFT_OVER
            if force and not handed_over:
                presses += 1
                await _pull_plug(link, vm)
            elif handed_over:
                job.show(text=f"waiting for the end of a migration from {link.name}")
            elif waited >= _press_at(presses):
                presses += 1
                await _press(link, vm, seen)
        except HostError as err:
            # Silent to the end: whether it obeyed cannot be said, and that is another error than "it did not".
            if waited > limit_s:
                await _not_known_off(link, vm, err)
            job.show(text=f"waiting for {link.name}: {err.message}")
        if waited > limit_s:
            raise VmctlError(
                f"{vm.name} did not shut down within {limit_s:.0f} s; it still runs on {link.name}",
                hint=f"vmctl stop --force {vm.name}",
            )
        job.show(text=f"waiting for the guest to shut down, {waited:.0f} s of {limit_s:.0f} s")
        await asyncio.sleep(LOOK_EVERY_S / 10 if force else LOOK_EVERY_S)


async def _not_known_off(link: Link, vm: VMRecord, err: HostError) -> None:
    raise Uncertain(
        f"whether {vm.name} was stopped is not known: {link.name} does not answer",
        lines=(err.message,),
        hint=f"vmctl show {vm.name}; its end will be noticed once {link.name} is back",
    ) from err


async def _surely_ended(link: Link, vm: VMRecord) -> None:
    """See that its QEMU is gone, too. Raises Uncertain where libvirt only lost sight of it."""
    if found := await link.ask(processes(vm.uuid)):
        raise Uncertain(
            f"libvirt on {link.name} does not show {vm.name}, but its QEMU runs (process {found[0]})",
            hint=f"on {link.name}: ps {found[0]}",
        )


async def _not_moved(services: Services, link: Link, vm: VMRecord, *, surely: bool) -> None:
    """See that it has ended, and did not move. Raises Uncertain where it may run elsewhere."""
    went = await departure(services, link, vm, surely=surely)
    known = went.shown is not None and went.shown.host in vm.may_run_on  # of that copy everybody knows
    if went.doubt and not known:
        raise Uncertain(f"{vm.name} is not on {link.name} any more: {went.doubt}", hint=f"vmctl show {vm.name}")


async def _pull_plug(link: Link, vm: VMRecord) -> None:
    """End its QEMU; may be done again. Raises Refused where libvirt cannot."""
    try:
        await link.virt.destroy(vm.uuid)
    except LibvirtError as err:
        raise Refused(f"{vm.name} was not stopped: {err.message}", hint=f"on {link.name}: virsh list; ps") from err


async def _press(link: Link, vm: VMRecord, seen: DomainSeen) -> None:
    """Press its power button. Raises Refused where its guest cannot hear it."""
    if seen.power in (PowerState.PAUSED, PowerState.CRASHED):
        raise _cannot_hear(vm, seen.power, seen.why)
    with contextlib.suppress(LibvirtError):  # it may go just now
        await link.virt.shutdown(vm.uuid)


def patience(job: Job[Any, Stopping], limit_s: float, now: float) -> float:
    """What is left of a guest's time to shut down, also for who takes over: its predecessor's wait counts.

    `now` in UTC seconds, as who takes over has another monotonic clock.
    """
    since = job.journal.stopping_since or now
    return max(MOST_BRIEF_S, limit_s - max(0.0, now - since))


def _press_at(presses: int) -> float:
    """When the power button is pressed for the next time, in seconds."""
    last = len(PRESS_AFTER_S) - 1
    return PRESS_AFTER_S[presses] if presses <= last else PRESS_AFTER_S[last] + PRESS_EVERY_S * (presses - last)


def _cannot_hear(vm: VMRecord, power: PowerState, why: str) -> Refused:
    text = f"{vm.name} is {power}{f' ({why})' if why else ''}: its guest cannot hear its power button"
    hint = f"vmctl stop --force {vm.name}"
    if why in LEFT_OVER:  # by a migration that goes on, or broke: only then does the controller know what may be done
        return Refused(text, hint=f"vmctl show {vm.name}")
    ended = power is PowerState.CRASHED or why == POST_COPY_FAILED  # nothing lets it go on
    return Refused(text, hint=hint if ended else f"vmctl resume {vm.name}, or {hint}")


def asker(job: AnyJob) -> str:
    """Who asked for it, in a sentence."""
    return job.task.who or "somebody"


async def note_asked(services: Services, vm: VMRecord, by: str, **more: Any) -> None:
    """Its guest was asked to end, and may do so yet: that is then not its own wish."""
    await services.store.change(VMRecord, vm.uuid, why=f"{ASKED} by {by}", **more)


async def _cancelled(services: Services, vm: VMRecord, job: AnyJob, *, pressed: bool) -> NoReturn:
    """Raises Cancelled. A guest whose power button was pressed may still obey: that is written down."""
    text = f"task {job.id} was cancelled"
    if pressed:
        await note_asked(
            services, vm, f"a {VERBS.get(job.task.kind, job.task.kind)} that was cancelled by {asker(job)}"
        )
        text += f"; the power button of {vm.name} was pressed, so it may still shut down"
    raise Cancelled(text)
