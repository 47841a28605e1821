"""Plans in words: why each move is made, and why what stays stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vmctl.decide import score
from vmctl.decide.search.anneal import best_offers
from vmctl.decide.search.moves import apply_move, begin, coldest, total_gain
from vmctl.decide.search.order import in_waves
from vmctl.decide.search.state import CPU, SPREADS, Floats, IndexedCluster, Ints, SearchState, build
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host
from vmctl.model.plans import Move
from vmctl.model.policy import Policy

NAMES = ("CPU", "memory", "promised memory", "vCPUs", "disk time", "network")
MOST_STAYS = 40  # lines about what stays


def moves(
    named: IndexedCluster, b: SearchState, vms: Ints, targets: Ints, gains: Floats, policy: Policy, spread: float
) -> tuple[Move, ...]:
    """The steps as moves with reasons; the state follows them."""
    found = []
    for vm, target, gained in zip(vms, targets, gains, strict=True):
        guest, source = named.vms[vm], int(b.vms[vm]["at"])
        before = b.hosts[source].copy()
        apply_move(b, vm, target)
        spread -= gained / max(1, b.totals[0]["count"])
        host = named.hosts[source]
        why = reason(host, before, b.hosts[source], policy) if gained > 0 else "makes room for moves that follow"
        minutes = float(b.vms[vm]["cost"][2])
        price = float(named.price[vm])
        found.append(
            Move(
                guest.name, host.name, named.hosts[target].name, why, float(gained), price, guest.spec.mem_mib, spread,
                minutes=minutes, uuid=guest.spec.uuid,
            )
        )  # fmt: skip
    return in_waves(found)


def priced(plan: tuple[Move, ...], cluster: Cluster, policy: Policy) -> tuple[Move, ...]:
    """Moves that were found under another policy, with what they gain and cost under this one."""
    named = build(cluster, policy)
    state, spread = begin(named.state), score.total(score.terms(cluster, policy))
    vms = {vm.name: row for row, vm in enumerate(named.vms)}
    hosts = {host.name: row for row, host in enumerate(named.hosts)}
    found = []
    for move in plan:
        vm, target = vms[move.vm], hosts[move.target]
        gains = total_gain(state, vm, target)
        apply_move(state, vm, target)
        spread -= gains / max(1, state.totals[0]["count"])
        found.append(replace(move, gain=float(gains), cost=float(named.price[vm]), score=spread))
    return tuple(found)


def reason(host: Host, before: np.void, after: np.void, policy: Policy) -> str:
    """What a move does for the host that it leaves: the resource that weighs most."""
    now, then = (_stall(row) for row in (before, after))
    if now - then >= 0.01:
        return f"{host.name} stalls {now:.0%} on {_on(host)}; after: {then:.0%}"
    weights = [weight(policy) for _, weight, _ in score.METRICS[:SPREADS]]
    drop = [(b - a) * w for b, a, w in zip(before["share"], after["share"], weights, strict=False)]
    most = int(np.argmax(drop))
    then = max(0.0, after["share"][most])
    return f"{host.name} has {before['share'][most]:.0%} of its {NAMES[most]} in use; after: {then:.0%}"


def _stall(row: np.void) -> float:
    return float(row["stall"] * min(1.0, max(0.0, 1 + score.STALL_SLOPE * (row["share"][CPU] - row["stall_at"]))))


def _on(host: Host) -> str:
    load = host.load
    assert load is not None
    worst = {"CPU": load.psi_cpu, "memory": load.psi_mem, "disks": load.psi_io, "stolen CPU": load.steal}
    return max(worst, key=lambda name: worst[name])


def stays(named: IndexedCluster, end: SearchState, held: dict[str, str], policy: Policy) -> tuple[str, ...]:
    """Why nothing more moves: what holds VMs back, and for each host the best move that is left there."""
    found = []
    offers, vms = best_offers(end, coldest(end), named.price, np.full(3, np.inf)), end.vms
    for row, host in sorted(enumerate(named.hosts), key=lambda each: each[1].name):
        here = offers[(vms["at"] == row) & (vms["home"] == row) & vms["movable"]]
        if not here.size:
            continue
        best = here.max()
        text = (
            "no other host can take its VMs"
            if best == -np.inf
            else f"best gain {best:.1%} < {policy.min_gain:.1%} margin"
        )
        if best < policy.min_gain:
            found.append(f"nothing on {host.name} is worth moving: {text}")
        else:
            found.append(f"more on {host.name} would gain {best:.1%}: it is left for another plan")
    return shortened((*held_back(held), *found))


def held_back(held: dict[str, str]) -> tuple[str, ...]:
    """Which VMs are not to be moved, and why."""
    return tuple(f"{name} stays: {why}" for name, why in sorted(held.items()))


def shortened(found: tuple[str, ...]) -> tuple[str, ...]:
    """No more sentences than can be read."""
    more = len(found) - MOST_STAYS
    return (*found[:MOST_STAYS], *([f"and {more} more"] if more > 0 else []))


def afterwards(cluster: Cluster, plan: tuple[Move, ...]) -> Cluster:
    """The cluster as it is expected to be after the plan."""
    uuids = {vm.name: vm.spec.uuid for vm in cluster.vms}
    return score.after(cluster, {uuids[move.vm]: move.target for move in plan})
