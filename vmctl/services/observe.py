"""Everything known about hosts and VMs as one snapshot. What is silent stays in it, with its age."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vmctl.hosts.domainxml import offered
from vmctl.hosts.port import Link
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostState, HostTold
from vmctl.model.records import HostRecord, Storage, VMRecord
from vmctl.model.vms import VM, PowerState, VMLoad, in_project
from vmctl.services import Services

# For hosts that have just answered for the first time, their first load is waited for so long.
FIRST_LOAD_S = 4.0
NOT_CONNECTED = HostTold(HostState.UNKNOWN, "not connected")


@dataclass(frozen=True, slots=True)
class Observed:
    """The cluster at one moment, with the records that it was made from: hosts by name, VMs by UUID."""

    cluster: Cluster
    hosts: Mapping[str, HostRecord]
    vms: Mapping[str, VMRecord]


async def observe(services: Services) -> Cluster:
    """The cluster now: the registry's promises, the hosts' loads, the domains last seen."""
    return (await observed(services)).cluster


async def measured(services: Services) -> Cluster:
    """The cluster, once every host that answers has a load, or has had the time for it."""
    deadline = services.clock.monotonic() + FIRST_LOAD_S
    while any(_loadless(services, link) for link in services.links.values()):
        if services.clock.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    return await observe(services)


def _loadless(services: Services, link: Link) -> bool:
    """Whether a host answers, and its first load is on its way.

    One that gives none for longer than that is not waited for by everybody who places a VM.
    """
    return link.online and services.clock.now() - link.since < FIRST_LOAD_S and services.loads.host(link.name) is None


async def observed(services: Services) -> Observed:
    """The cluster now, and what the registry says beside it."""
    return _observed(services, *await services.store.inventory())


async def observed_host(services: Services, name: str) -> Observed:
    """One host and its VMs now, without all others. Raises NotFound."""
    host = await services.store.get(HostRecord, name)
    vms = await services.store.vms_about(host, ())
    return _observed(services, [host], vms, await services.store.all(Storage))


def _observed(services: Services, hosts: list[HostRecord], vms: list[VMRecord], storages: list[Storage]) -> Observed:
    now = services.clock.now()
    loads = {host.name: _Loads(services, host.name) for host in hosts}
    cluster = Cluster(
        tuple(_host(services, record, storages) for record in hosts),
        tuple(_vm(services, record, loads.get(record.host), now) for record in vms),
        now,
    )
    return Observed(cluster, {host.name: host for host in hosts}, {vm.uuid: vm for vm in vms})


def observed_vms(services: Services, records: Iterable[VMRecord]) -> list[VM]:
    """Some VMs now, without all others."""
    records, now = list(records), services.clock.now()
    loads = {host: _Loads(services, host) for host in {record.host for record in records if record.host}}
    return [_vm(services, record, loads.get(record.host), now) for record in records]


def _host(services: Services, record: HostRecord, storages: list[Storage]) -> Host:
    link, told = services.shows(record.name), services.told.get(record.name, NOT_CONNECTED)
    load = services.loads.host(record.name)
    size = services.loads.size(record.name)
    about = link.about if link else None
    proven = frozenset(s.name for s in storages if record.name in s.hosts)
    lost = services.unmounted.get(record.name, set())
    cpus, mem_mib = size or ((about.cpus, about.mem_mib) if about else _last_size(record))
    return Host(
        name=record.name,
        state=link.state if link else told.state,
        cpus=cpus,
        mem_mib=mem_mib,
        load=load,
        labels=record.labels,
        draining=record.draining,
        storages=proven - lost,
        lost_storages=proven & lost,
        bridges=services.loads.bridges(record.name),
        cpu_models=offered(about.cpu_models, link.cpus) if link and about else None,
        numa_mib=about.numa_mib if about else (),
        why_not=link.why if link else told.why,
        jobs=services.promises.on(record.name),
        no_lock=services.no_lock.get(record.name, ""),
    )


def _last_size(record: HostRecord) -> tuple[int, int]:
    """What the host was when it answered last; (0, 0) where that is not known: no VM fits there."""
    try:
        return int(record.about.get("cpus") or 0), int(record.about.get("mem_mib") or 0)
    except (TypeError, ValueError):
        return 0, 0


def _vm(services: Services, record: VMRecord, loads: _Loads | None, now: float) -> VM:
    link = services.shows(record.host)
    power = power_now(record, link)
    return VM(
        spec=in_project(record.spec, record.project),
        # an adopted VM that is stopped has its definition on a host, but no place is promised to it there
        host="" if power is PowerState.STOPPED else record.host,
        moving_to=record.moving_to,
        power=power,
        load=loads.of(record) if loads is not None else None,
        # One that lies in the future says nothing: the clock was set back since.
        moved_s_ago=now - record.moved_at if record.moved_at is not None and record.moved_at <= now else None,
        busy=record.task is not None,
        adopted=record.adopted,
        stuck=tuple(record.stuck_cold if power is PowerState.STOPPED else record.stuck),
        defined_on=record.host if record.adopted and not record.transient and power is PowerState.STOPPED else "",
    )


class _Loads:
    """What a host shows of the VMs there."""

    def __init__(self, services: Services, host: str) -> None:
        link = services.shows(host)
        devices = {uuid: seen.net_devices for uuid, seen in link.domains.items()} if link is not None else {}
        self._guests = services.guests
        self._age_s = services.loads.age_s(host)
        self._by_uuid = services.loads.vms(host, devices)

    def of(self, record: VMRecord) -> VMLoad | None:
        """What it shows of its QEMU, what its guest says of itself, and what its last migration has shown."""
        load, uuid = self._by_uuid.get(record.uuid), record.uuid
        if load is None:
            return None
        return replace(load, age_s=self._age_s, stall=self._guests.stall(uuid), dirty_mib_s=record.dirty_mib_s)


def power_now(record: VMRecord, link: Link | None) -> PowerState:
    """What the host shows where it answers; else the registry's word, and UNKNOWN for what may still run."""
    if link is None or not record.host:
        return record.power
    if not link.online:
        return PowerState.UNKNOWN if record.power is not PowerState.STOPPED else record.power
    # While a task starts, stops or migrates it, the registry's word stands; otherwise the host's does.
    seen = link.domains.get(record.uuid)
    settled = record.power in (PowerState.RUNNING, PowerState.PAUSED, PowerState.UNKNOWN)
    return seen.power if seen is not None and settled else record.power
