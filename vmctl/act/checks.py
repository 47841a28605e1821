"""Would this VM migrate? Every pre-check against every host, without touching anything."""

from __future__ import annotations

import asyncio
from typing import Any

from vmctl.act.whereabouts import Answer, ask
from vmctl.decide import fit
from vmctl.decide.outcome import Sight
from vmctl.errors import VmctlError
from vmctl.hosts import doctor, domainxml
from vmctl.hosts.link import HostLink
from vmctl.model import VM, Cluster, Host, PowerState
from vmctl.observe import observe
from vmctl.records import VMRecord
from vmctl.world import World


async def check_migration(world: World, vm: VMRecord) -> dict[str, Any]:
    """For every other host: what speaks against moving the VM there, empty when nothing does."""
    cluster = await observe(world)
    seen = next(v for v in cluster.vms if v.spec.uuid == vm.uuid)
    general = _in_general(seen)
    source = world.links.get(vm.host)
    live = None
    if source is not None and source.online:
        try:
            live = domainxml.read(await source.virt.xml(vm.uuid))
            general += list(live.unmovable)
            if not live.lease and not vm.adopted:
                general.append("it holds no lease of its own in the lock manager")
        except VmctlError as err:
            general.append(err.message)
    hosts = [host for host in cluster.hosts if host.name != vm.host]
    found = await asyncio.gather(*(_blockers(world, seen, host, cluster, source, live) for host in hosts))
    rows = [{"host": host.name, "blockers": general + list(more)} for host, more in zip(hosts, found, strict=True)]
    return {"vm": vm.name, "source": vm.host, "hosts": rows, "movable": any(not row["blockers"] for row in rows)}


def _in_general(vm: VM) -> list[str]:
    if vm.power is PowerState.STOPPED:
        return ["it is stopped: it will be placed when it starts"]
    found = []
    if vm.power is not PowerState.RUNNING:
        found.append(f"it is {vm.power}")
    if vm.busy:
        found.append("a task holds it")
    if vm.spec.cpu == "host":
        found.append("it has its host's own CPU (--cpu host), which others may lack")
    return found


async def _blockers(
    world: World, vm: VM, host: Host, cluster: Cluster, source: HostLink | None, live: domainxml.Seen | None
) -> list[str]:
    found = [why for _, rule in fit.RULES if (why := rule(vm, host, cluster, world.policy)) is not None]
    link = world.links.get(host.name)
    if link is None or not link.online or link.about is None:
        return found
    try:
        found += await _hypervisor(vm, link, source, live)
        there: Answer = await ask(world, host.name, vm.spec.uuid)
        if there.sight is not Sight.GONE:
            found.append(f"{host.name} shows a copy of it already ({there.sight})")
        if source is not None and source.online:
            network = await doctor.reach(source, link)
            if network.verdict != doctor.OK:
                found.append(network.text)
    except VmctlError as err:
        found.append(err.message)
    return found


async def _hypervisor(vm: VM, link: HostLink, source: HostLink | None, live: domainxml.Seen | None) -> list[str]:
    assert link.about is not None
    found = []
    if vm.spec.cpu_xml and not await link.virt.cpu_fits(link.about.accel, vm.spec.cpu_xml):
        found.append(f"CPU: {domainxml.cpu_name(vm.spec.cpu_xml)} with its flags is not to be had there")
    if live is not None and live.machine and live.machine not in link.about.machines:
        found.append(f"machine type {live.machine} is not known to QEMU {link.about.qemu} there")
    if live is not None and live.accel != link.about.accel:
        found.append(f"it runs under {live.accel}, the host offers {link.about.accel}")
    if (
        source is not None
        and source.about is not None
        and doctor.number(link.about.qemu) < doctor.number(source.about.qemu)
    ):
        found.append(f"QEMU {link.about.qemu} there is older than {source.about.qemu} here")
    return found
