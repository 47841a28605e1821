"""A lease that nobody's QEMU holds any more: left behind by a lock manager that was killed and restarted.

A lock is a file's, so where the VM is known to be off, its lock files are replaced: the new ones are free on every
other host. On the host whose virtlockd remembers the old one, only a restart of virtlockd helps (its VMs go on).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from vmctl.act.disks import storage_of
from vmctl.errors import HostError, Refused, VmctlError
from vmctl.hosts import leases
from vmctl.hosts.port import Link
from vmctl.hosts.qemus import processes
from vmctl.model.records import VMRecord
from vmctl.services import Services
from vmctl.storage import on

log = logging.getLogger("vmctl.leaked")
SETTLE_S = 1.0  # a lease is given back a moment after its domain is gone


async def holders(services: Services, vm: VMRecord, links: Iterable[Link]) -> list[Link]:
    """Of these hosts, those that hold the VM's lease although no QEMU there has the VM. A silent one says nothing."""
    storage = await storage_of(services, vm)
    if storage is None or not storage.lockspace or vm.adopted:
        return []
    links = [link for link in links if link.online]
    found = await asyncio.gather(*(_leaks(link, storage.lockspace, vm.uuid) for link in links))
    return [link for link, leaks in zip(links, found, strict=True) if leaks]


async def _leaks(link: Link, lockspace: str, uuid: str) -> bool:
    try:
        if uuid not in await link.ask(leases.held(lockspace, [uuid])):
            return False
        # libvirt alone does not do: a libvirtd that was restarted may have lost a QEMU that runs and holds the lease
        # by right.
        running = await link.ask(processes(uuid))
        return not running and await link.virt.domain(uuid) is None
    except HostError as err:
        log.info("%s: whether it holds the lease of %s is not known: %s", link.name, uuid, err.message)
        return False


async def replace_lease(services: Services, vm: VMRecord) -> list[str]:
    """Replace the lock files of a VM that is known to be off, if its lease leaked; the hosts that left it behind."""
    leaking = await holders(services, vm, services.links.values())
    storage = await storage_of(services, vm)
    if not leaking or storage is None:
        return []
    link = services.any_online(storage.hosts)
    there = on(link, storage)
    await there.open()
    own = [disk.path for disk in vm.spec.disks if vm.uuid in disk.path]  # no other VM's lock may go with them
    await there.remove_key(vm.uuid, own)
    await there.make_key(vm.uuid)
    names = [link.name for link in leaking]
    text = f"the lease of {vm.name} was left behind by virtlockd on {', '.join(names)}; it was replaced"
    mend = "before it can start there again: systemctl restart virtlockd libvirtd (its VMs go on)"
    await services.record_event("lease", vm, f"{text}; {mend}")
    return names


async def after_stop(services: Services, vm: VMRecord, link: Link) -> None:
    """Read the lease of a VM back that was stopped there; one left behind is replaced. Nothing makes the stop fail."""
    try:
        if await holders(services, vm, [link]):
            await asyncio.sleep(SETTLE_S)
            await replace_lease(services, vm)
    except VmctlError as err:
        log.warning("the lease of %s was not read back: %s", vm.name, err.message)


async def explained(services: Services, vm: VMRecord, host: str, refused: Refused) -> Refused:
    """A start that the lock refused, where the lease was only left behind: what was done, and what helps now."""
    names = await replace_lease(services, vm)
    if not names:
        return refused
    there = f"{', '.join(names)} held a lease that no QEMU has: it was replaced"
    hint = f"vmctl start {vm.name}" if host not in names else f"on {host}: systemctl restart virtlockd libvirtd"
    return Refused(f"{vm.name} was not started on {host}: {there}", lines=refused.lines, hint=hint)
