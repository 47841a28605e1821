"""A VM that runs holds its lease: found out when it does not, told, and mended by a task of its own.

Without its lease nothing but QEMU's own file lock keeps a second copy from starting elsewhere. Pausing a VM gives its
leases back and resuming it takes them again, so that mends it; first a probe proves that the host's lock manager gives
leases at all, because a VM that cannot take its lease stays paused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from typing import Any

from vmctl.act.disks import refuse_without, storage_of
from vmctl.commands.vms import RenewLease
from vmctl.errors import HostError, MissingLease, NotMounted
from vmctl.hosts import doctor, leases
from vmctl.hosts.leaseprobe import refused_by_lock
from vmctl.hosts.port import Link
from vmctl.model.records import Storage, VMRecord
from vmctl.model.rights import LEASE_GUARD
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.storage import on
from vmctl.tasks import Job, Tasks
from vmctl.tasks.journals import Renewing

log = logging.getLogger("vmctl.leases")
LOOK_EVERY_S = 8.0
TRY_EVERY_S = 60.0  # how often a host that gives no leases is tried again
RESUME_FOR_S = 60.0  # a VM that was paused for its lease is let go on
SECOND_LOOK_S = 1.0  # a lease changes hands for a moment when a VM is resumed or moved
MISSING = "runs without its lease"


async def missing(services: Services, link: Link, vms: list[VMRecord]) -> list[VMRecord]:
    """Those of the host's running VMs that do not hold their lease. Raises HostError when that cannot be read."""
    storages = {storage.name: storage for storage in await services.store.all(Storage)} if vms else {}
    spaces: dict[str, list[VMRecord]] = defaultdict(list)
    for vm in vms:
        storage = storages.get(vm.lease_storage)
        if storage is not None and storage.lockspace and not vm.adopted:
            spaces[storage.lockspace].append(vm)
    without: list[VMRecord] = []
    for lockspace, here in spaces.items():
        held = await link.ask(leases.held(lockspace, [vm.uuid for vm in here]))
        without += [vm for vm in here if vm.uuid not in held]
    return without


class Guard:
    """Looks after the leases of every host's VMs, as often as their domains are read."""

    def __init__(self, services: Services, tasks: Tasks) -> None:
        self._services = services
        self._tasks = tasks
        self._looked: dict[str, float] = {}  # host -> when, monotonic
        self._lockds: dict[str, str] = {}  # host -> its virtlockd at the last look
        self._tried: dict[tuple[str, float], float] = {}  # host, and since when it is online -> when, monotonic

    async def look(self, link: Link) -> None:
        """Compare what runs with what is locked; tell and mend what does not hold its lease."""
        now = self._services.clock.monotonic()
        lockd = self._services.lockds.get(link.name, "")
        before = self._lockds.get(link.name, lockd)
        if not link.online or (before == lockd and now - self._looked.get(link.name, 0.0) < LOOK_EVERY_S):
            return
        self._looked[link.name], self._lockds[link.name] = now, lockd
        if before and before != lockd and before.split()[0] == lockd.split()[0]:
            text = f"virtlockd on {link.name} was restarted: it holds no leases but those that it was given since"
            await self._services.record_event("lease", link.name, text)
        try:
            without = await self._certainly_missing(link)
            # Without the mount nobody sees a lease: that is what is told then, and elsewhere. Once for each storage.
            for vm in {vm.lease_storage: vm for vm in without}.values():
                await refuse_without(self._services, link, vm)
            for vm in without:
                await self._tell(link, vm)
            await self._forget_alarms(link, {vm.uuid for vm in without})
            # Also without a suspect: a host that gave no leases gets VMs again only when it is seen to give them.
            if (without or link.name in self._services.no_lock) and await self._gives_leases(link):
                for vm in without:
                    await self._tasks.submit(RenewLease(vm.uuid), LEASE_GUARD, vm.name, vm.thing)
        except (HostError, NotMounted) as err:
            log.warning("%s: leases not read: %s", link.name, err)

    async def _running(self, link: Link) -> list[VMRecord]:
        """VMs of ours that run there and that no task holds."""
        here = [vm for vm in await self._services.vms_about(link) if vm.host == link.name and vm.task is None]
        here = [vm for vm in here if vm.uuid in link.domains]
        return [vm for vm in here if link.domains[vm.uuid].power is PowerState.RUNNING]

    async def _certainly_missing(self, link: Link) -> list[VMRecord]:
        suspects = await missing(self._services, link, await self._running(link))
        if not suspects:
            return []
        await asyncio.sleep(SECOND_LOOK_S)
        # Who ended or moved away meanwhile holds no lease, and is right not to.
        await link.refresh_domains()
        names = {vm.uuid for vm in suspects}
        return await missing(self._services, link, [vm for vm in await self._running(link) if vm.uuid in names])

    async def _tell(self, link: Link, vm: VMRecord) -> None:
        if not vm.why.startswith(MISSING):
            alarm = self._services.event("alarm", vm, f"{vm.name} {MISSING} on {link.name}")
            await self._services.store.change(VMRecord, vm.uuid, why=f"{MISSING} on {link.name}", told=[alarm])

    async def _forget_alarms(self, link: Link, without: set[str]) -> None:
        """A VM that holds its lease again, however it came by it, is not said to lack it any more."""
        for vm in await self._running(link):
            if vm.why.startswith(MISSING) and vm.uuid not in without:
                await self._services.store.change(VMRecord, vm.uuid, why="")

    async def _gives_leases(self, link: Link) -> bool:
        """Take a lease with a probe VM, at once and then every minute; a host that gives none gets no VMs meanwhile."""
        now, last = (
            self._services.clock.monotonic(),
            (link.name, link.since),
        )  # a libvirtd that was restarted is tried at once
        if now - self._tried.get(last, -TRY_EVERY_S) < TRY_EVERY_S:
            return False
        self._tried = {tried: when for tried, when in self._tried.items() if now - when < TRY_EVERY_S}
        self._tried[last] = now
        proof = await doctor.prove_lock(str(link.record.about.get("lockspace") or ""), link, link)
        known = self._services.no_lock.pop(link.name, "")
        if proof.verdict != doctor.OK:
            self._services.no_lock[link.name] = proof.text
        if proof.verdict != doctor.OK and not known:
            mend = "systemctl restart virtlockd libvirtd (its VMs go on)"
            await self._services.record_event(
                "alarm", link.name, f"{link.name} gets no VMs: {proof.text}; there: {mend}"
            )
        elif proof.verdict == doctor.OK and known:
            await self._services.record_event("lease", link.name, f"{link.name}'s lock manager gives leases again")
        return proof.verdict == doctor.OK


async def renew(services: Services, job: Job[RenewLease, Renewing]) -> dict[str, Any]:
    """Task: let a running VM take its lease again, by a pause of milliseconds. Its host was seen to give leases."""
    vm = await services.store.claim(await services.store.vm(job.args.vm), job.id)
    link = services.online(vm.host)
    # A predecessor that paused it may be gone: then it is only let go on.
    if job.journal.paused != vm.host:
        if not await missing(services, link, [vm]):
            return await _renewed(services, link, vm, "it holds its lease")
        await _make_key(services, link, vm)  # without it, it would stay paused
        # Before the pause: whoever takes over must know that it was us, and let the VM go on.
        await job.note("renewing", paused=vm.host)
        await link.virt.suspend(vm.uuid)
    await _resume(services, vm)
    link = services.online(vm.host)
    if await missing(services, link, [vm]):
        raise MissingLease(f"{vm.name} still {MISSING} on {link.name}", hint=f"vmctl host check {link.name}")
    return await _renewed(services, link, vm, "its lease was taken again")


async def _make_key(services: Services, link: Link, vm: VMRecord) -> None:
    """See that the VM's key is in the lockspace, where somebody may have taken it. Raises HostError."""
    storage = await storage_of(services, vm)
    if storage is not None and not vm.adopted:
        there = on(link, storage)
        await there.open()
        await there.make_key(vm.uuid)


async def _resume(services: Services, vm: VMRecord) -> None:
    """Let it go on: tried for a while, as it was us who paused it. Raises MissingLease, which says why it is paused."""
    deadline = services.clock.monotonic() + RESUME_FOR_S
    while True:
        try:
            link = services.online(vm.host)
            if (await link.virt.power(vm.uuid))[0] is PowerState.PAUSED:
                await link.virt.resume(vm.uuid)
            return
        except HostError as err:
            # Held by another host, it may be a second copy: then trying again is no way out, and a human must look.
            elsewhere = refused_by_lock(err.message) or "busy" in err.message
            if elsewhere or services.clock.monotonic() > deadline:
                raise await _stays_paused(services, vm, err, elsewhere) from err
            await asyncio.sleep(SECOND_LOOK_S)
            with contextlib.suppress(HostError):
                await _make_key(services, services.online(vm.host), vm)


async def _stays_paused(services: Services, vm: VMRecord, err: HostError, elsewhere: bool) -> MissingLease:
    why = "its lease is held elsewhere" if elsewhere else "its lease cannot be taken"
    text = "another host holds its lease" if elsewhere else f"{why}: {err.message}"
    alarm = services.event("alarm", vm, f"{vm.name} is paused on {vm.host}: {text}")
    await services.store.lease(vm, vm.host, PowerState.PAUSED, why=f"{why}: {err.message}", told=[alarm])
    look = f"look on every host for a second copy: virsh list; then vmctl resume {vm.name}"
    return MissingLease(
        f"{vm.name} is paused on {vm.host}: {why}",
        lines=(err.message,),
        hint=look if elsewhere else f"vmctl resume {vm.name}",
    )


async def _renewed(services: Services, link: Link, vm: VMRecord, what: str) -> dict[str, Any]:
    told = [services.event("lease", vm, f"{vm.name} on {link.name}: {what}")]
    await services.store.lease(vm, link.name, PowerState.RUNNING, told=told)
    return {"vm": vm.name, "host": link.name, "why": what}
