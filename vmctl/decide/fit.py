"""May this VM run on that host? Each rule is a function that returns a reason with its numbers, or None.

A new rule is one function and one row: in FIXED, or in RULES where other VMs count. `act` asks the same rules again
just before it moves anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import fsum

from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostState, own_storage
from vmctl.model.plans import Refusal
from vmctl.model.policy import Policy
from vmctl.model.vms import VM

CPU_MODEL = re.compile(r"<model[^>]*>([^<]+)</model>")

Rule = Callable[[VM, Host, Cluster, Policy], str | None]


def others(vm: VM, host: Host, cluster: Cluster) -> tuple[VM, ...]:
    """The VMs on the host besides this one."""
    return tuple(other for other in cluster.on(host.name) if other.spec.uuid != vm.spec.uuid)


def promised_mib(vms: tuple[VM, ...], policy: Policy) -> int:
    """Memory promised to VMs, QEMU's own included."""
    return sum(vm.spec.mem_mib + (0 if vm.job else policy.vm_overhead_mib) for vm in vms)


def promised_cores(vm: VM, policy: Policy) -> float:
    """The part of a core, or the cores, that its vCPUs are promised."""
    return vm.spec.cpus / policy.class_overcommit.get(vm.spec.load_class, policy.cpu_overcommit)


def beside_mib(host: Host, cluster: Cluster) -> int:
    """What a host uses beside its VMs, which is measured, and what was promised there to runs of jobs."""
    resident = sum(vm.load.mem_mib for vm in cluster.on(host.name) if vm.load and vm.host == host.name)
    return host.jobs.mem_mib + (max(0, host.load.mem_used_mib - resident) if host.load else 0)


def job_cores(host: Host, policy: Policy) -> float:
    """The cores that are promised to runs of jobs."""
    return host.jobs.cpus / policy.cpu_overcommit


def limit_mib(host: Host, policy: Policy) -> int:
    """Memory that may be promised on a host, with what it uses beside its VMs."""
    return int((host.mem_mib - policy.mem_reserve_mib) * policy.mem_overcommit)


def domain(host: Host, key: str) -> str:
    """The failure domain of a host: the value of a label, or the host itself where it has none or none is asked for."""
    return host.labels.get(key) or host.name


def expected_mib(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> int:
    """What the host will need with the VM on it: what it really uses beside its VMs, and all promises in full.

    A guest touches its memory bit by bit, so what is free now is no measure of what is left; what the host uses
    apart from its VMs is measured, not promised.
    """
    return beside_mib(host, cluster) + promised_mib((*others(vm, host, cluster), vm), policy)


def group_key(vm: VM, group: tuple[VM, ...]) -> str:
    """The label that names the failure domains of an apart group: one for all, where only some name one."""
    return max((vm.spec.apart_by, *(other.spec.apart_by for other in group)))


def answers(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host is online."""
    if host.state is HostState.ONLINE:
        return None
    return f"the host is {host.state}: {host.why_not}" if host.why_not else f"the host is {host.state}"


def accepts(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host is not being drained."""
    return "the host is draining" if host.draining and vm.host != host.name else None


def gives_leases(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host's lock manager works, as far as is known."""
    needed = not (vm.adopted or vm.job)
    return f"its lock manager gives no leases: {host.no_lock}" if host.no_lock and needed else None


def measured(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host's load is known and fresh."""
    if host.load is None:
        return "its load has not been measured yet"
    if host.load.age_s > policy.max_age_s:
        return f"its load is {host.load.age_s:.0f} s old, more than {policy.max_age_s:.0f} s"
    return None


def reaches_storage(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """Every storage of the VM's disks was proven to be shared with this host and is mounted there, or is its own."""
    missing = sorted({disk.storage for disk in vm.spec.disks} - host.storages - {own_storage(host.name)})
    if lost := [name for name in missing if name in host.lost_storages]:
        return f"storage {', '.join(lost)} is not mounted there now"
    return f"storage {', '.join(missing)} is not proven there" if missing else None


def carries_labels(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host carries the labels that the VM needs."""
    for key, value in sorted(vm.spec.needs.items()):
        if host.labels.get(key) != value:
            return f"needs label {key}={value}, the host has {key}={host.labels.get(key, '(none)')}"
    return None


def has_bridge(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host has the VM's network, as far as is known."""
    if host.bridges is None or not vm.spec.mac:
        return None
    missing = [name for name in (vm.spec.bridge, *vm.spec.more_bridges) if name not in host.bridges]
    return (
        f"needs bridge {', '.join(missing)}, the host has {', '.join(sorted(host.bridges)) or 'none'}"
        if missing
        else None
    )


def offers_cpu(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host can show the guest the CPU model that it was made with, as far as is known."""
    named = CPU_MODEL.search(vm.spec.cpu_xml)
    if host.cpu_models is None or named is None or named[1] in host.cpu_models:
        return None
    return f"needs CPU model {named[1]}, which its QEMU cannot offer"


def is_wide_enough(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The VM has no more vCPUs than the host has CPUs, and fits into a NUMA node where it asks for one."""
    if vm.spec.cpus > host.cpus:
        return f"wants {vm.spec.cpus} vCPUs, the host has {host.cpus} CPUs"
    if vm.spec.one_numa_node and host.numa_mib and vm.spec.mem_mib > max(host.numa_mib):
        return f"wants {vm.spec.mem_mib} MiB in one NUMA node, the largest has {max(host.numa_mib)} MiB"
    return None


def has_memory(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The memory in use beside VMs and everything promised fit, with the reserve kept free."""
    limit = limit_mib(host, policy)
    need = expected_mib(vm, host, cluster, policy)
    if need <= limit:
        return None
    own = promised_mib((vm,), policy)
    free = limit - (need - own)
    return f"memory: needs {own} MiB, {max(0, free)} of {limit} MiB left"


def has_cpus(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The vCPUs promised stay within the overcommit of their load classes."""
    wants = promised_cores(vm, policy)
    there = fsum(promised_cores(other, policy) for other in others(vm, host, cluster))
    free = host.cpus - job_cores(host, policy) - there
    if wants <= free + 1e-9:
        return None
    return (
        f"CPU: {vm.spec.cpus} vCPUs are promised {wants:g} cores at an overcommit of {vm.spec.cpus / wants:g}, "
        f"{max(0.0, free):g} of {host.cpus} left"
    )


def keeps_apart(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """No VM of the same apart group is there, or in the same failure domain."""
    group = cluster.group("apart", vm.spec.apart)
    key = group_key(vm, group)
    for other in group:
        for home in {other.host, other.moving_to} - {""}:
            there = cluster.host(home)
            if other.spec.uuid == vm.spec.uuid or there is None or domain(there, key) != domain(host, key):
                continue
            where = f", both in {key} {domain(host, key)}" if key and home != host.name else ""
            return f"must be apart from {other.name} (group {vm.spec.apart}{where})"
    return None


def keeps_together(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The other VMs of the same together group, where placed, are there too."""
    for other in cluster.group("together", vm.spec.together):
        if other.spec.uuid == vm.spec.uuid:
            continue
        home = cluster.host(other.host)
        leaving = home is None or home.draining  # a group leaves a draining host one by one, and meets again
        if other.host not in ("", host.name) and not leaving:
            return f"must be together with {other.name}, which is on {other.host} (group {vm.spec.together})"
    return None


FIXED: tuple[tuple[str, Rule], ...] = (  # what the other VMs have no part in
    ("online", answers),
    ("draining", accepts),
    ("lock", gives_leases),
    ("measured", measured),
    ("storage", reaches_storage),
    ("network", has_bridge),
    ("CPU model", offers_cpu),
    ("labels", carries_labels),
    ("size", is_wide_enough),
)
RULES: tuple[tuple[str, Rule], ...] = (
    *FIXED,
    ("apart", keeps_apart),
    ("together", keeps_together),
    ("cpu", has_cpus),
    ("memory", has_memory),
)


def refusal(
    vm: VM, host: Host, cluster: Cluster, policy: Policy, rules: tuple[tuple[str, Rule], ...] = RULES
) -> Refusal | None:
    """The first rule that the VM would break on this host, or None when it may run there."""
    for name, rule in rules:
        why = rule(vm, host, cluster, policy)
        if why is not None:
            return Refusal(name, why)
    return None
