"""A cluster of equal hosts as arrays, and what all rows of the tables are measured by: hbal's score, our own sums.

Everything is a share of one host. Six dimensions, as in hbal's score for shared storage: promised memory, vCPUs, and
the CPU, memory, disk and network in use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vmctl.model.cluster import Cluster
from vmctl.model.plans import Move

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
PROMISED, VCPUS, CPU, MEM, DISK, NET = range(6)


@dataclass(frozen=True)
class Loads:
    """Who uses what, and where. `demand` has one row per VM, `homes` its host's number."""

    vms: tuple[str, ...]
    hosts: tuple[str, ...]
    demand: Floats
    homes: Whole
    mem_mib: Whole

    def per_host(self) -> Floats:
        """What each host carries: one row per host."""
        carried = np.zeros((len(self.hosts), self.demand.shape[1]))
        np.add.at(carried, self.homes, self.demand)
        return carried

    def score(self) -> float:
        """The sum of the population standard deviations over hosts."""
        return float(self.per_host().std(axis=0).sum())

    def hottest(self) -> float:
        """The largest share of CPU or memory that any host has in use."""
        return float(self.per_host()[:, [CPU, MEM]].max())

    def after(self, moves: Iterable[Move]) -> Loads:
        """The same with these moves done. Raises ValueError for one that starts elsewhere or overfills its target."""
        homes, free = self.homes.copy(), 1.0 - self.per_host()[:, PROMISED]
        vm_number = {name: number for number, name in enumerate(self.vms)}
        host_number = {name: number for number, name in enumerate(self.hosts)}
        for move in moves:
            vm, source, target = vm_number[move.vm], host_number[move.source], host_number[move.target]
            if homes[vm] != source:
                raise ValueError(f"{move.vm} is not on {move.source}")
            need = self.demand[vm, PROMISED]
            if free[target] < need - 1e-9:
                raise ValueError(f"{move.vm} does not fit on {move.target}")
            homes[vm] = target
            free[source] += need
            free[target] -= need
        return replace(self, homes=homes)


def of(cluster: Cluster) -> Loads:
    """The arrays of a cluster. Raises ValueError where hosts differ, or a VM has no host or no load."""
    if len({(host.cpus, host.mem_mib) for host in cluster.hosts}) != 1:
        raise ValueError("the hosts are not equal")
    cpus, mem_mib = cluster.hosts[0].cpus, cluster.hosts[0].mem_mib
    numbers = {host.name: number for number, host in enumerate(cluster.hosts)}
    rows = []
    for vm in cluster.vms:
        if vm.load is None or vm.host not in numbers:
            raise ValueError(f"{vm.name} has no load, or no host")
        promised, used = vm.spec.mem_mib / mem_mib, vm.load.mem_mib / mem_mib
        rows.append((promised, vm.spec.cpus / cpus, vm.load.cpu / cpus, used, vm.load.disk, vm.load.net))
    return Loads(
        tuple(vm.name for vm in cluster.vms),
        tuple(numbers),
        np.array(rows),
        np.array([numbers[vm.host] for vm in cluster.vms]),
        np.array([vm.spec.mem_mib for vm in cluster.vms]),
    )
