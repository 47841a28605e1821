"""How uneven and how stalled is a cluster? One table of terms; lower is better.

The spreads are population standard deviations over hosts of a share of each host's capacity, as Ganeti's htools
score a cluster; stall and overload are added because high use is not yet suffering.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import fsum
from statistics import pstdev

from vmctl.decide.fit import promised_mib
from vmctl.model import VM, Cluster, Host, HostLoad, HostState, Policy


@dataclass(frozen=True, slots=True)
class Use:
    """One host's shares of its capacity."""

    cpu: float
    mem: float
    promised: float
    stall: float


def expected_cpu(vm: VM, policy: Policy) -> float:
    """Cores that the VM will use: what it uses, or what a new one is expected to."""
    return vm.load.cpu if vm.load is not None else vm.spec.cpus * policy.new_vm_cpu


def expected_mem(vm: VM, policy: Policy) -> float:
    """MiB that the VM will occupy: what it occupies, or everything it was promised."""
    return float(vm.load.mem_mib if vm.load is not None else vm.spec.mem_mib + policy.vm_overhead_mib)


def use(host: Host, cluster: Cluster, policy: Policy) -> Use:
    """A host's use, its measured load with VMs that are promised but not yet measured added."""
    load = host.load or HostLoad(0.0, 0)
    vms = cluster.on(host.name)
    new = [vm for vm in vms if vm.load is None]
    return Use(
        cpu=max(0.0, fsum((load.cpu, *(expected_cpu(vm, policy) for vm in new)))) / host.cpus,
        mem=max(0.0, load.mem_used_mib + fsum(expected_mem(vm, policy) for vm in new)) / host.mem_mib,
        promised=promised_mib(vms, policy) / host.mem_mib,
        stall=expected_stall(load, host.cpus),
    )


def expected_stall(load: HostLoad, cpus: int) -> float:
    """The worst stall: as measured, eased by the share of the CPU use that left since, grown by what arrived.

    It depends on where VMs are and not on the way they took, so that no way round in a circle lowers the score.
    """
    worst = max(load.psi_cpu, load.psi_mem, load.psi_io, load.steal)
    before = load.cpu if load.stall_cpu is None else load.stall_cpu
    if load.cpu >= before:
        return min(1.0, worst * (1 + (load.cpu - before) / cpus))
    return worst * max(0.0, load.cpu) / before if before > 0 else worst


Metric = Callable[[list[Use], Policy], float]


def _overload(uses: list[Use], policy: Policy) -> float:
    above = (max(0.0, share - policy.overload_above) for u in uses for share in (u.cpu, u.mem))
    return fsum(above) / len(uses)


METRICS: tuple[tuple[str, Callable[[Policy], float], Metric], ...] = (
    ("CPU spread", lambda p: p.weight_cpu, lambda uses, _: pstdev(u.cpu for u in uses)),
    ("memory spread", lambda p: p.weight_mem, lambda uses, _: pstdev(u.mem for u in uses)),
    ("promised spread", lambda p: p.weight_promised, lambda uses, _: pstdev(u.promised for u in uses)),
    ("overload", lambda p: p.weight_overload, _overload),
    ("stall", lambda p: p.weight_stall, lambda uses, _: max(u.stall for u in uses)),
)


def terms(cluster: Cluster, policy: Policy) -> tuple[tuple[str, float], ...]:
    """Each term, weighted, over the hosts that are online and freshly measured."""
    known = [h for h in cluster.hosts if h.state is HostState.ONLINE and h.load and h.load.age_s <= policy.max_age_s]
    uses = [use(host, cluster, policy) for host in known]
    if not uses:
        return tuple((name, 0.0) for name, _, _ in METRICS)
    return tuple((name, weight(policy) * metric(uses, policy)) for name, weight, metric in METRICS)


def total(rows: tuple[tuple[str, float], ...]) -> float:
    """The score: the sum of its terms."""
    return sum(value for _, value in rows)


def moved(cluster: Cluster, vm: VM, target: str, policy: Policy) -> Cluster:
    """The cluster as it is expected to be with the VM on `target`: its load goes along with it."""
    after = replace(vm, host=target)
    vms = tuple(after if other.spec.uuid == vm.spec.uuid else other for other in cluster.vms)
    if all(other.spec.uuid != vm.spec.uuid for other in cluster.vms):
        vms = (*vms, after)
    return replace(cluster, hosts=tuple(_shift(host, vm, target) for host in cluster.hosts), vms=vms)


def _shift(host: Host, vm: VM, target: str) -> Host:
    load = host.load
    if load is None or vm.load is None or vm.host == target or host.name not in (vm.host, target):
        return host
    sign = 1 if host.name == target else -1
    stall_cpu = load.cpu if load.stall_cpu is None else load.stall_cpu
    cpu, used = load.cpu + sign * vm.load.cpu, load.mem_used_mib + sign * vm.load.mem_mib
    return replace(host, load=replace(load, cpu=cpu, mem_used_mib=used, stall_cpu=stall_cpu))
