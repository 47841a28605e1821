"""The end of a migration, whatever it was: both hosts are read until they show one outcome; the registry follows."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, NoReturn

from vmctl.act.departed import Departure, departure
from vmctl.act.leftover import STALE, has_not_run
from vmctl.act.whereabouts import Observation, ask, off_at
from vmctl.decide.outcome import DomainPresence, Resolution, resolve
from vmctl.errors import Cancelled, HostError, MigrationFailed, Uncertain, VmctlError
from vmctl.hosts.shown import LEFT_OVER, POST_COPY_FAILED, JobProgress
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.tasks import AnyJob

# After this an unclear picture is told as not certain; reconciling goes on looking.
SETTLE_FOR_S = 30.0
QUIET_S = 15.0  # a host that stays silent this long is taken as silent for this outcome
HALVES = "cannot go on: its post-copy broke, and each host has a part of its memory (its disk is whole)"
FINAL = (Resolution.ON_TARGET, Resolution.ON_SOURCE, Resolution.NOWHERE, Resolution.ALARM)


async def conclude(
    services: Services, job: AnyJob, vm: VMRecord, source: str, target: str, problem: VmctlError | None, took_s: float
) -> dict[str, Any]:
    """Read both hosts, and make the registry say what they show. Raises MigrationFailed, Cancelled, Uncertain."""
    act, answers = await both(services, job, vm, source, target)
    lines = tuple(str(answer) for answer in answers)
    gone = [answer.host for answer in answers if answer.sight is DomainPresence.GONE]
    who = job.task.who
    if act is Resolution.ON_TARGET:
        seen = answers[1].domain
        power, why = (seen.power, seen.why) if seen is not None else (PowerState.RUNNING, "")
        arrived = services.store.lease(vm, target, power, gone=gone, why=why, moved_at=services.clock.now())
        # Read beside the writing: nothing follows from it.
        _, stats, _, _ = await asyncio.gather(
            arrived, _completed(services, vm, target), _look(services, source), _look(services, target)
        )
        return await _moved(services, job, vm, source, target, took_s, lines, stats, power)
    # A cancel that came too late is no cancel: only what both hosts show decides, and then what was asked.
    if act is Resolution.ON_SOURCE and isinstance(problem, Cancelled):
        told = services.event("migration cancelled", vm, f"{vm.name} stays on {source}: {problem.message}", who)
        await services.store.lease(vm, source, PowerState.RUNNING, gone=gone, told=[told])
        raise Cancelled(f"{problem.message}; {vm.name} runs on {source}", lines=lines)
    if act is Resolution.ON_SOURCE:
        why = problem.message if problem else "libvirt reported no error"
        text = f"{vm.name} was not migrated and runs on {source}: {why}"
        told = services.event("migration failed", vm, f"{source} -> {target}: {text}", who)
        await services.store.lease(vm, source, PowerState.RUNNING, gone=gone, told=[told])
        raise MigrationFailed(text, lines=lines)
    if act is Resolution.NOWHERE:
        await _nowhere(services, job, vm, (source, target), problem, lines)
    broken = any(is_half(answer) for answer in answers)
    if act is Resolution.RESUME_SOURCE and not broken and stale(services, vm, source, target):
        text = f"{vm.name} stays paused on {source}: {STALE}, as it may have run on {target} since"
        told = services.event("alarm", vm, text, who)
        await services.store.lease(vm, source, PowerState.PAUSED, gone=gone, why=STALE, told=[told])
        raise Uncertain(text, lines=lines, hint=f"vmctl stop --force {vm.name}, then vmctl start {vm.name}")
    unclear = f"where {vm.name} runs is not certain{': both run' if act is Resolution.ALARM else ''}"
    what = f"{vm.name} {HALVES}" if broken else unclear
    alarm = services.event("alarm", vm, f"{what}; {'; '.join(lines)}", who)
    await services.store.lease(vm, source, PowerState.UNKNOWN, gone=gone, why="; ".join(lines), told=[alarm])
    end = f"vmctl stop --force {vm.name}, then vmctl start {vm.name}"
    raise Uncertain(what, lines=lines, hint=end if broken else f"vmctl show {vm.name}")


async def _nowhere(
    services: Services,
    job: AnyJob,
    vm: VMRecord,
    hosts: tuple[str, str],
    problem: VmctlError | None,
    lines: tuple[str, ...],
) -> NoReturn:
    """Neither host has it: it has ended, or somebody else moved it. Raises MigrationFailed, Uncertain."""
    source, target = hosts
    links = [link for name in hosts if (link := services.links.get(name)) is not None]
    went = await departure(services, links[0], vm, but=hosts) if links else Departure()
    shown, who = went.shown, job.task.who
    if shown is not None and shown.domain is not None:
        text = f"{vm.name} runs on {shown.host}: {went.doubt} meanwhile"
        told = services.event("found", vm, text, who)
        at, why = services.clock.now(), shown.domain.why
        await services.store.lease(vm, shown.host, shown.domain.power, gone=hosts, told=[told], why=why, moved_at=at)
        raise MigrationFailed(text, lines=lines)
    if went.silent and not any(vm.uuid in link.put_out for link in links):
        told = services.event("alarm", vm, f"{vm.name} is neither on {source} nor on {target}: {went.doubt}", who)
        await services.store.lease(
            vm, "", PowerState.UNKNOWN, gone=hosts, also=went.silent, why=went.doubt, told=[told]
        )
        raise Uncertain(f"where {vm.name} runs is not certain: {went.doubt}", lines=lines, hint=f"vmctl show {vm.name}")
    text = f"{vm.name} runs nowhere after its migration {source} -> {target} broke"
    more: dict[str, Any] = {}
    if links and vm.uuid in links[0].put_out:  # as without a migration: that was somebody's wish
        text = f"{vm.name} ended on {source} while it migrated to {target}: it shut down, or somebody ended it"
        more = {"wanted": "stopped", "ended": [source, services.clock.now()]}
    told = services.event("lost", vm, text, who)
    await services.store.lease(vm, off_at(vm), PowerState.STOPPED, gone=hosts, told=[told], **more)
    why = problem.message if problem else "it ended meanwhile"
    raise MigrationFailed(f"{vm.name} runs nowhere: {why}", lines=lines, hint=f"vmctl start {vm.name}")


def is_half(answer: Observation) -> bool:
    """Whether what the host shows has a part of the VM's memory only: its post-copy broke."""
    return answer.domain is not None and answer.domain.why == POST_COPY_FAILED


async def both(
    services: Services, job: AnyJob, vm: VMRecord, source: str, target: str
) -> tuple[Resolution, tuple[Observation, Observation]]:
    """Look, act on what is certain, look again; give an unclear picture time to become clear."""
    began = services.clock.monotonic()
    while True:
        here, there = await asyncio.gather(ask(services, source, vm.uuid), ask(services, target, vm.uuid))
        # Not in the table: it sees that a copy is paused, and not why.
        act = Resolution.ON_TARGET if _arrived_paused(here, there) else resolve(here.sight, there.sight)
        waited = services.clock.monotonic() - began
        # While libvirt still has a job on the source, the picture is one of a migration under way and settles
        # nothing.
        busy = bool(here.domain and here.domain.has_job and here.sight is not DomainPresence.GONE)
        silent = DomainPresence.SILENT in (here.sight, there.sight)
        # Two paused copies: the target may be about to run, so this picture gets time to change by itself.
        hasty = here.sight is DomainPresence.PAUSED and there.sight is DomainPresence.PAUSED and waited < QUIET_S
        # A silent host may only be slow: it gets its time before its silence decides.
        clear = act in FINAL and not busy and not (silent and waited < QUIET_S)
        halves = is_half(here) or is_half(there)  # neither can go on alone, and neither is a left-over
        # A copy that may have run there since is gone, and with it what it knew of the disk.
        older = act is Resolution.RESUME_SOURCE and stale(services, vm, source, target)
        may_act = not (busy or hasty or halves or older)
        acted = may_act and await _do(services, vm, act, source, target)
        if acted:
            job.say(f"{act}: {here}, {there}")
        # Before this, whatever was changed on a host is read once more: only what both show afterwards is believed.
        elif clear or waited > SETTLE_FOR_S:
            return act, (here, there)
        job.show(text=f"reading both hosts: {here}; {there}")
        # Often at first: the task ends, and who waits for it goes on, with the first clear picture.
        await asyncio.sleep(0.2 if waited < 5 else 1.0)


def stale(services: Services, vm: VMRecord, source: str, target: str) -> bool:
    """Whether a copy on the target may have run, and have ended there, since the VM last ran on the source."""
    here, there = services.links.get(source), services.links.get(target)
    return here is None or there is None or not has_not_run(there, here, vm.uuid)


def _arrived_paused(here: Observation, there: Observation) -> bool:
    """Somebody, or an I/O error, paused it on the target just when it had arrived: not the migration, which is over."""
    paused = there.sight is DomainPresence.PAUSED and there.domain is not None and there.domain.why not in LEFT_OVER
    return here.sight is DomainPresence.GONE and paused


async def _do(services: Services, vm: VMRecord, act: Resolution, source: str, target: str) -> bool:
    """Carry out an act that changes a host; whether there was one and the host said yes."""
    with contextlib.suppress(HostError):  # both hosts are looked at again, and then it is tried again
        if act is Resolution.DROP_TARGET:
            await services.online(target).virt.destroy(vm.uuid)
        elif act is Resolution.DROP_SOURCE:
            await services.online(source).virt.destroy(vm.uuid)
        elif act is Resolution.RESUME_SOURCE:
            await services.online(source).virt.resume(vm.uuid)
        else:
            return False
        return True
    return False


async def _moved(
    services: Services,
    job: AnyJob,
    vm: VMRecord,
    source: str,
    target: str,
    took_s: float,
    lines: tuple[str, ...],
    stats: JobProgress,
    power: PowerState,
) -> dict[str, Any]:
    """The happy end: the pause as libvirt measured it, checked on both hosts."""
    waits = "; it is paused there, by somebody else" if power is PowerState.PAUSED else ""
    paused = f"paused {stats.downtime_ms} ms" if stats.downtime_ms else "its pause was not measured"
    text = f"{vm.name} moved {source} -> {target}, {paused}{waits}"
    await services.record_event("migrated", vm, text, job.task.who)
    return {
        "vm": vm.name,
        "source": source,
        "host": target,
        "downtime_ms": stats.downtime_ms or None,  # of a post-copy libvirt tells none
        "libvirt_ms": stats.elapsed_ms,
        "seconds": round(took_s, 3),
        "checked": list(lines),
    }


async def _completed(services: Services, vm: VMRecord, target: str) -> JobProgress:
    try:
        return await services.online(target).virt.job(vm.uuid, completed=True)
    except VmctlError:
        return JobProgress(False)


async def _look(services: Services, host: str) -> None:
    """So that what the API shows is true at once."""
    link = services.links.get(host)
    if link is not None and link.online:
        with contextlib.suppress(VmctlError):
            await link.refresh_domains()
