"""How uneven and how stalled is a cluster? One table of terms; lower is better.

The spreads are population standard deviations over hosts of a share of each host's capacity, as Ganeti's htools
score a cluster; stall and overload are added because high use is not yet suffering. What a move gains is told as a
share of one host: the fall of the score times the number of hosts, which means the same in clusters of any size.

This is the reference, written to be read; `search` computes the same from arrays, and tests hold the two together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import fsum, sqrt

from vmctl.decide.fit import domain, group_key, promised_mib
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostLoad, HostState
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, VMLoad

STALL_SLOPE = 2.0  # half a host's CPU use gone: the stall gone; nothing better than a guess can be known beforehand


@dataclass(frozen=True, slots=True)
class Use:
    """One host's shares of its capacity."""

    cpu: float
    mem: float
    promised: float
    vcpus: float
    disk: float
    net: float
    stall: float
    suffering: float = 0.0  # the sum of its guests' own stall


def expected_cpu(vm: VM, policy: Policy) -> float:
    """Cores that the VM will use: what it uses, or what a new one is expected to."""
    return vm.load.cpu if vm.load is not None else vm.spec.cpus * policy.new_vm_cpu


def expected_mem(vm: VM, policy: Policy) -> float:
    """MiB that the VM will occupy: what it occupies, or everything it was promised."""
    return float(vm.load.mem_mib if vm.load is not None else promised_mib((vm,), policy))


def use(host: Host, cluster: Cluster, policy: Policy) -> Use:
    """A host's use, its measured load with VMs that are promised but not yet measured added."""
    load = host.load or HostLoad(0.0, 0)
    # A host that never answered has size 0; no VM fits there and it is not counted, so any size will do to divide by.
    cpus, mem_mib = max(1, host.cpus), max(1, host.mem_mib)
    vms = cluster.on(host.name)
    new = [vm for vm in vms if vm.load is None]
    jobs = host.jobs
    coming = fsum(expected_cpu(vm, policy) for vm in new) + jobs.new_cpus * policy.new_vm_cpu
    return Use(
        cpu=(load.cpu + coming) / cpus,
        mem=(load.mem_used_mib + jobs.new_mib + fsum(expected_mem(vm, policy) for vm in new)) / mem_mib,
        promised=(promised_mib(vms, policy) + jobs.mem_mib) / mem_mib,
        vcpus=(sum(vm.spec.cpus for vm in vms) + jobs.cpus) / cpus,
        disk=load.disk,
        net=load.net,
        stall=expected_stall(load, coming, cpus),
        suffering=fsum(vm.load.stall for vm in vms if vm.load),
    )


def measured_stall(load: HostLoad) -> float:
    """The worst of what a host shows: pressure on CPU, memory and disks, and time that was stolen from it."""
    return max(load.psi_cpu, load.psi_mem, load.psi_io, load.steal)


def stalled_at(load: HostLoad) -> float:
    """The CPU use, in cores, at which the stall was measured."""
    return load.cpu if load.stall_cpu is None else load.stall_cpu


def expected_stall(load: HostLoad, coming: float, cpus: int) -> float:
    """The worst stall: as measured, less by what CPU use left since, more by what arrived or is `coming` (cores).

    It depends on where VMs are and not on the way they took, so that no way round in a circle lowers the score.
    """
    change = (load.cpu + coming - stalled_at(load)) / cpus
    return min(1.0, max(0.0, measured_stall(load) * (1 + STALL_SLOPE * change)))


def spread(shares: list[float]) -> float:
    """The population standard deviation, whatever the order."""
    mean = fsum(shares) / len(shares)
    return sqrt(fsum((share - mean) ** 2 for share in shares) / len(shares))


Metric = Callable[[list[Use], Policy], float]


def _overload(uses: list[Use], policy: Policy) -> float:
    above = (max(0.0, share - policy.overload_above) for u in uses for share in (u.cpu, u.mem))
    return fsum(above) / len(uses)


def _stall(uses: list[Use], policy: Policy) -> float:
    return fsum(u.stall * (1 + u.suffering) for u in uses) / len(uses)


METRICS: tuple[tuple[str, Callable[[Policy], float], Metric], ...] = (
    ("CPU spread", lambda p: p.weight_cpu, lambda uses, _: spread([u.cpu for u in uses])),
    ("memory spread", lambda p: p.weight_mem, lambda uses, _: spread([u.mem for u in uses])),
    ("promised spread", lambda p: p.weight_promised, lambda uses, _: spread([u.promised for u in uses])),
    ("vCPU spread", lambda p: p.weight_vcpus, lambda uses, _: spread([u.vcpus for u in uses])),
    ("disk spread", lambda p: p.weight_disk, lambda uses, _: spread([u.disk for u in uses])),
    ("network spread", lambda p: p.weight_net, lambda uses, _: spread([u.net for u in uses])),
    ("overload", lambda p: p.weight_overload, _overload),
    ("stall", lambda p: p.weight_stall, _stall),
)


def is_counted(host: Host, policy: Policy) -> bool:
    """Whether a host is part of the score: online and freshly measured."""
    return host.state is HostState.ONLINE and host.load is not None and host.load.age_s <= policy.max_age_s


def uses(cluster: Cluster, policy: Policy) -> list[Use]:
    """What the counted hosts use."""
    return [use(host, cluster, policy) for host in cluster.hosts if is_counted(host, policy)]


def pairs(count: int) -> int:
    """Number of pairs among `count` items."""
    return count * (count - 1) // 2


def broken_wishes(cluster: Cluster) -> int:
    """Pairs of VMs that would rather be apart and share a failure domain, or rather be together and do not."""
    broken = 0
    for kind in ("prefer_apart", "prefer_together"):
        for name in cluster.groups(kind):
            group = [vm for vm in cluster.group(kind, name) if cluster.host(vm.host)]
            key = group_key(group[0], tuple(group)) if group and kind == "prefer_apart" else ""
            homes = Counter(place for vm in group for place in _domains(vm, cluster, key))
            same = sum(map(pairs, homes.values()))
            broken += same if kind == "prefer_apart" else pairs(homes.total()) - same
    return broken


def _domains(vm: VM, cluster: Cluster, key: str) -> set[str]:
    """The failure domains that a VM is in: while it moves, those of both its hosts."""
    return {domain(host, key) for name in (vm.host, vm.moving_to) if (host := cluster.host(name))}


def terms(cluster: Cluster, policy: Policy) -> tuple[tuple[str, float], ...]:
    """Each term, weighted, over the hosts that are online and freshly measured."""
    found = uses(cluster, policy)
    if not found:
        return (*((name, 0.0) for name, _, _ in METRICS), ("wishes", 0.0))
    rows = tuple((name, weight(policy) * metric(found, policy)) for name, weight, metric in METRICS)
    return (*rows, ("wishes", policy.weight_groups * broken_wishes(cluster) / len(found)))


def total(rows: tuple[tuple[str, float], ...]) -> float:
    """The score: the sum of its terms."""
    return fsum(value for _, value in rows)


def hottest(cluster: Cluster, policy: Policy) -> float:
    """The largest share of CPU or memory that any counted host has in use."""
    return max((max(u.cpu, u.mem) for u in uses(cluster, policy)), default=0.0)


def mean_use(cluster: Cluster, policy: Policy) -> float:
    """The mean share of CPU or of memory in use, whichever is more: no plan leaves the hottest host below it."""
    found = uses(cluster, policy)
    return max(fsum(u.cpu for u in found), fsum(u.mem for u in found)) / max(1, len(found))


def moved(cluster: Cluster, vm: VM, target: str, policy: Policy) -> Cluster:
    """The cluster as it is expected to be with the VM on `target`: its load goes along with it."""
    if all(other.spec.uuid != vm.spec.uuid for other in cluster.vms):
        cluster = replace(cluster, vms=(*cluster.vms, vm))
    return after(cluster, {vm.spec.uuid: target})


def after(cluster: Cluster, targets: dict[str, str]) -> Cluster:
    """The cluster as it is expected to be once VMs, named by UUID, are on these hosts."""
    vms = {vm.spec.uuid: vm for vm in cluster.vms}
    changes: dict[str, list[tuple[int, VMLoad]]] = {}
    for uuid, target in targets.items():  # in the order given, so that rounding does not depend on the snapshot's
        vm = vms[uuid]
        vms[uuid] = replace(vm, host=target)
        if vm.load is not None and target != vm.host:
            changes.setdefault(vm.host, []).append((-1, vm.load))
            changes.setdefault(target, []).append((1, vm.load))
    hosts = (_shifted(host, changes.get(host.name, ())) for host in cluster.hosts)
    return replace(cluster, hosts=tuple(hosts), vms=tuple(vms.values()))


def _shifted(host: Host, changes: Iterable[tuple[int, VMLoad]]) -> Host:
    load = host.load
    if load is None or not changes:
        return host
    shifted = replace(
        load,
        cpu=load.cpu + fsum(sign * by.cpu for sign, by in changes),
        mem_used_mib=load.mem_used_mib + sum(sign * by.mem_mib for sign, by in changes),
        disk=load.disk + fsum(sign * by.disk for sign, by in changes),
        net=load.net + fsum(sign * by.net for sign, by in changes),
        stall_cpu=stalled_at(load),
    )
    return replace(host, load=shifted)
