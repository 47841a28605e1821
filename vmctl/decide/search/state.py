"""A cluster as arrays, for the search: what `fit` and `score` say in words, in numbers.

Hosts and VMs stand in an order that follows from what they are and not from their names or places in the snapshot
(`_host_order`, `_vm_order`), so that the same cluster gives the same plan however it is listed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import fsum, inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmctl.decide import fit, score
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host
from vmctl.model.policy import Policy
from vmctl.model.vms import VM

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
CPU, MEM, PROMISED, SUFFERING = 0, 1, 2, 6  # columns of `share` and `size` that more than a spread depends on
SPREADS = 6  # columns whose spread over hosts counts: CPU, memory, promised memory, vCPUs, disk, net
SHARES = 7  # and one more: what the guests themselves suffer
NEEDS = 2  # what may not run out: MiB and cores promised
GROUPS = 3  # kinds of groups: apart, rather apart, rather together


HOST_DTYPE = np.dtype(
    [
        ("share", "f8", SHARES),  # of its capacity in use
        ("inverse", "f8", SHARES),  # what one unit of a VM's size is as a share of this host
        ("room", "f8", NEEDS),  # that may be promised, beside what the host uses for itself
        ("used", "f8", NEEDS),  # that is promised
        ("stall", "f8"),  # the worst, as measured,
        ("stall_at", "f8"),  # at this share of CPU
        ("penalty", "f8"),  # overload and stall, weighted
        ("counted", "?"),  # is part of the score; of the others share and inverse are 0, and so is all that they add
    ],
    align=True,
)
VM_DTYPE = np.dtype(
    [
        ("size", "f8", SHARES),  # what it takes along: cores, MiB, MiB, vCPUs, shares of disk and link, own stall
        ("need", "f8", NEEDS),
        ("cost", "f8", 3),  # of moving it: 1, GiB, minutes on the wire
        ("group", "i8", GROUPS),  # that it belongs to; -1: none
        ("home", "i8"),  # the host where it is; N: it is to be placed
        ("at", "i8"),  # the host where the search has put it
        ("kind", "i8"),  # VMs of one kind may run on the same hosts
        ("grouped", "?"),  # is in any group
        ("movable", "?"),
    ],
    align=True,
)
TOTALS_DTYPE = np.dtype(
    [
        ("weight", "f8", SPREADS),
        ("total", "f8", SPREADS),  # sums of shares over the counted hosts,
        ("square", "f8", SPREADS),  # of their squares,
        ("spread", "f8", SPREADS),  # and the standard deviations that follow
        ("spent", "f8", 3),  # moves, GiB and minutes of all VMs that are not at home
        ("above", "f8"),  # a share of CPU or memory beyond this is overload
        ("weight_overload", "f8"),
        ("weight_stall", "f8"),
        ("count", "i8"),  # hosts that are part of the score,
        ("part", "f8"),  # 1 / count
        ("penalized", "?"),  # overload or stall counts
    ],
    align=True,
)


class SearchState(NamedTuple):
    """N hosts and M VMs in the course of a search. Records rather than many arrays: a move touches two hosts."""

    hosts: Any  # (N + 1) of HOST_DTYPE; the last is nowhere: whence VMs come that are to be placed
    vms: Any  # (M) of VM_DTYPE
    totals: Any  # (1) of TOTALS_DTYPE
    allowed: Flags  # (kinds, N)
    group_weight: Floats  # (groups) what each pair in one domain costs; infinite: it must not be
    domain: Ints  # (groups, N + 1) the failure domain of each host, as the group sees it
    members: Ints  # (groups, N + 1) VMs of the group in each domain


@dataclass(frozen=True, slots=True)
class IndexedCluster:
    """A search's state, whom its rows stand for, and what a move of each VM costs in units of the score."""

    state: SearchState
    price: Floats
    hosts: tuple[Host, ...]
    vms: tuple[VM, ...]


def build(
    cluster: Cluster, policy: Policy, stays: Callable[[VM], bool] = lambda vm: False, homeless: tuple[VM, ...] = ()
) -> IndexedCluster:
    """The arrays of a cluster; `stays` are not moved, `homeless` are to be placed. Stopped VMs are left out."""
    uses = {host.name: score.use(host, cluster, policy) for host in cluster.hosts}
    hosts = tuple(sorted(cluster.hosts, key=lambda host: _host_order(host, uses[host.name])))
    place = {host.name: row for row, host in enumerate(hosts)}
    vms = tuple(sorted((vm for vm in cluster.vms if vm.host in place), key=lambda vm: _vm_order(vm, place, policy)))
    vms += homeless
    kinds: dict[tuple[object, ...], int] = {}
    kind = [kinds.setdefault(_kind(vm), len(kinds)) for vm in vms]
    examples = (replace(vms[kind.index(number)], host="") for number in range(len(kinds)))
    fixed = [[fit.refusal(vm, host, cluster, policy, fit.FIXED) is None for host in hosts] for vm in examples]
    groups = _Groups.of(cluster, hosts, vms, policy)
    host_rows = np.zeros(len(hosts) + 1, HOST_DTYPE)
    for row, host in zip(host_rows, hosts, strict=False):
        _fill_host(row, host, uses[host.name], cluster, policy)
    vm_rows = np.zeros(len(vms), VM_DTYPE)
    if vms:
        vm_rows["size"], vm_rows["cost"] = [_size(vm, policy) for vm in vms], [costs(vm, policy) for vm in vms]
        vm_rows["need"] = [(fit.promised_mib((vm,), policy), fit.promised_cores(vm, policy)) for vm in vms]
    vm_rows["home"] = vm_rows["at"] = [place.get(vm.host, len(hosts)) for vm in vms]
    vm_rows["movable"] = [not stays(vm) for vm in vms]
    vm_rows["kind"], vm_rows["group"], vm_rows["grouped"] = kind, groups.of_vms, (groups.of_vms >= 0).any(axis=1)
    totals = np.zeros(1, TOTALS_DTYPE)
    totals["weight"] = [weight(policy) for _, weight, _ in score.METRICS[:SPREADS]]
    totals["above"], totals["weight_overload"] = policy.overload_above, policy.weight_overload
    totals["weight_stall"] = policy.weight_stall
    allowed = np.array(fixed, np.bool_).reshape(len(kinds), len(hosts))
    state = SearchState(host_rows, vm_rows, totals, allowed, groups.weight, groups.domain, groups.members)
    return IndexedCluster(state, np.array([price(vm, policy) for vm in vms]), hosts, vms)


def _fill_host(row: Any, host: Host, use: score.Use, cluster: Cluster, policy: Policy) -> None:
    load, vms = host.load, cluster.on(host.name)
    row["counted"] = score.is_counted(host, policy)
    if row["counted"]:
        row["share"] = use.cpu, use.mem, use.promised, use.vcpus, use.disk, use.net, use.suffering
        row["inverse"] = 1 / host.cpus, 1 / host.mem_mib, 1 / host.mem_mib, 1 / host.cpus, 1, 1, 1
    row["room"] = fit.limit_mib(host, policy) - fit.beside_mib(host, cluster), host.cpus + 1e-9
    row["used"] = fit.promised_mib(vms, policy), fsum(fit.promised_cores(vm, policy) for vm in vms)
    row["used"][1] += fit.job_cores(host, policy)
    if load:
        row["stall"] = score.measured_stall(load)
        row["stall_at"] = score.stalled_at(load) / host.cpus


def costs(vm: VM, policy: Policy) -> tuple[float, float, float]:
    """What a live migration takes: one move, GiB over the wire, minutes on it.

    Each pass copies what was written during the one before: memory / link x 1 / (1 - dirty rate / link).
    """
    dirty = min(0.9, vm.load.dirty_mib_s / policy.link_mib_s) if vm.load else 0.0
    mib = vm.spec.mem_mib / (1 - dirty)
    return 1.0, vm.spec.mem_mib / 1024, mib / policy.link_mib_s / 60


def price(vm: VM, policy: Policy) -> float:
    """What moving a VM costs, as a share of one host."""
    return policy.price_per_move + policy.price_per_minute * costs(vm, policy)[2]


def _size(vm: VM, policy: Policy) -> tuple[float, ...]:
    load = vm.load
    return (
        score.expected_cpu(vm, policy),
        score.expected_mem(vm, policy),
        fit.promised_mib((vm,), policy),
        vm.spec.cpus,
        load.disk if load else 0.0,
        load.net if load else 0.0,
        load.stall if load else 0.0,
    )


def _kind(vm: VM) -> tuple[object, ...]:
    """Everything about a VM that the rules in `fit.FIXED` look at."""
    spec = vm.spec
    numa = spec.mem_mib if spec.one_numa_node else 0
    storages = frozenset(disk.storage for disk in spec.disks)
    needs = tuple(sorted(spec.needs.items()))
    return (
        spec.cpus,
        numa,
        storages,
        needs,
        (spec.bridge, *spec.more_bridges),
        bool(spec.mac),
        spec.cpu_xml,
        vm.adopted or vm.job,
    )


def _host_order(host: Host, use: score.Use) -> tuple[object, ...]:
    return host.mem_mib, host.cpus, use.promised, use.mem, use.cpu, use.stall, host.name


def _vm_order(vm: VM, place: dict[str, int], policy: Policy) -> tuple[object, ...]:
    return vm.spec.mem_mib, vm.spec.cpus, place[vm.host], score.expected_cpu(vm, policy), vm.spec.name


@dataclass(frozen=True, slots=True)
class _Groups:
    of_vms: Ints
    weight: Floats
    domain: Ints
    members: Ints

    @classmethod
    def of(cls, cluster: Cluster, hosts: tuple[Host, ...], vms: tuple[VM, ...], policy: Policy) -> _Groups:
        weights = {
            "apart": inf,
            "prefer_apart": policy.weight_groups,
            "prefer_together": -policy.weight_groups,
        }
        rows: dict[tuple[str, str], list[int]] = {}
        for row, vm in enumerate(vms):
            for kind in weights:
                if name := getattr(vm.spec, kind):
                    rows.setdefault((kind, name), []).append(row)
        found, column = sorted(rows), list(weights)
        of_vms = np.full((len(vms), len(weights)), -1, np.int64)
        domain = np.full((len(found), len(hosts) + 1), len(hosts), np.int64)
        members = np.zeros((len(found), len(hosts) + 1), np.int64)
        for number, (kind, name) in enumerate(found):
            of_vms[rows[kind, name], column.index(kind)] = number
            # A VM that is still to be placed may be the one that names what the group must be apart by.
            group = (*cluster.group(kind, name), *(vms[row] for row in rows[kind, name]))
            key = "" if kind == "prefer_together" else fit.group_key(group[0], group)
            seen: dict[str, int] = {}
            domain[number, :-1] = [seen.setdefault(fit.domain(host, key), len(seen)) for host in hosts]
            of_host = dict(zip((host.name for host in hosts), domain[number], strict=False))
            for vm in cluster.group(kind, name):
                homes = [of_host[home] for home in {vm.host, vm.moving_to} & of_host.keys()]
                # A wish counts a VM that moves within a domain once; a must keeps both its places.
                for place in homes if kind == "apart" else set(homes):
                    members[number, place] += 1
        return cls(of_vms, np.array([weights[kind] for kind, _ in found]), domain, members)
