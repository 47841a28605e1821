"""Hosts and VMs as clients see them. Every measured number carries its age."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, TypeVar

from vmctl.act.definitions import differs
from vmctl.act.health import HealthMonitor
from vmctl.decide.fit import promised_mib
from vmctl.door import answers
from vmctl.guests.details import NOBODY_TELLS, GuestDetails
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.rights import ALL, Sight
from vmctl.model.vms import VM
from vmctl.services import Services
from vmctl.services.observe import Observed

STALE_PERIODS = 3
log = logging.getLogger("vmctl.door")
Record = TypeVar("Record")
View = TypeVar("View")
CANNOT_BE_SHOWN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def each(records: Iterable[Record], view: Callable[[Record], View]) -> list[View | answers.Broken]:
    """All records as clients see them; one that cannot be shown is named, and hides no other."""
    shown: list[View | answers.Broken] = []
    for record in records:
        try:
            shown.append(view(record))
        except CANNOT_BE_SHOWN as err:
            log.exception("a record cannot be shown")
            name = str(getattr(record, "name", getattr(record, "id", "?")))
            shown.append(answers.Broken(name, f"it cannot be shown: {type(err).__name__}: {err}"))
    return shown


def wider(kind: type[View], narrow: Any, **more: Any) -> View:
    """A value of a class that has all fields of another one, and some more."""
    return kind(**{field.name: getattr(narrow, field.name) for field in fields(narrow)}, **more)


def hosts(services: Services, seen: Observed) -> list[answers.Host | answers.Broken]:
    """All hosts, as they were seen at one moment."""
    return each(seen.cluster.hosts, lambda one: host(services, seen.hosts[one.name], one, seen.cluster))


def vms(services: Services, seen: Observed, sight: Sight = ALL) -> list[answers.VM | answers.Broken]:
    """The VMs that somebody may see by name, as they were seen at one moment."""
    shown = [one for one in seen.cluster.vms if sight.shows(seen.vms[one.spec.uuid].thing)]
    ordered = sorted(shown, key=lambda one: one.name)
    return each(ordered, lambda one: vm(services, seen.vms[one.spec.uuid], one))


def _why_no_vms(seen: Host) -> str:
    """What keeps VMs from a host that answers."""
    lost = ", ".join(sorted(seen.lost_storages))
    return f"gets no VMs: {seen.no_lock}" if seen.no_lock else f"storage {lost} is not mounted there" if lost else ""


def host(services: Services, record: HostRecord, seen: Host, cluster: Cluster) -> answers.Host:
    """One host."""
    load = seen.load
    there = cluster.on(seen.name)
    return answers.Host(
        name=seen.name,
        state=str(seen.state) + _draining(seen, cluster),
        why=seen.why_not or _why_no_vms(seen),
        address=record.address,
        cpus=seen.cpus,
        mem_mib=seen.mem_mib,
        promised_mib=promised_mib(there, services.policy) + seen.jobs.mem_mib,
        vcpus=sum(vm.spec.cpus for vm in there),
        jobs=seen.jobs.runs,
        vms=[vm.name for vm in there],
        load=load,
        stale=load is not None and load.age_s > STALE_PERIODS * services.settings.sample_period_s,
        more=services.loads.details(seen.name),
        labels=dict(seen.labels),
        draining=seen.draining,
        storages=sorted(seen.storages),
        bridges=None if seen.bridges is None else sorted(seen.bridges),
        cpu_models=None if seen.cpu_models is None else sorted(seen.cpu_models),
        numa_mib=list(seen.numa_mib),
        fingerprint=record.fingerprint,
        about=record.about,
    )


def _draining(seen: Host, cluster: Cluster) -> str:
    if not seen.draining:
        return ""
    there = cluster.on(seen.name) or any(vm.defined_on == seen.name for vm in cluster.vms)
    return ", draining" if there else ", drained"


def vm(services: Services, record: VMRecord, seen: VM) -> answers.VM:
    """One VM."""
    spec = record.spec
    read_s, write_s = services.loads.disk(record.host, record.uuid) if seen.load else (None, None)
    received_s, sent_s = _net(services, record) if seen.load else (None, None)
    return answers.VM(
        name=spec.name,
        uuid=spec.uuid,
        power=str(seen.power),
        health=services.guests.status(record.uuid),
        heal=record.heal,
        host=record.host,
        last_host=record.last_host,
        may_run_on=sorted(record.may_run_on),
        moving_to=seen.moving_to,
        ip=services.guests.address(record.uuid),
        bridge=spec.bridge,
        wanted=record.wanted,
        autostart=record.autostart,
        differs=differs(record),
        stays=record.stuck,
        why=record.why,
        cpus=spec.cpus,
        mem_mib=spec.mem_mib,
        load=seen.load,
        read_bytes_s=read_s,
        write_bytes_s=write_s,
        received_bytes_s=received_s,
        sent_bytes_s=sent_s,
        image=spec.image,
        disks=[disk.path for disk in spec.disks],
        mac=spec.mac,
        machine=spec.machine,
        cpu=spec.cpu,
        apart=spec.apart,
        apart_by=spec.apart_by,
        together=spec.together,
        prefer_apart=spec.prefer_apart,
        prefer_together=spec.prefer_together,
        load_class=spec.load_class,
        needs=dict(spec.needs),
        pinned=spec.pinned,
        adopted=record.adopted,
        task=record.task,
        moved_at=record.moved_at,
        created_at=record.created_at,
        epoch=record.epoch,
        project=record.project,
        owner=record.owner,
    )


def _net(services: Services, record: VMRecord) -> tuple[float | None, float | None]:
    """What a VM receives and sends, in bytes per second."""
    link = services.shows(record.host)
    domain = link.domains.get(record.uuid) if link else None
    if link is not None and domain is None:
        return None, None
    return services.loads.net(record.host, record.uuid, domain.net_devices if domain else ())


def health(
    services: Services, health_monitor: HealthMonitor, vm: VMRecord, told: GuestDetails | None
) -> answers.Health:
    """One VM's health, and what its guest told of itself, as far as whoever reads its port has said so."""
    found, for_s, waits = health_monitor.of(vm)
    follower = services.guests.of(vm.uuid)
    details = told or GuestDetails(port=NOBODY_TELLS if follower else "")
    heard_s = follower.heard_s(services.clock.monotonic()) if follower else None
    return answers.Health(
        vm=vm.name,
        health=str(found.status),
        why=found.why,
        for_s=round(for_s, 1),
        heard_s=None if heard_s is None else round(heard_s, 1),
        port=details.port,
        heal=vm.heal,
        waits=waits,
        agent=details.agent,
        os=details.os,
        watches=details.watches,
        services=details.services,
        processes=details.processes,
        left_out=details.left_out,
        refused=details.refused,
    )
