"""Whether a host is there, and in which boot: told once when it is lost, back, or was rebooted.

What was told stands in the registry, so that a controller that was restarted tells nothing twice and misses no reboot
that happened meanwhile.
"""

from __future__ import annotations

from vmctl.hosts.port import Link
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services

ORDERLY_S = 300.0  # that a host's own shutdown waits for its guests (libvirt-guests)
LOST_AFTER_S = 3.0  # its link is tried again meanwhile


async def follow_host(services: Services, link: Link) -> None:
    """Tell what is new of the host's presence. A link that is made anew within seconds is no news."""
    online, why = link.online, link.why
    link.judged_boot = link.boot_id if online else ""  # one for the whole pass: a sample may bring another meanwhile
    host = await services.store.find(HostRecord, link.name)
    if host is None or link.online != online:
        return  # the next look follows at once
    if online and host.lost_at is not None:
        away_s = services.clock.now() - host.lost_at
        back = services.event("host back", host.name, f"{host.name} answers again, after {away_s:.0f} s")
        await services.store.change(HostRecord, host.name, lost_at=None, told=[back])
    elif not online and link.tried and host.lost_at is None and services.clock.now() - link.since >= LOST_AFTER_S:
        vms = [
            vm.name
            for vm in await services.vms_about(link)
            if host.name == vm.host or (host.name in vm.may_run_on and vm.power is PowerState.UNKNOWN)
        ]
        there = f"; what ran there may go on: {', '.join(sorted(vms))}" if vms else ""
        lost = services.event("host lost", host.name, f"{host.name} does not answer: {why}{there}")
        await services.store.change(HostRecord, host.name, lost_at=link.since, told=[lost])
    link.told_lost = not online and (host.lost_at is not None or services.clock.now() - link.since >= LOST_AFTER_S)
    link.rebooted = bool(host.boot_id and link.judged_boot) and host.boot_id != link.judged_boot


async def _want_again(services: Services, link: Link) -> None:
    """An orderly reboot ends guests before the host is lost: those are wanted as before, though they ended first."""
    for vm in await services.vms_about(link):
        host, at = vm.ended if vm.ended else ("", 0.0)
        last = host == link.name and link.lost_since and float(at) >= link.lost_since - ORDERLY_S
        if last and vm.power is PowerState.STOPPED and vm.wanted == "stopped":
            await services.store.change(VMRecord, vm.uuid, wanted="running", ended=[])


async def keep_boot(services: Services, link: Link) -> None:
    """Its domains were followed: from now on, this boot is the one that the registry knows."""
    host = await services.store.find(HostRecord, link.name)
    boot = link.judged_boot
    if host is None or not boot or host.boot_id == boot or link.domains_at is None:
        return
    told = []
    if link.rebooted:
        await _want_again(services, link)  # before the boot is known: a successor must do it again
        told = [services.event("host rebooted", host.name, f"{host.name} was rebooted: what ran there has ended")]
    await services.store.change(HostRecord, host.name, boot_id=boot, told=told)
    link.rebooted = False
