"""Hosts, VMs and decisions as clients see them. Every measured number carries its age."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, TypeVar

from vmctl.act.definitions import differs
from vmctl.decide import score
from vmctl.model import VM, Cluster, Host, PowerState
from vmctl.records import DecisionRecord, HostRecord, VMRecord
from vmctl.world import World

MIB = 1 << 20
STALE_PERIODS = 3
log = logging.getLogger("vmctl.api")


Record = TypeVar("Record")
CANNOT_BE_SHOWN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def each(records: Iterable[Record], view: Callable[[Record], dict[str, Any]]) -> list[dict[str, Any]]:
    """All records as clients see them; one that cannot be shown is named, and hides no other."""
    shown = []
    for record in records:
        try:
            shown.append(view(record))
        except CANNOT_BE_SHOWN as err:
            log.exception("a record cannot be shown")
            name = getattr(record, "name", getattr(record, "id", "?"))
            shown.append({"name": name, "broken": f"it cannot be shown: {type(err).__name__}: {err}"})
    return shown


def _why_no_vms(seen: Host) -> str:
    """What keeps VMs from a host that answers."""
    lost = ", ".join(sorted(seen.lost_storages))
    return f"gets no VMs: {seen.no_lock}" if seen.no_lock else f"storage {lost} is not mounted there" if lost else ""


def host(world: World, record: HostRecord, seen: Host, cluster: Cluster) -> dict[str, Any]:
    """One host."""
    load = seen.load
    vms = cluster.on(seen.name)
    promised = sum(vm.spec.mem_mib + world.policy.vm_overhead_mib for vm in vms)
    return {
        "name": seen.name,
        "state": str(seen.state) + _draining(seen, cluster),
        "why": seen.why_not or _why_no_vms(seen),
        "address": record.address,
        "cpus": seen.cpus,
        "mem_mib": seen.mem_mib,
        "promised_mib": promised,
        "vcpus": sum(vm.spec.cpus for vm in vms),
        "vms": [vm.name for vm in vms],
        "load": asdict(load) if load else None,
        "stale": load is not None and load.age_s > STALE_PERIODS * world.settings.sample_period_s,
        "more": world.loads.details(seen.name),
        "labels": dict(seen.labels),
        "draining": seen.draining,
        "storages": sorted(seen.storages),
        "bridges": None if seen.bridges is None else sorted(seen.bridges),
        "cpu_models": None if seen.cpu_models is None else sorted(seen.cpu_models),
        "numa_mib": list(seen.numa_mib),
        "fingerprint": record.fingerprint,
        "about": record.about,
    }


def _draining(seen: Host, cluster: Cluster) -> str:
    if not seen.draining:
        return ""
    there = cluster.on(seen.name) or any(vm.defined_on == seen.name for vm in cluster.vms)
    return ", draining" if there else ", drained"


def vm(world: World, record: VMRecord, seen: VM) -> dict[str, Any]:
    """One VM."""
    spec, load = record.spec, seen.load
    read_s, write_s = world.loads.disk(record.host, record.uuid) if seen.load else (None, None)
    received_s, sent_s = _net(world, record) if seen.load else (None, None)
    return {
        "name": spec.name,
        "uuid": spec.uuid,
        "power": str(seen.power),
        "health": world.guests.word(record.uuid),
        "heal": record.heal,
        "host": record.host,
        "last_host": record.last_host,
        "may_run_on": sorted(record.may_run_on),
        "moving_to": seen.moving_to,
        "ip": world.guests.address(record.uuid),
        "bridge": spec.bridge,
        "wanted": record.wanted,
        "autostart": record.autostart,
        "differs": differs(record),
        "stays": record.stuck,
        "why": record.why,
        "cpus": spec.cpus,
        "mem_mib": spec.mem_mib,
        "load": asdict(load) if load else None,
        "read_bytes_s": read_s,
        "write_bytes_s": write_s,
        "received_bytes_s": received_s,
        "sent_bytes_s": sent_s,
        "image": spec.image,
        "disks": [disk.path for disk in spec.disks],
        "mac": spec.mac,
        "machine": spec.machine,
        "cpu": spec.cpu,
        "apart": spec.apart,
        "apart_by": spec.apart_by,
        "together": spec.together,
        "prefer_apart": spec.prefer_apart,
        "prefer_together": spec.prefer_together,
        "load_class": spec.load_class,
        "labels": dict(spec.labels),
        "pinned": spec.pinned,
        "adopted": record.adopted,
        "task": record.task,
        "moved_at": record.moved_at,
        "created_at": record.created_at,
        "epoch": record.epoch,
    }


def _net(world: World, record: VMRecord) -> tuple[float | None, float | None]:
    """What a VM receives and sends, in bytes per second."""
    link = world.links.get(record.host)
    domain = link.domains.get(record.uuid) if link else None
    return world.loads.net(record.host, domain.taps) if domain else (None, None)


def top(world: World, cluster: Cluster) -> dict[str, Any]:
    """The whole cluster at a glance, with the score's terms."""
    return {
        "at": cluster.taken_at,
        "score": [list(term) for term in score.terms(cluster, world.policy)],
        "running": sum(seen.power is PowerState.RUNNING for seen in cluster.vms),
    }


def decision(record: DecisionRecord) -> dict[str, Any]:
    """A stored decision and how long ago it was made."""
    return asdict(record) | {"age_s": round(time.time() - record.made_at, 1)}
