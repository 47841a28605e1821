"""How much more fits, what would be lost if a host or a rack died, and what to buy so that any one host may.

How many VMs of a size fit is counted exactly: a new VM asks for memory and cores only, so that hosts do not depend on
each other. The number that fits so that any one host may still die is found greedily: a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import fsum

import numpy as np

from vmctl.decide import fit
from vmctl.decide.score import is_counted
from vmctl.decide.search.compiled import compiled
from vmctl.decide.search.moves import NOBODY, apply_move, begin, by_host
from vmctl.decide.search.spare import anywhere, homeless, obvious, roomiest, unsafe
from vmctl.decide.search.state import Flags, IndexedCluster, Ints, SearchState, build
from vmctl.formats.sizes import SIZES, Size, spelt
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostLoad
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, Spec

RACK = "rack"  # the host label that names what dies as one
MOST_CHECKS = 200  # of whether any one host may die, per size: in a large cluster one takes a tenth of a second
FIRST_STEP = 64  # VMs that are added before the first of these checks


@dataclass(frozen=True, slots=True)
class HostRoom:
    """How many more VMs of one size a host takes, what ends it there ("memory", "cores"), or why it takes none."""

    host: str
    count: int
    limit: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class SizeCapacity:
    """How many more VMs of one size fit. `spare`: so that any one host may still die, where the policy asks for it."""

    cpus: int
    mem_mib: int
    count: int  # always exact
    hosts: tuple[HostRoom, ...]
    first_limit: str  # the resource that runs out first, and where; empty where no host takes such VMs
    spare: int | None
    exact: bool  # whether no more than `spare` could be added; if not, it is a bound: at least so many can
    why: str


@dataclass(frozen=True, slots=True)
class Loss:
    """The VMs that would find no other place if a host or a rack died, the largest first."""

    name: str
    vms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Purchase:
    """So many more hosts like this one (memory in MiB), and any one host may die but for VMs that these cannot take."""

    hosts: int
    like: str
    cpus: int
    mem_mib: int
    never: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """What fits, what could be lost, what to buy; `why` says it in sentences."""

    sizes: tuple[SizeCapacity, ...]
    hosts: tuple[Loss, ...]
    racks: tuple[Loss, ...]
    buy: Purchase
    why: tuple[str, ...]


def capacity(cluster: Cluster, policy: Policy, sizes: Iterable[Size] = SIZES) -> Capacity:
    """What more a cluster can take and stand; `sizes` are vCPUs and MiB of one VM each."""
    cluster = replace(cluster, hosts=tuple(sorted(cluster.hosts, key=lambda host: host.name)))
    found = tuple(_fit(size, cluster, policy) for size in sizes)
    named = build(cluster, policy)
    state = begin(named.state)
    hosts = _losses(named, state, {host.name: [host.name] for host in cluster.hosts if is_counted(host, policy)})
    racks = _losses(named, state, _racks(cluster))
    buy = _purchase(cluster, policy, hosts)
    lost = (*_told(hosts, "host", ""), *_told(racks, "rack", "rack "), *_unasked(cluster, policy))
    return Capacity(found, hosts, racks, buy, (*(one.why for one in found), *lost, f"to buy: {buy.why}"))


def example(size: Size, number: int = 0) -> VM:
    """A new VM of that size that asks for nothing else."""
    name = f"new {spelt(*size)} {number}"  # no VM's name has a space in it
    return VM(Spec(f"uuid of {name}", name, *size))


# -- what fits now


def _fit(size: Size, cluster: Cluster, policy: Policy) -> SizeCapacity:
    rooms = tuple(_room(example(size), host, cluster, policy) for host in cluster.hosts)
    count = sum(room.count for room in rooms)
    first = min((room for room in rooms if room.limit), key=lambda room: (room.count, room.host), default=None)
    limit = f"{first.limit} on {first.host}" if first else ""
    spare = _with_spare(size, count, cluster, policy) if policy.spare_host else None
    exact = spare in (None, count)
    fitting = f"{count} more VM{'s' * (count != 1)} of {spelt(*size)} fit{'s' * (count == 1)}"
    why = f"{fitting}; first limit: {limit}" if first else f"{fitting}: no host takes such VMs"
    if spare is not None:
        some = f"{'at least ' * (not exact)}{spare}" if spare else "none"
        why += f"; {some} so that any one host may still die"
    return SizeCapacity(*size, count, rooms, limit, spare, exact, why)


def _room(vm: VM, host: Host, cluster: Cluster, policy: Policy) -> HostRoom:
    """As many times as `fit.has_memory` and `fit.has_cpus` say yes."""
    refused = fit.refusal(vm, host, cluster, policy, fit.FIXED)
    if refused:
        return HostRoom(host.name, 0, why=refused.why)
    here, wants = cluster.on(host.name), fit.promised_cores(vm, policy)
    mib = fit.limit_mib(host, policy) - fit.beside_mib(host, cluster) - fit.promised_mib(here, policy)
    cores = host.cpus - fit.job_cores(host, policy) - fsum(fit.promised_cores(other, policy) for other in here)
    by_mib = max(0, mib // fit.promised_mib((vm,), policy))
    by_cores = max(0, int((cores + 1e-9) / wants))
    return HostRoom(host.name, min(by_mib, by_cores), "memory" if by_mib <= by_cores else "cores")


# -- what fits so that any one host may still die


@compiled
def fill(b: SearchState, first: int, most: int, closed: Flags) -> int:
    """Put VMs from row `first` on, each where most memory is free; how many found a place."""
    for vm in range(first, first + most):
        target = roomiest(b, vm, closed)
        if target == NOBODY:
            return vm - first
        apply_move(b, vm, target)
    return most


@compiled
def added(b: SearchState, first: int, free: Flags, checks: int) -> int:
    """How many of the VMs from row `first` on find a place so that any one host may still die.

    They go in steps that grow while all is well and shrink when it is not; a host that cannot take one more gets none.
    """
    done, step, closed = 0, FIRST_STEP, np.zeros(b.hosts.size, np.bool_)
    for _ in range(checks):
        start = first + done
        made = fill(b, start, min(step, b.vms.size - start), closed)
        if made == 0:
            break
        if unsafe(b, free)[0] < 0:
            done, step = done + made, 2 * step
            continue
        if made == 1:
            closed[b.vms[start].at] = True
        for vm in range(start, start + made):
            apply_move(b, vm, b.hosts.size - 1)
        step = max(1, made // 2)
    return done


def _with_spare(size: Size, most: int, cluster: Cluster, policy: Policy) -> int:
    """How many can be added at least, with none more than `most`."""
    state = build(cluster, policy, homeless=(example(size),)).state
    rows = np.concatenate((state.vms[:-1], np.repeat(state.vms[-1:], most)))
    state = begin(state._replace(vms=rows))
    free = anywhere(state)
    if unsafe(state, free)[0] >= 0:
        return 0
    return int(added(state, rows.size - most, free, MOST_CHECKS))


# -- what could be lost


def _losses(named: IndexedCluster, state: SearchState, domains: dict[str, list[str]]) -> tuple[Loss, ...]:
    """What would find no place if all hosts of a domain died."""
    rows = {host.name: row for row, host in enumerate(named.hosts)}
    first, vms = by_host(state)
    free, found = anywhere(state), []
    for name, hosts in domains.items():
        dead = np.zeros(state.hosts.size, np.bool_)
        dead[[rows[host] for host in hosts]] = True
        here = np.concatenate([vms[first[row] : first[row + 1]] for row in np.flatnonzero(dead)])
        here = np.sort(here)[::-1]  # the largest first, as rows are sorted by size
        lost = _homeless(state, dead, here, free)
        found.append(Loss(name, tuple(named.vms[vm].name for vm in lost)))
    return tuple(found)


def _homeless(state: SearchState, dead: Flags, here: Ints, free: Flags) -> Ints:
    """As `spare.homeless`, which is spared where the answer is obvious."""
    row = np.flatnonzero(dead)
    if row.size == 1 and obvious(state, int(row[0]), here, free):
        return np.zeros(0, np.int64)
    found: Ints = homeless(state, dead, here)
    return found


def _racks(cluster: Cluster) -> dict[str, list[str]]:
    racks: dict[str, list[str]] = {}
    for host in cluster.hosts:
        if rack := host.labels.get(RACK):
            racks.setdefault(rack, []).append(host.name)
    return dict(sorted(racks.items()))


def _told(losses: tuple[Loss, ...], kind: str, before: str) -> list[str]:
    bad = [f"if {before}{loss.name} died, {_list(loss.vms)} would find no place" for loss in losses if loss.vms]
    return bad or [f"any one {kind} may die: its VMs find a place elsewhere"] * bool(losses)


def _unasked(cluster: Cluster, policy: Policy) -> list[str]:
    """N+1 is asked for hosts that are known to be alive; of others it must be said that it was not."""
    names = tuple(host.name for host in cluster.hosts if not is_counted(host, policy))
    return [f"what would be lost with {_list(names)} was not asked: not online, or not measured"] * bool(names)


def _list(names: tuple[str, ...], most: int = 10) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


# -- what to buy


def _purchase(cluster: Cluster, policy: Policy, losses: tuple[Loss, ...]) -> Purchase:
    """The fewest hosts after which no more is lost than no number of such hosts could save."""
    like = _largest(cluster, policy)
    if like is None:
        return Purchase(0, "", 0, 0, (), "there is no host that takes VMs, and so none to be like")
    one = Purchase(0, like.name, like.cpus, like.mem_mib, (), "nothing: any one host may die")
    if not any(loss.vms for loss in losses):
        return one
    # With a new host for each VM of the fullest host, each would have one for itself.
    most = max(len(cluster.on(loss.name)) for loss in losses if loss.vms)
    never = _lost(grown(cluster, like, most), policy)
    enough = _fewest(cluster, policy, like, most, never)
    names = tuple(sorted({vm for _, vm in never}))
    return replace(one, hosts=enough, never=names, why=_bought(like, enough, names))


def _fewest(cluster: Cluster, policy: Policy, like: Host, most: int, never: frozenset[tuple[str, str]]) -> int:
    def short(number: int) -> bool:
        return not _lost(grown(cluster, like, number), policy) <= never

    if not short(0):
        return 0
    low, high = 0, 1
    while high < most and short(high):
        low, high = high, 2 * high
    high = min(high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return high


def _bought(like: Host, number: int, never: tuple[str, ...]) -> str:
    kind = f"like {like.name} ({like.cpus} CPUs, {round(like.mem_mib / 1024, 1):g} GiB)"
    helpless = f"no host {kind} would help {_list(never)}"
    if not number:
        return f"nothing: {helpless}"
    hosts = f"one more host {kind}" if number == 1 else f"{number} more hosts {kind}"
    return f"{hosts}; {helpless}" if never else hosts


def _largest(cluster: Cluster, policy: Policy) -> Host | None:
    nobody = example((1, 1))
    taking = [host for host in cluster.hosts if fit.refusal(nobody, host, cluster, policy, fit.FIXED) is None]
    return max(taking, key=lambda host: (host.mem_mib, host.cpus, host.name), default=None)


def grown(cluster: Cluster, like: Host, number: int) -> Cluster:
    """The cluster with so many more hosts like that one, on which no VM is yet."""
    load = HostLoad(0.0, fit.beside_mib(like, cluster))
    new = tuple(replace(like, name=f"{like.name} new {count}", load=load) for count in range(number))
    return replace(cluster, hosts=(*cluster.hosts, *new))


def _lost(cluster: Cluster, policy: Policy) -> frozenset[tuple[str, str]]:
    """Hosts and the VMs that would find no other place if they died."""
    named = build(cluster, policy)
    hosts = {host.name: [host.name] for host in cluster.hosts if is_counted(host, policy)}
    losses = _losses(named, begin(named.state), hosts)
    return frozenset((loss.name, vm) for loss in losses for vm in loss.vms)
