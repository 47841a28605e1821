"""How uneven and how stalled is a cluster? One table of terms; lower is better.

The spreads are population standard deviations over hosts of a share of each host's capacity, as Ganeti's htools
score a cluster; stall and overload are added because high use is not yet suffering.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
        cpu=(load.cpu + sum(expected_cpu(vm, policy) for vm in new)) / host.cpus,
        mem=(load.mem_used_mib + sum(expected_mem(vm, policy) for vm in new)) / host.mem_mib,
        promised=promised_mib(vms, policy) / host.mem_mib,
        stall=max(load.psi_cpu, load.psi_mem, load.psi_io, load.steal),
    )


Metric = Callable[[list[Use], Policy], float]


def _overload(uses: list[Use], policy: Policy) -> float:
    return sum(max(0.0, u.cpu - policy.overload_above) + max(0.0, u.mem - policy.overload_above) for u in uses) / len(
        uses
    )


METRICS: tuple[tuple[str, Callable[[Policy], float], Metric], ...] = (
    ("CPU spread", lambda p: p.weight_cpu, lambda uses, _: pstdev(u.cpu for u in uses)),
    ("memory spread", lambda p: p.weight_mem, lambda uses, _: pstdev(u.mem for u in uses)),
    ("promised spread", lambda p: p.weight_promised, lambda uses, _: pstdev(u.promised for u in uses)),
    ("overload", lambda p: p.weight_overload, _overload),
    ("stall", lambda p: p.weight_stall, lambda uses, _: max(u.stall for u in uses)),
)


def terms(cluster: Cluster, policy: Policy) -> tuple[tuple[str, float], ...]:
    """Each term, weighted, over the hosts that are online and measured."""
    uses = [use(host, cluster, policy) for host in cluster.hosts if host.state is HostState.ONLINE and host.load]
    if not uses:
        return tuple((name, 0.0) for name, _, _ in METRICS)
    return tuple((name, weight(policy) * metric(uses, policy)) for name, weight, metric in METRICS)


def total(rows: tuple[tuple[str, float], ...]) -> float:
    """The score: the sum of its terms."""
    return sum(value for _, value in rows)


def moved(cluster: Cluster, vm: VM, target: str, policy: Policy) -> Cluster:
    """The cluster as it is expected to be with the VM on `target`: its load goes along with it.

    The stall of a host eases or grows by the share of its CPU use that leaves or arrives.
    """
    after = replace(vm, host=target)
    vms = tuple(after if other.spec.uuid == vm.spec.uuid else other for other in cluster.vms)
    if all(other.spec.uuid != vm.spec.uuid for other in cluster.vms):
        vms = (*vms, after)
    hosts = tuple(_shift(host, vm, target, policy) for host in cluster.hosts)
    return replace(cluster, hosts=hosts, vms=vms)


def _shift(host: Host, vm: VM, target: str, policy: Policy) -> Host:
    if host.load is None or vm.load is None or vm.host == target or host.name not in (vm.host, target):
        return host
    sign = 1 if host.name == target else -1
    cpu = max(0.0, host.load.cpu + sign * vm.load.cpu)
    # A host is expected to stall in proportion to its use; one that gets busier is not expected to stall less.
    eased = min(1.0, cpu / host.load.cpu) if host.load.cpu > 0 else 1.0
    load = replace(
        host.load,
        cpu=cpu,
        mem_used_mib=max(0, host.load.mem_used_mib + sign * vm.load.mem_mib),
        psi_cpu=host.load.psi_cpu * eased,
        psi_mem=host.load.psi_mem * eased,
        psi_io=host.load.psi_io * eased,
        steal=host.load.steal * eased,
    )
    return replace(host, load=load)
