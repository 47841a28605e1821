"""Which few moves help? Greedy: the best single move, again and again, until none is worth its cost.

Draining a host is the same search with that host emptied. Every prefix of a plan is feasible, because each move is
checked against the cluster as the moves before it leave it. Hysteresis: a cluster below `min_imbalance` is left alone,
a move must gain `min_gain` beyond its cost, and a VM that moved rests for its cooldown.
"""

from __future__ import annotations

from dataclasses import replace

from vmctl.decide import score
from vmctl.decide.fit import measured, refusal
from vmctl.decide.place import place
from vmctl.model import VM, Cluster, Host, HostState, Move, Placement, Plan, Policy, PowerState


def held_back(vm: VM, cluster: Cluster, policy: Policy) -> str | None:
    """Why this VM is not to be moved by rebalancing now; None when it may be."""
    host = cluster.host(vm.host)
    if vm.power is not PowerState.RUNNING or host is None:
        return "it does not run"
    if host.state is not HostState.ONLINE:
        return f"{host.name} is {host.state}"
    if host.draining:
        return f"{host.name} is draining"
    if vm.spec.pinned:
        return "it is pinned"
    if vm.busy:
        return "a task holds it"
    if vm.load is None or vm.load.age_s > policy.max_age_s:
        return "its load is not known"
    if vm.moved_s_ago is not None and vm.moved_s_ago < policy.cooldown_s:
        return f"it moved {vm.moved_s_ago:.0f} s ago and rests for {policy.cooldown_s:.0f} s"
    return measured(vm, host, cluster, policy)


def cost(vm: VM, policy: Policy) -> float:
    """The price of moving a VM: its memory must cross the wire."""
    return policy.cost_per_gib * vm.spec.mem_mib / 1024


def rebalance(cluster: Cluster, policy: Policy) -> Plan:
    """The plan that evens the cluster out, or why nothing is worth moving."""
    before = score.terms(cluster, policy)
    spread = score.total(before)
    if spread < policy.min_imbalance:
        return Plan((), f"even enough: score {spread:.3f} is below {policy.min_imbalance:.3f}", before, before)
    moves: list[Move] = []
    now = cluster
    stays: tuple[str, ...] = ()
    while len(moves) < policy.max_moves:
        best, stays = _best_move(now, policy, {move.vm for move in moves})
        if best is None:
            break
        moves.append(best)
        vm = next(vm for vm in now.vms if vm.name == best.vm)
        now = score.moved(now, vm, best.target, policy)
    after = score.terms(now, policy)
    if not moves:
        return Plan((), f"no move is worth its cost: score {spread:.3f}", before, before, stays)
    plural = "s" if len(moves) > 1 else ""
    why = f"{len(moves)} move{plural}: score {spread:.3f} -> {score.total(after):.3f}"
    return Plan(tuple(moves), why, before, after, stays)


def _best_move(cluster: Cluster, policy: Policy, done: set[str]) -> tuple[Move | None, tuple[str, ...]]:
    now = score.total(score.terms(cluster, policy))
    best: Move | None = None
    stays: list[str] = []
    for vm in cluster.vms:
        if vm.name in done:
            continue  # each VM moves once in a plan
        why = held_back(vm, cluster, policy)
        if why is not None:
            stays.append(f"{vm.name} stays: {why}")
            continue
        offers = [offer for host in cluster.hosts if (offer := _offer(vm, host, cluster, policy, now))]
        top = min(offers, key=_rank, default=None)
        if top is None:
            stays.append(f"{vm.name} stays: no other host can take it")
        elif top.gain - top.cost < policy.min_gain:
            stays.append(f"{vm.name} stays: its best move gains {top.gain - top.cost:.3f} < {policy.min_gain:.3f}")
        elif best is None or _rank(top) < _rank(best):
            best = top
    return best, tuple(stays)


def _rank(move: Move) -> tuple[float, str, str]:
    return move.cost - move.gain, move.vm, move.target


def _offer(vm: VM, host: Host, cluster: Cluster, policy: Policy, now: float) -> Move | None:
    if host.name == vm.host or refusal(vm, host, cluster, policy) is not None:
        return None
    after = score.moved(cluster, vm, host.name, policy)
    gain = now - score.total(score.terms(after, policy))
    return Move(
        vm.name, vm.host, host.name, _reason(vm, cluster, after, policy), gain, cost(vm, policy), vm.spec.mem_mib
    )


def _reason(vm: VM, cluster: Cluster, after: Cluster, policy: Policy) -> str:
    source, then = cluster.host(vm.host), after.host(vm.host)
    assert source is not None and then is not None
    old, new = score.use(source, cluster, policy), score.use(then, after, policy)
    if old.stall > max(old.cpu, old.mem) / 2 and old.stall >= 0.05:
        return f"{source.name} stalls {old.stall:.0%}; after: {new.stall:.0%}"
    if old.cpu - new.cpu >= old.mem - new.mem:
        return f"{source.name} has {old.cpu:.0%} of its CPU in use; after: {new.cpu:.0%}"
    return f"{source.name} has {old.mem:.0%} of its memory in use; after: {new.mem:.0%}"


def drain(cluster: Cluster, host: str, policy: Policy) -> Plan:
    """Moves that empty one host, the largest VMs first; a VM that cannot leave is named and stops nobody else."""
    before = score.terms(cluster, policy)
    hosts = tuple(replace(h, draining=True) if h.name == host else h for h in cluster.hosts)
    now = replace(cluster, hosts=hosts)
    moves: list[Move] = []
    stays: list[str] = []
    for party in _parties(cluster.on(host)):
        found, stuck = _leave(party, host, now, policy)
        for move, vm in zip(found, party, strict=False):
            now = score.moved(now, vm, move.target, policy)
        moves += found
        stays += stuck
    why = (
        f"{host} is empty after {len(moves)} moves"
        if not stays
        else f"{len(moves)} can leave {host}, {len(stays)} cannot"
    )
    return Plan(tuple(moves), why, before, score.terms(now, policy), tuple(stays))


def _parties(vms: tuple[VM, ...]) -> list[list[VM]]:
    """VMs that must stay together leave together: one party each, the largest first."""
    parties: dict[tuple[str, str], list[VM]] = {}
    for vm in sorted(vms, key=lambda v: (-v.spec.mem_mib, v.name)):
        parties.setdefault((vm.spec.together, "" if vm.spec.together else vm.spec.uuid), []).append(vm)
    return sorted(parties.values(), key=lambda party: -sum(vm.spec.mem_mib for vm in party))


def _leave(party: list[VM], host: str, now: Cluster, policy: Policy) -> tuple[list[Move], list[str]]:
    """A move for each VM of a party, all to one host; or why they stay."""
    stuck = {vm.name: why for vm in party if (why := _cannot_leave(vm, host))}
    if stuck:
        others = f"it must be together with {', '.join(stuck)}"
        return [], [f"{vm.name} stays: {stuck.get(vm.name, others)}" for vm in party]
    refusals = []
    for verdict in place(party[0], now, policy).verdicts:
        moves, why = _leave_for(verdict.host, party, now, policy)
        if not why:
            return moves, []
        refusals.append(f"{verdict.host}: {why}")
    return [], [f"{vm.name} stays: {'; '.join(refusals) or 'there is no other host'}" for vm in party]


def _leave_for(target: str, party: list[VM], now: Cluster, policy: Policy) -> tuple[list[Move], str]:
    moves = []
    for vm in party:
        found = place(vm, now, policy, only=target)
        why = found.verdicts[0].why
        if not isinstance(found, Placement):
            return [], why if len(party) == 1 else f"{vm.name}: {why}"
        moves.append(Move(vm.name, vm.host, target, f"{vm.host} is drained; {target}: {why}", mem_mib=vm.spec.mem_mib))
        now = score.moved(now, vm, target, policy)
    return moves, ""


def _cannot_leave(vm: VM, host: str) -> str:
    if vm.busy or vm.host != host:
        return "a task holds it"
    if vm.adopted and vm.spec.pinned:
        return "what was found in its definition cannot migrate"
    return "" if vm.power in (PowerState.RUNNING, PowerState.PAUSED) else f"it is {vm.power}"
