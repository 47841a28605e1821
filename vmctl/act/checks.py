"""Would this VM migrate? Every pre-check against every host, without touching anything."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from vmctl.act import definitions
from vmctl.act.needs import lacking_or_why, tpm_in_the_way
from vmctl.act.whereabouts import Observation, ask
from vmctl.decide import fit
from vmctl.decide.outcome import DomainPresence
from vmctl.decide.place import SPARE, place
from vmctl.errors import VmctlError
from vmctl.hosts import doctor, domainxml
from vmctl.hosts.port import Link
from vmctl.hosts.shown import Shown
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host
from vmctl.model.policy import Policy
from vmctl.model.records import Storage, VMRecord
from vmctl.model.vms import VM, PowerState
from vmctl.services import Services
from vmctl.services.observe import observe


@dataclass(frozen=True, slots=True)
class TargetCheck:
    """What one host has against a VM that comes live, and cold."""

    host: str
    blockers: list[str]
    cold_blockers: list[str]


@dataclass(frozen=True, slots=True)
class MigrationCheck:
    """What stands in the way of a migration; `cold`: of a cold one, wherever it goes."""

    vm: str
    source: str
    hosts: list[TargetCheck]
    movable: bool
    cold_movable: bool
    cold: list[str]
    differs: list[dict[str, str]]


async def check_migration(services: Services, vm: VMRecord) -> MigrationCheck:
    """For every other host: what speaks against moving the VM there live, and cold; empty when nothing does.

    `differs`: in what the VM is not what it would be started as, which a cold move or a reboot would lose.
    """
    source, shown = services.links.get(vm.host), Shown()
    general: list[str] = []
    if source is not None and source.online:
        try:
            shown = await source.virt.shown(vm.uuid)
            # As it would be kept, and not kept: a check writes nothing.
            storages = await services.store.all(Storage)
            vm = await definitions.as_shown(services, source, vm, shown, storages)
        except VmctlError as err:
            general.append(err.message)
    cluster = await observe(services)
    seen = next(v for v in cluster.vms if v.spec.uuid == vm.uuid)
    general += _in_general(seen, vm, shown)
    hosts = [host for host in cluster.hosts if host.name != vm.host]
    crowded = await services.threads.run(_crowded, seen, cluster, services.policy)
    found = await asyncio.gather(
        *(_blockers(services, seen, host, cluster, source, shown, crowded.get(host.name, ())) for host in hosts)
    )
    differs = [one["what"] for one in vm.drift]
    alone = [*vm.stuck_cold, *differs]
    rows = [
        TargetCheck(host.name, [*general, *vm.stuck, *both, *live], [*alone, *general, *both])
        for host, (both, live) in zip(hosts, found, strict=True)
    ]
    return MigrationCheck(
        vm=vm.name,
        source=vm.host,
        hosts=rows,
        movable=any(not row.blockers for row in rows),
        cold_movable=any(not row.cold_blockers for row in rows),
        cold=list(vm.stuck_cold),
        differs=definitions.differs(vm),
    )


def _in_general(seen: VM, vm: VMRecord, shown: Shown) -> list[str]:
    if seen.power is PowerState.STOPPED:
        return [] if vm.adopted and not vm.transient else ["it is stopped: it will be placed when it starts"]
    found = []
    if seen.power is not PowerState.RUNNING:
        found.append(f"it is {seen.power}")
    if seen.busy:
        found.append("a task holds it")
    if seen.spec.cpu == "host":
        found.append("it has its host's own CPU (--cpu host), which others may lack")
    if shown.live and not vm.adopted and not domainxml.read(shown.live).lease:
        found.append("it holds no lease of its own in the lock manager")
    return found


def _crowded(vm: VM, cluster: Cluster, policy: Policy) -> dict[str, tuple[str, ...]]:
    """Hosts that obey every rule and are refused for the sake of the whole cluster (N+1), and why."""
    verdicts = place(vm, cluster, policy).verdicts if policy.spare_host else ()
    return {one.host: (one.why,) for one in verdicts if one.refusal is not None and one.refusal.rule == SPARE}


async def _blockers(
    services: Services,
    vm: VM,
    host: Host,
    cluster: Cluster,
    source: Link | None,
    shown: Shown,
    crowded: tuple[str, ...],
) -> tuple[list[str], list[str]]:
    """What the host has against it however it comes, and what besides against a live migration."""
    found = [why for _, rule in fit.RULES if (why := rule(vm, host, cluster, services.policy)) is not None]
    found += crowded
    link = services.links.get(host.name)
    if link is None or not link.online or link.about is None:
        return found, []
    live: list[str] = []
    try:
        there: Observation = await ask(services, host.name, vm.spec.uuid)
        if there.sight is not DomainPresence.GONE:
            found.append(f"{host.name} shows a copy of it already ({there.sight})")
        # What runs now moves live; what is kept is what a cold move starts.
        for xml in filter(None, (shown.live, shown.kept)):
            found += await lacking_or_why(services, link, domainxml.read(xml).definition, vm.spec.uuid)
        live = await _live_only(vm, link, source)
        if shown.live:
            live += await tpm_in_the_way(link, domainxml.read(shown.live).definition, vm.spec.uuid)
    except VmctlError as err:
        found.append(err.message)
    # The two XMLs mostly lack the same, which is said once.
    return list(dict.fromkeys(found)), live


async def _live_only(vm: VM, link: Link, source: Link | None) -> list[str]:
    """What only a live migration needs: the same CPU, no older QEMU, a way for its memory."""
    found = []
    assert link.about is not None
    if vm.spec.cpu_xml and not await link.virt.cpu_fits(link.about.accel, vm.spec.cpu_xml):
        found.append(f"CPU: {domainxml.cpu_name(vm.spec.cpu_xml)} with its flags is not to be had there")
    if source is None or not source.online or source.about is None:
        return found
    if doctor.number(link.about.qemu) < doctor.number(source.about.qemu):
        found.append(f"QEMU {link.about.qemu} there is older than {source.about.qemu} here")
    network = await doctor.reach(source, link)
    return found if network.verdict == doctor.OK else [*found, network.text]
