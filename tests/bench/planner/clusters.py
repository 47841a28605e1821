"""Clusters to plan for, the same ones for everybody: made by chance from a seed, and written as hbal reads them.

All hosts are equal (hbal does not weigh loads by a host's size), a tenth of them is empty, as after a purchase, and the
rest are unequally popular. What VMs use is log-normal: a few use much. A VM has as much memory as it uses.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmctl.formats import ganeti
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostLoad
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, PowerState, Spec, VMLoad

Floats = NDArray[np.float64]
CPUS, MEM_MIB = 64, 256 << 10  # of each host
SIGMA = 1.2  # of the logarithm of what a VM uses
USED = {"mem": 0.65, "cpu": 0.45, "disk": 0.30, "net": 0.30}  # of the whole cluster
LARGEST = {"mem": 0.25, "cpu": 0.20, "disk": 0.20, "net": 0.20}  # VM, as a share of a host
EMPTY = 0.10  # share of hosts
POPULARITY = (0.3, 1.0)
VCPUS = (1, 2, 2, 4, 4, 8)


def make(hosts: int, vms: int, seed: int) -> tuple[Cluster, Policy]:
    """A cluster in which something is to be done, and hbal's policy."""
    chance = np.random.default_rng(seed)
    shares = {kind: _demand(chance, vms, USED[kind] * hosts, LARGEST[kind]) for kind in USED}
    vcpus = chance.choice(VCPUS, vms)
    mem_mib = np.maximum(128, np.round(shares["mem"] * MEM_MIB)).astype(int)
    homes = _homes(chance, mem_mib, hosts)
    names = [f"h{number:04}" for number in range(hosts)]
    made = tuple(
        VM(
            Spec(f"v{number:05}", f"v{number:05}", int(vcpus[number]), int(mem_mib[number])),
            names[homes[number]],
            power=PowerState.RUNNING,
            load=VMLoad(
                float(shares["cpu"][number]) * CPUS,
                int(mem_mib[number]),
                disk=float(shares["disk"][number]),
                net=float(shares["net"][number]),
            ),
        )
        for number in range(vms)
    )
    return Cluster(tuple(_host(name, made) for name in names), made), ganeti.policy()


def files(cluster: Cluster, policy: Policy, folder: Path) -> tuple[Path, Path]:
    """hbal's data and utilisation files."""
    data, loads = folder / "cluster.data", folder / "cluster.util"
    for path, text in zip((data, loads), ganeti.write(cluster, policy), strict=True):
        path.write_text(text)
    return data, loads


def _demand(chance: np.random.Generator, count: int, total: float, largest: float) -> Floats:
    """Log-normal shares of a host that sum up to `total`, none above `largest`: what is cut off goes to the others."""
    raw = chance.lognormal(0.0, SIGMA, count)
    cut = np.zeros(count, dtype=bool)
    while True:
        free = total - largest * cut.sum()
        shares = np.where(cut, largest, raw * free / raw[~cut].sum())
        if not (over := (shares > largest) & ~cut).any():
            return shares
        cut |= over


def _homes(chance: np.random.Generator, mem_mib: NDArray[np.int64], hosts: int) -> list[int]:
    """A host for each VM: by popularity, among those with room for it."""
    popularity = chance.uniform(*POPULARITY, hosts)
    popularity[chance.choice(hosts, round(hosts * EMPTY), replace=False)] = 0.0
    free = np.full(hosts, MEM_MIB)
    homes = [0] * len(mem_mib)
    for number, need in enumerate(mem_mib):
        room = free > need
        likely = popularity * room if (popularity * room).any() else room.astype(float)
        homes[number] = int(chance.choice(hosts, p=likely / likely.sum()))
        free[homes[number]] -= need
    return homes


def _host(name: str, vms: tuple[VM, ...]) -> Host:
    loads = [vm.load for vm in vms if vm.host == name and vm.load]
    load = HostLoad(
        sum(load.cpu for load in loads),
        sum(load.mem_mib for load in loads),
        disk=sum(load.disk for load in loads),
        net=sum(load.net for load in loads),
    )
    return Host(name, cpus=CPUS, mem_mib=MEM_MIB, load=load)
