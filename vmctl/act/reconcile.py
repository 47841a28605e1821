"""What hosts show against what the registry says: reality wins; where two copies run, only a human may end one.

Runs after every reading of a host's domains, and leaves alone every VM that a task holds.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from vmctl.act.definitions import due, last_read_at, learn_all, resolved, spec_of
from vmctl.act.departed import Departure, departure
from vmctl.act.disks import look_for_key, storage_of
from vmctl.act.leftover import STALE, LeftOver, left_over
from vmctl.act.whereabouts import ASKED, IN_VAIN, Observation, alive, ask, ask_for_sure, known_as, off_at
from vmctl.decide.outcome import DomainPresence, Resolution, resolve
from vmctl.errors import HostError, NotFound, Refused, VmctlError
from vmctl.hosts import domainxml
from vmctl.hosts.leaseprobe import PROBE, is_stale
from vmctl.hosts.port import Link
from vmctl.hosts.shown import LEFT_OVER, DomainSeen
from vmctl.model.records import TWO_COPIES, Storage, VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.reconcile")
WAIT_FOR_BOOT_S = 30.0
HUNG = "left paused by a migration that broke"
MIGRATED = "somebody migrated it"


async def reconcile(services: Services, link: Link) -> None:
    """Bring the registry in line with what this host shows. One VM that cannot be read stops no other."""
    if not link.online or link.domains_at is None or services.links.get(link.name) is not link:
        return  # of a host that left the pool nothing is followed
    known = {vm.uuid: vm for vm in await services.vms_about(link)}
    for domain in list(link.domains.values()):
        vm = known.get(domain.uuid)
        with wall(log, f"{link.name}: {domain.name}"):
            if vm is None:
                await _adopt(services, link, domain)
            elif vm.task is None:
                await _follow(services, link, vm, domain)
    running = {uuid for uuid, domain in link.domains.items() if alive(domain)}
    its = {uuid for uuid, vm in known.items() if vm.host == link.name and vm.task is None}
    # A VM of ours that is off has nothing on the host to be read.
    read = [uuid for uuid in due(link, its) if uuid in running or known[uuid].adopted]
    if read:
        await learn_all(services, link, read)
    for vm in known.values():
        if vm.task is None and vm.uuid not in link.domains:
            with wall(log, f"{link.name}: {vm.name}"):
                await _absent(services, link, vm)
    await learn_cpus(services, link, known.values())


async def learn_cpus(services: Services, link: Link, vms: Iterable[VMRecord] = ()) -> None:
    """Ask a host whether it can give guests the CPUs of these VMs, and of all others: they may be about to move in."""
    with contextlib.suppress(HostError):  # where libvirt cannot compare CPUs, the names of its models must do
        await link.learn_cpus({vm.spec.cpu_xml for vm in vms} | services.cpus)


async def _follow(services: Services, link: Link, vm: VMRecord, domain: DomainSeen) -> None:
    if vm.host == link.name:
        if domain.power is PowerState.PAUSED and domain.why in LEFT_OVER and await _let_go_on(services, link, vm):
            return
        if domain.power is not vm.power and not vm.why.startswith(HUNG):
            await _changed(services, link, vm, domain)
    elif alive(domain):
        await _elsewhere(services, link, vm, domain)


async def _let_go_on(services: Services, link: Link, vm: VMRecord) -> bool:
    """Let it go on where a migration broke and left it paused; whether it was seen to. It is nobody's task any more."""
    found = await left_over(services, link, vm)
    # It is no left-over after all, or may run elsewhere: it stays as it is, and as it is written down.
    if found is None or found.others:
        return vm.power is PowerState.UNKNOWN
    if found.stale:
        await _tell_stale(services, link, vm, found)
        return True
    try:
        storage = await storage_of(services, vm)
        if storage is not None and not vm.adopted:
            await look_for_key(link, storage, vm.uuid)  # it takes its lease again
        await link.virt.resume(vm.uuid)
    except HostError as err:
        await _tell_hung(services, link, vm, err)
        return True
    gone = vm.may_run_on.keys() - {link.name}  # nothing was in the way: each of them said so
    text = f"{vm.name} goes on on {link.name}: a migration that broke had left it paused"
    told = [services.event("resumed", vm, text)]
    await services.store.lease(vm, link.name, PowerState.RUNNING, gone=gone, told=told)
    return True


async def _tell_stale(services: Services, link: Link, vm: VMRecord, found: LeftOver) -> None:
    """It runs nowhere, and may not go on: only a start from its disk is sure."""
    if not vm.why.startswith(STALE):
        end = f"vmctl stop --force {vm.name}, then vmctl start {vm.name}"
        text = f"{vm.name} stays paused on {link.name}: {STALE}, as {'; '.join(found.stale)}; {end}"
        gone = vm.may_run_on.keys() - {link.name}
        told = [services.event("alarm", vm, text)]
        await services.store.lease(vm, link.name, PowerState.PAUSED, gone=gone, why=STALE, told=told)


async def _tell_hung(services: Services, link: Link, vm: VMRecord, err: HostError) -> None:
    """It was told to go on, and does not: also QEMU itself may hang after a migration that was cancelled (7.2)."""
    why = f"{HUNG}, and does not go on"
    if vm.why != why:
        mend = f"vmctl resume {vm.name}; if that fails, too: vmctl stop --force {vm.name}, then vmctl start {vm.name}"
        alarm = services.event("alarm", vm, f"{vm.name} on {link.name}: {why}: {err.message}; {mend}")
        await services.store.change(VMRecord, vm.uuid, why=why, told=[alarm])


async def _changed(services: Services, link: Link, vm: VMRecord, domain: DomainSeen) -> None:
    """It does something else than it did: its guest, or somebody on the host, has changed it."""
    more: dict[str, Any] = {}
    if domain.power is PowerState.RUNNING and not vm.wanted:
        more = {"wanted": "running"}
    if domain.power is PowerState.STOPPED:
        read_at = last_read_at(link, vm.uuid)
        more = {"gone": (link.name,), "wanted": _still_wanted(vm, link), "read_at": read_at}
        more["ended"] = [link.name, services.clock.now()]
    told = [services.event("changed", vm, f"{vm.name} on {link.name} is {domain.power} (was {vm.power})")]
    await services.store.lease(vm, link.name, domain.power, why=domain.why, told=told, **more)


def _still_wanted(vm: VMRecord, link: Link) -> str:
    """What is wanted of a VM that ended by itself: a reboot of its host changes nothing, all else is an answer."""
    if vm.why.startswith(ASKED) and vm.why.endswith(IN_VAIN):
        return "stopped"
    return vm.wanted if link.rebooted or not link.judged_boot or vm.why.startswith(ASKED) else "stopped"


async def _absent(services: Services, link: Link, vm: VMRecord) -> None:
    """What follows from a host that answers and does not show this VM."""
    if vm.why.startswith(TWO_COPIES) and link.name in vm.why:
        await services.store.change(VMRecord, vm.uuid, why="")  # a human has ended one: the next alarm is a new one
    if vm.host == link.name:
        await _gone(services, link, vm)
    elif (name := known_as(vm, link.record)) is not None and await _surely_gone(services, link, vm):
        power = PowerState.STOPPED if vm.power is PowerState.UNKNOWN else vm.power
        told = await services.store.lease(vm, vm.host, power, gone=(name,))
        if told.power is PowerState.STOPPED:
            await services.record_event("ended", vm, f"{vm.name} is not on {link.name} any more: stopped")


def _boot_is_known(link: Link) -> bool:
    """Whether a reboot of the host can be told from the end of a guest; one that tells no load is not waited for."""
    return bool(link.judged_boot) or link.clock.now() - link.since > WAIT_FOR_BOOT_S


async def _surely_gone(services: Services, link: Link, vm: VMRecord) -> bool:
    """Ask again: the list may be older than its start."""
    answer = await ask_for_sure(services, link.name, vm.uuid)
    if answer.lost_qemu and answer.why != vm.why:
        alarm = services.event("alarm", vm, f"{vm.name} on {link.name}: {answer.why}")
        await services.store.lease(vm, vm.host, PowerState.UNKNOWN, why=answer.why, told=[alarm])
    return answer.sight is DomainPresence.GONE


async def _elsewhere(services: Services, link: Link, vm: VMRecord, domain: DomainSeen) -> None:
    """A VM shows up on a host that is not its home: what both show decides, by the same table as after a migration.

    A copy is destroyed only when it is a migration's left-over that never ran or has handed over.
    """
    # Both are asked now: what was listed may be older than a move between the two.
    home = await ask(services, vm.host, vm.uuid) if vm.host else Observation("", DomainPresence.GONE)
    here = await ask(services, link.name, vm.uuid)
    if here.domain is None:
        return  # it went away, or the host is silent: the next reading will tell
    domain, act = here.domain, resolve(home.sight, here.sight)
    if domain.has_job or (home.domain is not None and home.domain.has_job):
        return  # somebody migrates it just now
    if act is Resolution.DROP_SOURCE and home.domain is not None and home.domain.why in LEFT_OVER:
        await services.online(vm.host).virt.destroy(vm.uuid)
    elif act is Resolution.DROP_TARGET and home.sight is DomainPresence.RUNNING and domain.why in LEFT_OVER:
        await link.virt.destroy(vm.uuid)
        return
    elif act in (Resolution.ALARM, Resolution.DROP_SOURCE, Resolution.DROP_TARGET):
        await _alarm(services, link, vm)
        return
    elif home.sight is DomainPresence.SILENT and here.sight is not DomainPresence.RUNNING:
        return
    left = (vm.host,) if home.sight is DomainPresence.GONE else ()
    back = known_as(vm, link.record) is not None
    other = "where somebody migrated it" if vm.why.startswith(MIGRATED) else "started by somebody else"
    was = f"not on {vm.host}" if vm.host else "which is back" if back else other
    told = [services.event("found", vm, f"{vm.name} runs on {link.name}, {was}")]
    more: dict[str, Any] = {"why": domain.why, "moved_at": services.clock.now(), "wanted": "running"}
    await services.store.lease(vm, link.name, domain.power, gone=left, told=told, **more)


async def _alarm(services: Services, link: Link, vm: VMRecord) -> None:
    why = f"{TWO_COPIES} on {vm.host} and on {link.name}"
    if vm.why != why:
        alarm = services.event("alarm", vm, f"{vm.name} shows {why}; nothing is done to either, look at both hosts")
        # It may run there from now on, whatever becomes of the other: nobody starts it anew before that one is gone.
        await services.store.lease(vm, vm.host, vm.power, also=(link.name,), why=why, told=[alarm])


async def _gone(services: Services, link: Link, vm: VMRecord) -> None:
    """Its host answers and does not have it: it ended by itself, or somebody ended it, or moved it."""
    if vm.power is PowerState.STOPPED:
        if vm.adopted and not vm.transient:
            told = [services.event("forgotten", vm, f"{vm.name} was undefined on {link.name} and is forgotten")]
            await services.store.forget_vm(vm, told=told)
        return
    # Whether its host was rebooted decides whether it is started again, so that must be known before its end is
    # judged.
    if not _boot_is_known(link) or not await _surely_gone(services, link, vm):
        return
    went = await departure(services, link, vm)
    if went.shown is not None:
        return  # what that host shows is followed when it is read
    if went.moved and not went.silent:
        await _moved_away(services, link, vm)
        return
    await _ended(services, link, vm, went)


async def _ended(services: Services, link: Link, vm: VMRecord, went: Departure) -> None:
    """Write down its end; where nobody saw it and hosts are silent that may have it since, that it may run there."""
    silent = went.silent
    why = f"{link.name} was rebooted" if link.rebooted else "it ended by itself, or somebody ended it"
    why = went.doubt if silent else why
    why = vm.why if vm.why.startswith(ASKED) else why
    others = sorted({*vm.may_run_on, *silent} - {link.name})
    now = f"may still run on {', '.join(others)}" if others else "stopped"
    more: dict[str, Any] = {"why": f"may still run on {', '.join(others)}"} if silent else {}
    await services.store.lease(
        vm,
        off_at(vm),
        PowerState.UNKNOWN if silent else PowerState.STOPPED,
        gone=(link.name,),
        also=silent,
        told=[services.event("ended", vm, f"{vm.name} is no longer on {link.name}: {now}; {why}")],
        wanted=_still_wanted(vm, link),
        read_at=last_read_at(link, vm.uuid),
        ended=[link.name, services.clock.now()],
        **more,
    )


async def _moved_away(services: Services, link: Link, vm: VMRecord) -> None:
    """libvirt said that it left by a migration, which was none of ours: it runs where nobody shows it yet."""
    link.moved_away.discard(vm.uuid)
    why = f"{MIGRATED} away from {link.name}, and no host shows it"
    told = [services.event("changed", vm, f"{vm.name}: {why} yet")]
    await services.store.lease(vm, "", PowerState.UNKNOWN, gone=(link.name,), why=why, told=told)


async def _adopt(services: Services, link: Link, domain: DomainSeen) -> None:
    """A domain nobody told us about: registered as it is, and not touched."""
    if domain.name.startswith(PROBE):
        if is_stale(domain.name, services.clock.now()):
            await link.virt.destroy(domain.uuid)
        return
    try:
        shown = await link.virt.shown(domain.uuid)
        xml = shown.kept or shown.again or shown.live
        seen = domainxml.read(shown.live or xml)
    except VmctlError:
        return  # it ended meanwhile, or the next reading will do
    taken = {disk.path for vm in await services.store.all(VMRecord) for disk in vm.spec.disks}
    # A domain that says it is ours, and has another VM's disk, is a copy that somebody made of that one's XML.
    ours = seen.spec is not None and seen.spec.uuid == domain.uuid and not taken & {d.path for d in seen.spec.disks}
    storages = await services.store.all(Storage)
    disks = await resolved(link, seen.definition)
    spec = seen.spec if ours and seen.spec else spec_of(link, seen, disks, storages)
    runs = alive(domain)
    record = VMRecord(
        spec,
        services.clock.now(),
        host=link.name,
        power=domain.power,
        adopted=not ours,
        definition="" if ours else xml,
        transient=not ours and not shown.kept,
        files=sorted(seen.definition.paths) if runs else [],  # of one that does not run, its disks are asked
        may_run_on={link.name: link.record.machine} if runs else {},
        wanted="running" if runs else "",
    )
    try:
        await services.store.add_vm(record)
    except NotFound:
        return  # its host has just left the pool
    except Refused:
        if await services.store.find_vm(spec.uuid) is not None:
            return  # another host showed it at the same moment
        spec = replace(spec, name=f"{spec.name}-{spec.uuid[:8]}")  # the name is taken by another VM
        record = replace(record, spec=spec)
        await services.store.add_vm(record)
    text = f"{spec.name} was found on {link.name} ({domain.power}) and adopted as it is"
    await services.record_event("adopted", record, text)
