"""A week in the life of a cluster: load that waves by day and night, bursts, noisy neighbours, one hot VM; planned for
every ten minutes, its moves carried out over real links, two migrations per host at once.

A planner sees the mean load of the last ten minutes and nothing of what comes. Overload is a host above 90 % of its
CPU, stall one that is asked for more than it has; both are counted in host-minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tests.bench.planner import clusters, loads, rules
from tests.bench.planner.loads import CPU, Floats, Loads
from vmctl.decide.rebalance import rebalance
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import HostLoad
from vmctl.model.plans import Move
from vmctl.model.policy import Policy

ROUND_MIN = 10
ROUNDS = 7 * 1440 // ROUND_MIN
OVERLOADED, STALLED = 0.90, 1.0
LINK_MIB_S = 1100.0  # 10 GbE
AT_ONCE = 2  # migrations per host, as source or target
PVE_ROUNDS_S = 30.0  # three rounds of its balancer before each of its migrations
SWITCH_S = 1.0  # of each migration: preparing and handing over
HOT = 0.45  # share of a host that one VM uses from the second day to the fifth
NOISY, BURSTING = 0.03, 0.0005  # share of VMs that swing every round; of those that begin a burst in one


@dataclass
class Tally:
    """What a week came to."""

    overload_min: float = 0.0
    stall_min: float = 0.0
    moves: int = 0
    gib: float = 0.0
    again: int = 0  # moves of a VM within an hour of its last
    plans: int = 0  # that moved anything
    busy_min: float = 0.0  # from a plan to the end of its last move, summed over plans


Planner = Callable[[Loads, Floats], Sequence[Move]]  # the cluster with last round's load, minutes since each VM's move


def demand(base: Floats, rounds: int, seed: int) -> Floats:
    """CPU that each VM asks for in each round, as a share of a host: (rounds, VMs)."""
    chance = np.random.default_rng(seed)
    vms = base.size
    day = np.arange(rounds)[:, None] * ROUND_MIN / 1440
    phase = chance.choice((0.0, 0.5, 0.25), vms, p=(0.7, 0.2, 0.1))  # by day, by night, in the evening
    depth = chance.uniform(0.0, 0.8, vms)
    found = base * (1 + depth * np.sin(2 * np.pi * (day - 0.25 - phase))) * chance.normal(1, 0.05, (rounds, vms))
    noisy = chance.random(vms) < NOISY
    found[:, noisy] *= np.where(np.arange(rounds)[:, None] % 2, 2.0, 0.3)
    for first, vm in np.argwhere(chance.random((rounds, vms)) < BURSTING):
        found[first : first + chance.integers(3, 18), vm] *= 4
    per_day = 1440 // ROUND_MIN
    found[per_day : 4 * per_day, int(base.argsort()[vms // 2])] = HOT
    limited: Floats = np.clip(found, 0, 0.5)
    return limited


def live(start: Loads, asked: Floats, planner: Planner) -> Tally:
    """One planner's week."""
    now, tally = start, Tally()
    since = np.full(len(start.vms), np.inf)  # minutes since each VM's last move
    number = {name: row for row, name in enumerate(start.vms)}
    place = {name: row for row, name in enumerate(start.hosts)}
    for seen, comes in pairwise(asked):
        done = timed(planner(_loaded(now, seen), since))
        for minute in range(ROUND_MIN):
            for move, _end in [one for one in done if minute <= one[1] / 60 < minute + 1]:
                row = number[move.vm]
                tally.again += bool(since[row] < 60)
                since[row] = 0.0
                homes = now.homes.copy()
                homes[row] = place[move.target]
                now = replace(now, homes=homes)
                tally.moves += 1
                tally.gib += move.mem_mib / 1024
            use = _loaded(now, comes).per_host()[:, CPU]
            tally.overload_min += int((use > OVERLOADED).sum())
            tally.stall_min += int((use > STALLED).sum())
            since += 1
        tally.plans += bool(done)
        tally.busy_min += max((end for _, end in done), default=0.0) / 60
    return tally


def timed(moves: Sequence[Move], limit_s: float = ROUND_MIN * 60, at_once: int = AT_ONCE) -> list[tuple[Move, float]]:
    """Moves with the seconds after which each has ended; those that do not end within the limit are not begun."""
    free: dict[str, list[float]] = {}
    ends: dict[str, float] = {}
    found = []
    for move in moves:
        slots = [free.setdefault(host, [0.0] * at_once) for host in (move.source, move.target)]
        begins = max(*(min(one) for one in slots), ends.get(move.target, 0.0))  # the room that an earlier one leaves
        end = begins + SWITCH_S + move.mem_mib / LINK_MIB_S
        if end >= limit_s:
            break
        for one in slots:
            one[one.index(min(one))] = end
        ends[move.source] = max(ends.get(move.source, 0.0), end)
        found.append((move, end))
    return found


def _loaded(cluster: Loads, cpu: Floats) -> Loads:
    shares = cluster.demand.copy()
    shares[:, CPU] = cpu
    return replace(cluster, demand=shares)


# -- planners


def never(_now: Loads, _since: Floats) -> Sequence[Move]:
    """Nothing is ever moved."""
    return ()


def hbal(now: Loads, _since: Floats) -> Sequence[Move]:
    """hbal's rule in every round, as arrays: the best single move again and again, until it gains less than 0.01."""
    state = rules.SearchState(now)
    used = [dimension for dimension in range(now.demand.shape[1]) if now.demand[:, dimension].any()]
    while True:
        carried, sizes = state.carried[:, used], now.demand[:, used]
        count, total, squares = len(carried), carried.sum(axis=0), (carried**2).sum(axis=0)
        rise = 2 * sizes[:, None, :] * (carried[None, :, :] - carried[state.homes][:, None, :] + sizes[:, None, :])
        after = np.sqrt(np.maximum(0, (squares + rise) / count - (total / count) ** 2)).sum(axis=2)
        room = state.carried[None, :, loads.PROMISED] + now.demand[:, loads.PROMISED][:, None] <= 1 + 1e-9
        after[~room] = np.inf
        after[np.arange(len(now.vms)), state.homes] = np.inf
        vm, target = np.unravel_index(int(after.argmin()), after.shape)
        if carried.std(axis=0).sum() - after[vm, target] < 0.01:
            return state.moves
        state.move(int(vm), int(target), "hbal")


def vmctl(cluster: Cluster, policy: Policy) -> Planner:
    """Ours, by its own policy: what a controller would do with these loads."""

    def plan(now: Loads, since: Floats) -> Sequence[Move]:
        use = now.per_host()
        vms = tuple(
            replace(
                vm,
                host=now.hosts[now.homes[row]],
                load=replace(vm.load, cpu=float(now.demand[row, CPU]) * clusters.CPUS) if vm.load else None,
                moved_s_ago=None if np.isinf(since[row]) else float(since[row]) * 60,
            )
            for row, vm in enumerate(cluster.vms)
        )
        hosts = tuple(
            replace(host, load=_host_load(use[row], host.load)) for row, host in enumerate(cluster.hosts) if host.load
        )
        return rebalance(Cluster(hosts, vms), policy).moves

    return plan


def _host_load(use: Floats, was: HostLoad) -> HostLoad:
    """What a host shows: no more CPU than it has, and pressure where more is asked for."""
    asked = float(use[CPU])
    cpu = min(1.0, asked) * clusters.CPUS
    mem_mib = int(use[loads.MEM] * clusters.MEM_MIB)
    return replace(was, cpu=cpu, mem_used_mib=mem_mib, psi_cpu=max(0.0, 1 - 1 / asked) if asked > 0 else 0.0)


OURS = Policy(mem_reserve_mib=0, vm_overhead_mib=0, cooldown_s=3600.0, max_moves=20, effort=0.2)


def planners(cluster: Cluster) -> dict[str, Planner]:
    """All that are compared."""
    return {
        "never moving": never,
        "hbal's rule, each round": hbal,
        "ProxLB, CPU, 10 %": lambda now, _since: rules.proxlb(now, 0.10, CPU),
        "Proxmox VE": lambda now, _since: rules.proxmox(now).moves,
        "vmctl": vmctl(cluster, OURS),
    }
