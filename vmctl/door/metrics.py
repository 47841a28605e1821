"""What Prometheus is told: read from the controller's memory at one moment, and made into text in a thread.

No host, no libvirt and no registry is asked. What was not measured, or too long ago to count, has no sample.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily

from vmctl import __version__
from vmctl.commands import cluster
from vmctl.decide.fit import limit_mib
from vmctl.decide.health import HealthStatus
from vmctl.door import series
from vmctl.door.answers import Exposition
from vmctl.door.parts import ControllerParts
from vmctl.door.series import Series
from vmctl.hosts.port import Link
from vmctl.model.hosts import Host, HostState
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.services.observe import power_now

MIB = 1 << 20
LOADS = ("psi_cpu", "cpu"), ("psi_mem", "memory"), ("psi_io", "io")  # a field of HostLoad, and its resource
SICK = (HealthStatus.DEGRADED, HealthStatus.SILENT, HealthStatus.HUNG)
PROCESS = ProcessCollector("vmctl", registry=None)
Powers = dict[str, PowerState]  # of VMs, by UUID


class Gauges:
    """One sample after the other, for a text that names each series once. Every series is there, if without samples."""

    def __init__(self) -> None:
        self._families = {row: GaugeMetricFamily(*row[:2], labels=row.labels) for row in series.EVERY}

    def add(self, row: Series, value: float, *labels: str) -> None:
        """A sample."""
        self._families[row].add_metric(labels, value)

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._families.values()


class _Collected(CollectorRegistry):
    """What was read before; the process itself is looked at when the text is made."""

    def __init__(self, families: list[Metric]) -> None:
        super().__init__()
        self._read = families

    def collect(self) -> Iterable[Metric]:
        return [*self._read, *PROCESS.collect()]


async def metrics(parts: ControllerParts, _asked: cluster.Metrics) -> Exposition:
    """All series, as text."""
    found = [*gauges(parts).collect(), *parts.meters.collect()]
    text = await parts.services.threads.run(generate_latest, _Collected(found))
    return Exposition(text.decode(), CONTENT_TYPE_LATEST)


def gauges(parts: ControllerParts) -> Gauges:
    """What can be looked up, at this moment."""
    found, services = Gauges(), parts.services
    found.add(series.BUILD, 1, __version__, platform.python_version())
    found.add(series.REGISTRY_TROUBLE, bool(services.store.trouble))
    states = Counter(link.state for link in services.links.values())
    for state in HostState:
        found.add(series.HOSTS, states[state], state)
    for link in services.links.values():
        _host(found, services, link)
    _tasks(found, parts)
    _guests(found, parts)
    if (age_s := parts.health_monitor.vms_age_s()) is not None:  # else nobody has looked which VMs there are
        found.add(series.VMS_AGE, age_s)
        _vms(found, parts)
    return found


def _host(found: Gauges, services: Services, link: Link) -> None:
    name = link.name
    found.add(series.HOST_ONLINE, link.online, name)
    if link.domains_at is not None:
        found.add(series.HOST_DOMAINS_AGE, services.clock.monotonic() - link.domains_at, name)
    if name in services.unmounted:
        found.add(series.HOST_STORAGES_LOST, len(services.unmounted[name]), name)
    if link.online or name in services.no_lock:
        found.add(series.HOST_LOCKS_LOST, name in services.no_lock, name)
    if (size := services.loads.size(name)) is not None:
        cpus, mem_mib = size
        found.add(series.HOST_CPUS, cpus, name)
        found.add(series.HOST_MEMORY, mem_mib * MIB, name)
        found.add(series.HOST_MEMORY_LIMIT, limit_mib(Host(name, mem_mib=mem_mib), services.policy) * MIB, name)
    _host_load(found, services, name)


def _host_load(found: Gauges, services: Services, name: str) -> None:
    load, unmeasured = services.loads.host(name), services.loads.unmeasured(name)
    if load is None:
        return
    found.add(series.HOST_SAMPLE_AGE, load.age_s, name)
    if load.age_s > services.policy.max_age_s:
        return
    found.add(series.HOST_CPU_BUSY, load.cpu, name)
    found.add(series.HOST_STEAL, load.steal, name)
    found.add(series.HOST_MEMORY_USED, load.mem_used_mib * MIB, name)
    for field, resource in LOADS:
        if field not in unmeasured:
            found.add(series.HOST_PRESSURE, getattr(load, field), name, resource)
    if "disk" not in unmeasured:
        found.add(series.HOST_DISK, load.disk, name)
    if "net" not in unmeasured:
        found.add(series.HOST_NETWORK, load.net, name)


def _tasks(found: Gauges, parts: ControllerParts) -> None:
    jobs = parts.tasks.jobs()
    kinds = Counter(job.task.kind for job in jobs)
    for kind in parts.tasks.commands:
        found.add(series.TASKS_OPEN, kinds[kind], kind)
    if jobs:
        oldest_at = min(job.task.created_at for job in jobs)
        found.add(series.TASKS_OLDEST, max(0.0, parts.services.clock.now() - oldest_at))


def _guests(found: Gauges, parts: ControllerParts) -> None:
    if not parts.services.settings.read_guests:
        return
    statuses = Counter(status for status, _ in parts.health_monitor.guests().values())
    for status in HealthStatus:
        found.add(series.GUESTS, statuses[status], status)


# -- VMs


def _vms(found: Gauges, parts: ControllerParts) -> None:
    services, vms = parts.services, parts.health_monitor.vms
    powers = {uuid: power_now(vm, services.links.get(vm.host)) for uuid, vm in vms.items()}
    counted = Counter(powers.values())
    for power in PowerState:
        found.add(series.VMS, counted[power], power)
    _places(found, services, vms, powers)
    shown = len(vms) <= services.settings.metrics.most_vms
    found.add(series.VMS_WITHOUT_SERIES, 0 if shown else len(vms))
    if shown:
        _each_vm(found, parts, powers)


def _places(found: Gauges, services: Services, vms: Mapping[str, VMRecord], powers: Powers) -> None:
    """How many are on each host, or promised a place there, and how much memory they are promised."""
    many, promised_mib = Counter[str](), Counter[str]()
    own_mib = services.policy.vm_overhead_mib
    for uuid, vm in vms.items():
        mib, host = vm.spec.mem_mib + own_mib, "" if powers[uuid] is PowerState.STOPPED else vm.host
        many[host] += 1
        promised_mib[host] += mib
        if vm.moving_to not in ("", host):
            promised_mib[vm.moving_to] += mib
    for name in services.links:
        found.add(series.HOST_VMS, many[name], name)
        jobs = services.promises.on(name)
        found.add(series.HOST_MEMORY_PROMISED, (promised_mib[name] + jobs.mem_mib) * MIB, name)
        found.add(series.HOST_RUNS, jobs.runs, name)


def _each_vm(found: Gauges, parts: ControllerParts, powers: Powers) -> None:
    services, vms = parts.services, parts.health_monitor.vms
    for uuid, vm in vms.items():
        found.add(series.VM_INFO, 1, vm.name, uuid, vm.host, vm.project)
        if powers[uuid] is not PowerState.UNKNOWN:
            found.add(series.VM_RUNNING, powers[uuid] is PowerState.RUNNING, uuid)
    for name in services.links:
        for uuid, load in services.loads.vms(name, {}).items():
            if load.age_s <= services.policy.max_age_s and uuid in vms and vms[uuid].host == name:
                found.add(series.VM_CPU, load.cpu, uuid)
                found.add(series.VM_MEMORY, load.mem_mib * MIB, uuid)
    for uuid, (status, for_s) in parts.health_monitor.guests().items():
        if status in SICK and uuid in vms:
            found.add(series.VM_SICK, for_s, uuid, status)
