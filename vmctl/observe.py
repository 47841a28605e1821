"""Everything known about hosts and VMs as one snapshot. What is silent stays in it, with its age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vmctl.hosts.domainxml import offered
from vmctl.hosts.port import Link
from vmctl.model import VM, Cluster, Host, HostState, PowerState, VMLoad
from vmctl.records import HostRecord, Storage, VMRecord
from vmctl.world import World


@dataclass(frozen=True, slots=True)
class Observed:
    """The cluster at one moment, with the records that it was made from: hosts by name, VMs by UUID."""

    cluster: Cluster
    hosts: Mapping[str, HostRecord]
    vms: Mapping[str, VMRecord]


async def observe(world: World) -> Cluster:
    """The cluster now: the registry's promises, the hosts' loads, the domains last seen."""
    return (await observed(world)).cluster


async def observed(world: World) -> Observed:
    """The cluster now, and what the registry says beside it."""
    now = world.clock.now()
    hosts, vms, storages = await world.store.inventory()
    loads = {name: _loads(world, link) for name, link in world.links.items()}
    cluster = Cluster(
        tuple(_host(world, record, storages) for record in hosts),
        tuple(_vm(world, record, loads.get(record.host, {}), now) for record in vms),
        now,
    )
    return Observed(cluster, {host.name: host for host in hosts}, {vm.uuid: vm for vm in vms})


def _host(world: World, record: HostRecord, storages: list[Storage]) -> Host:
    link = world.links.get(record.name)
    load = world.loads.host(record.name)
    size = world.loads.size(record.name)
    about = link.about if link else None
    proven = frozenset(s.name for s in storages if record.name in s.hosts)
    lost = world.unmounted.get(record.name, set())
    cpus, mem_mib = size or ((about.cpus, about.mem_mib) if about else _last_size(record))
    return Host(
        name=record.name,
        state=link.state if link else HostState.UNKNOWN,
        cpus=cpus,
        mem_mib=mem_mib,
        load=load,
        labels=record.labels,
        draining=record.draining,
        storages=proven - lost,
        lost_storages=proven & lost,
        bridges=world.loads.bridges(record.name),
        cpu_models=offered(about.cpu_models, link.cpus) if link and about else None,
        numa_mib=about.numa_mib if about else (),
        why_not=link.why if link else "not connected",
        no_lock=world.no_lock.get(record.name, ""),
    )


def _last_size(record: HostRecord) -> tuple[int, int]:
    """What the host was when it answered last; (0, 0) where that is not known: no VM fits there."""
    try:
        return int(record.about.get("cpus") or 0), int(record.about.get("mem_mib") or 0)
    except (TypeError, ValueError):
        return 0, 0


def _vm(world: World, record: VMRecord, loads: Mapping[str, VMLoad], now: float) -> VM:
    link = world.links.get(record.host)
    power = _power(record, link)
    return VM(
        spec=record.spec,
        # an adopted VM that is stopped has its definition on a host, but no place is promised to it there
        host="" if power is PowerState.STOPPED else record.host,
        moving_to=record.moving_to,
        power=power,
        load=_load(world, record, loads),
        moved_s_ago=now - record.moved_at if record.moved_at is not None else None,
        busy=record.task is not None,
        adopted=record.adopted,
        stuck=tuple(record.stuck_cold if power is PowerState.STOPPED else record.stuck),
        defined_on=record.host if record.adopted and not record.transient and power is PowerState.STOPPED else "",
    )


def _loads(world: World, link: Link) -> dict[str, VMLoad]:
    """What a host shows of the VMs there, by UUID."""
    return world.loads.vms(link.name, {uuid: seen.taps for uuid, seen in link.domains.items()})


def _load(world: World, record: VMRecord, loads: Mapping[str, VMLoad]) -> VMLoad | None:
    """What its host shows of its QEMU, what its guest says of itself, and what its last migration has shown."""
    load, uuid = loads.get(record.uuid), record.uuid
    if load is None:
        return None
    return replace(load, stall=world.guests.stall(uuid), dirty_mib_s=record.dirty_mib_s)


def _power(record: VMRecord, link: Link | None) -> PowerState:
    """What the host shows where it answers; else the registry's word, and UNKNOWN for what may still run."""
    if link is None or not record.host:
        return record.power
    if not link.online:
        return PowerState.UNKNOWN if record.power is not PowerState.STOPPED else record.power
    seen = link.domains.get(record.uuid)
    settled = record.power in (PowerState.RUNNING, PowerState.PAUSED, PowerState.UNKNOWN)
    return seen.power if seen is not None and settled else record.power
