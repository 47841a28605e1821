"""How does a host get empty? Its VMs leave, the largest first, each for the best host that is left."""

from __future__ import annotations

from dataclasses import replace

from vmctl.decide import score
from vmctl.decide.place import place
from vmctl.decide.search.order import in_waves
from vmctl.decide.search.state import costs
from vmctl.model.cluster import Cluster
from vmctl.model.plans import Move, Placement, Plan
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, PowerState


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
    for vm in sorted((vm for vm in cluster.vms if vm.defined_on == host), key=lambda vm: vm.name):
        found, stuck = _definition(vm, host, now, policy)
        moves += found
        stays += stuck
    why = (
        f"{host} is empty after {len(moves)} moves"
        if not stays
        else f"{len(moves)} can leave {host}, {len(stays)} cannot"
    )
    return Plan(in_waves(moves), why, before, score.terms(now, policy), tuple(stays))


def _parties(vms: tuple[VM, ...]) -> list[list[VM]]:
    """VMs that must stay together leave together: one party each, the largest first."""
    parties: dict[tuple[str, str], list[VM]] = {}
    for vm in sorted(vms, key=lambda v: (-v.spec.mem_mib, v.name)):
        parties.setdefault((vm.spec.together, "" if vm.spec.together else vm.spec.uuid), []).append(vm)
    return sorted(parties.values(), key=lambda party: -sum(vm.spec.mem_mib for vm in party))


def _leave(party: list[VM], host: str, now: Cluster, policy: Policy) -> tuple[list[Move], list[str]]:
    """A move for each VM of a party, all to one host; or why they stay."""
    stuck = {vm.name: why for vm in party if (why := cannot_leave(vm, host))}
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


def _definition(vm: VM, host: str, now: Cluster, policy: Policy) -> tuple[list[Move], list[str]]:
    """Where the definition of a stopped VM goes, which only this host has: nothing runs, so nothing is copied."""
    if vm.busy or vm.stuck:
        return [], [f"{_only_here(vm, host)}: {vm.stuck[0] if vm.stuck else 'a task holds it'}"]
    found = place(vm, now, policy)
    if not isinstance(found, Placement):
        return [], [f"{_only_here(vm, host)}: {found.why}"]
    return [Move(vm.name, host, found.host, f"{_only_here(vm, host)}: its definition moves", uuid=vm.spec.uuid)], []


def _only_here(vm: VM, host: str) -> str:
    return f"{vm.name} is stopped and defined on {host} only"


def _leave_for(target: str, party: list[VM], now: Cluster, policy: Policy) -> tuple[list[Move], str]:
    moves = []
    for vm in party:
        found = place(vm, now, policy, only=target)
        why = found.verdicts[0].why
        if not isinstance(found, Placement):
            return [], why if len(party) == 1 else f"{vm.name}: {why}"
        words = f"{vm.host} is drained; {target}: {why}"
        minutes = costs(vm, policy)[2]
        moves.append(Move(vm.name, vm.host, target, words, mem_mib=vm.spec.mem_mib, minutes=minutes, uuid=vm.spec.uuid))
        now = score.moved(now, vm, target, policy)
    return moves, ""


def cannot_leave(vm: VM, host: str, pinned_stay: bool = False) -> str:
    """Why a VM may not leave a host; empty when it may. Pinned VMs may, unless `pinned_stay`."""
    if vm.busy or vm.host != host:
        return "a task holds it"
    if vm.stuck:
        return vm.stuck[0]
    if vm.spec.pinned and vm.adopted:
        return "what was found in its definition cannot migrate"
    if vm.spec.pinned and pinned_stay:
        return "it is pinned"
    return "" if vm.power is PowerState.RUNNING else f"it is {vm.power}"
