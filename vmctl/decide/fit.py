"""May this VM run on that host? Each rule is a function that returns a reason with its numbers, or None.

A new rule is one function and one row in RULES. `act` asks the same rules again just before it moves anything.
"""

from __future__ import annotations

from collections.abc import Callable

from vmctl.model import VM, Cluster, Host, HostState, Policy, Refusal

Rule = Callable[[VM, Host, Cluster, Policy], str | None]


def others(vm: VM, host: Host, cluster: Cluster) -> tuple[VM, ...]:
    """The VMs on the host besides this one."""
    return tuple(other for other in cluster.on(host.name) if other.spec.uuid != vm.spec.uuid)


def promised_mib(vms: tuple[VM, ...], policy: Policy) -> int:
    """Memory promised to VMs, QEMU's own included."""
    return sum(vm.spec.mem_mib + policy.vm_overhead_mib for vm in vms)


def expected_mib(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> int:
    """What the host will need with the VM on it: what it really uses beside its VMs, and all promises in full.

    A guest touches its memory bit by bit, so what is free now is no measure of what is left; what the host uses
    apart from its VMs is measured, not promised.
    """
    stay = others(vm, host, cluster)
    resident = sum(other.load.mem_mib for other in cluster.vms if other.load and other.host == host.name)
    beside = max(0, host.load.mem_used_mib - resident) if host.load else 0
    return beside + promised_mib((*stay, vm), policy)


def answers(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host is online."""
    return (
        None if host.state is HostState.ONLINE else f"the host is {host.state}{': ' * bool(host.why_not)}{host.why_not}"
    )


def accepts(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host is not being drained."""
    return "the host is draining" if host.draining and vm.host != host.name else None


def gives_leases(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host's lock manager works, as far as is known."""
    return f"its lock manager gives no leases: {host.no_lock}" if host.no_lock and not vm.adopted else None


def measured(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host's load is known and fresh."""
    if host.load is None:
        return "its load has not been measured yet"
    if host.load.age_s > policy.max_age_s:
        return f"its load is {host.load.age_s:.0f} s old, more than {policy.max_age_s:.0f} s"
    return None


def reaches_storage(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """Every storage of the VM's disks was proven to be shared with this host."""
    missing = sorted({disk.storage for disk in vm.spec.disks} - host.storages)
    return f"storage {', '.join(missing)} is not proven there" if missing else None


def carries_labels(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The host carries the labels that the VM wants."""
    for key, value in sorted(vm.spec.labels.items()):
        if host.labels.get(key) != value:
            return f"needs label {key}={value}, the host has {key}={host.labels.get(key, '(none)')}"
    return None


def has_memory(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The memory in use beside VMs and everything promised fit, with the reserve kept free."""
    limit = int((host.mem_mib - policy.mem_reserve_mib) * policy.mem_overcommit)
    need = expected_mib(vm, host, cluster, policy)
    if need <= limit:
        return None
    free = limit - (need - vm.spec.mem_mib - policy.vm_overhead_mib)
    return f"memory: needs {vm.spec.mem_mib + policy.vm_overhead_mib} MiB, {max(0, free)} of {limit} MiB left"


def has_cpus(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The vCPUs promised stay within the overcommit, and the VM is no wider than the host."""
    if vm.spec.cpus > host.cpus:
        return f"CPU: wants {vm.spec.cpus} vCPUs, the host has {host.cpus} CPUs"
    limit = host.cpus * policy.cpu_overcommit
    promised = sum(other.spec.cpus for other in others(vm, host, cluster)) + vm.spec.cpus
    if promised <= limit:
        return None
    return (
        f"CPU: {promised} vCPUs would be promised, {limit:.0f} allowed ({host.cpus} CPUs x {policy.cpu_overcommit:g})"
    )


def keeps_apart(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """No VM of the same apart group is there."""
    for other in others(vm, host, cluster):
        if vm.spec.apart and other.spec.apart == vm.spec.apart:
            return f"must be apart from {other.name} (group {vm.spec.apart})"
    return None


def keeps_together(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> str | None:
    """The other VMs of the same together group, where placed, are there too."""
    for other in cluster.vms:
        if not vm.spec.together or other.spec.together != vm.spec.together or other.spec.uuid == vm.spec.uuid:
            continue
        home = cluster.host(other.host)
        leaving = home is None or home.draining  # a group leaves a draining host one by one, and meets again
        if other.host not in ("", host.name) and not leaving:
            return f"must be together with {other.name}, which is on {other.host} (group {vm.spec.together})"
    return None


RULES: tuple[tuple[str, Rule], ...] = (
    ("online", answers),
    ("draining", accepts),
    ("lock", gives_leases),
    ("measured", measured),
    ("storage", reaches_storage),
    ("labels", carries_labels),
    ("apart", keeps_apart),
    ("together", keeps_together),
    ("cpu", has_cpus),
    ("memory", has_memory),
)


def refusal(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> Refusal | None:
    """The first rule that the VM would break on this host, or None when it may run there."""
    for name, rule in RULES:
        why = rule(vm, host, cluster, policy)
        if why is not None:
            return Refusal(name, why)
    return None
