"""Where should a VM start? Every host gets a verdict: refused with a reason, or a score with its terms.

Many VMs are placed as one, the largest first, each seeing the places that those before it have taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from vmctl.decide import score
from vmctl.decide.fit import refusal
from vmctl.decide.search.moves import apply_move, begin, offers
from vmctl.decide.search.spare import anywhere, unsafe
from vmctl.decide.search.state import CPU, MEM, PROMISED, Flags, Floats, IndexedCluster, SearchState, build
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host
from vmctl.model.plans import NoPlace, Placement, Refusal, Verdict
from vmctl.model.policy import Policy
from vmctl.model.vms import VM

SPARE = "spare"  # the name of the rule that looks at all hosts at once
TABLES = 5  # so many of the best hosts show their score term by term


def place(vm: VM, cluster: Cluster, policy: Policy, only: str = "") -> Placement | NoPlace:
    """The best host for the VM, or each host's refusal. `only` leaves no choice but still asks the rules.

    A VM that has a home looks for another one.
    """
    hosts = [host for host in cluster.hosts if host.name != vm.host and only in ("", host.name)]
    verdicts = _verdicts(vm, hosts, cluster, policy)
    fitting = [v for v in verdicts if v.refusal is None]
    if not fitting:
        nobody = "there is no other host" if cluster.hosts else "there are no hosts"
        why = f"none of {len(hosts)} hosts can take {vm.name}" if hosts else nobody
        return NoPlace(vm.name, verdicts, why)
    best = fitting[0]
    why = f"{best.host}: {best.why}"
    if only:
        why += "; asked for by name"
    elif len(fitting) > 1:
        why += f"; {best.score:.3f} against {fitting[1].score:.3f} on {fitting[1].host}"
    else:
        why += "; the only host that fits"
    return Placement(vm.name, best.host, verdicts, why)


def _verdicts(vm: VM, hosts: list[Host], cluster: Cluster, policy: Policy) -> tuple[Verdict, ...]:
    """Best first, then the refused by name."""
    known = any(other.spec.uuid == vm.spec.uuid and other.host for other in cluster.vms)
    named = build(cluster, policy, homeless=() if known else (vm,))
    state = begin(named.state)
    row = next(row for row, other in enumerate(named.vms) if other.spec.uuid == vm.spec.uuid)
    net_gain, rows = ranked(state, row, policy), {host.name: number for number, host in enumerate(named.hosts)}
    free = anywhere(state) if policy.spare_host else np.zeros(0, np.bool_)
    base, count = score.total(score.terms(cluster, policy)), max(1, int(state.totals[0]["count"]))
    fitting, refused = [], []
    for host in hosts:
        target = rows[host.name]
        no = refusal(vm, host, cluster, policy) or _spares(named, state, row, target, free, policy)
        if no is not None:
            refused.append(Verdict(host.name, no, why=no.why))
        else:
            there = state.hosts[target]
            then = there["share"] + state.vms[row]["size"] * there["inverse"]
            why = _words(then[CPU], then[MEM], then[PROMISED], there["stall"])
            fitting.append(Verdict(host.name, None, base - net_gain[target] / count, why=why))
    fitting.sort(key=lambda v: (round(v.score, 12), v.host))
    best = [_explained(verdict, vm, cluster, policy) for verdict in fitting[:TABLES]]
    best.sort(key=lambda v: (round(v.score, 12), v.host))
    return (*best, *fitting[TABLES:], *sorted(refused, key=lambda v: v.host))


def ranked(state: SearchState, row: int, policy: Policy) -> Floats:
    """What each host offers a VM: the gain there, less the stall that it would suffer itself."""
    found: Floats = offers(state, row) - policy.weight_stall * state.hosts["stall"][:-1]
    return found


def _spares(
    named: IndexedCluster, state: SearchState, row: int, target: int, free: Flags, policy: Policy
) -> Refusal | None:
    """N+1: with the VM on this host, could any one host still die?"""
    if not policy.spare_host:
        return None
    home = int(state.vms[row]["at"])
    apply_move(state, row, target)
    dead, lost = unsafe(state, free)
    apply_move(state, row, home)
    if dead < 0:
        return None
    vm, dying = named.vms[lost], named.hosts[dead].name
    return Refusal(SPARE, f"then {vm.name} ({vm.spec.mem_mib} MiB) would have no place left if {dying} died")


def _explained(verdict: Verdict, vm: VM, cluster: Cluster, policy: Policy) -> Verdict:
    after, host = score.moved(cluster, vm, verdict.host, policy), cluster.host(verdict.host)
    assert host is not None
    # What is placed on a stalled host suffers its stall, which what it adds to the whole does not show.
    stall = policy.weight_stall * score.use(host, cluster, policy).stall
    counted = sum(score.is_counted(one, policy) for one in cluster.hosts)
    rows = (*score.terms(after, policy), ("stall here", stall / max(1, counted)))
    return replace(verdict, terms=rows, score=score.total(rows))


def _words(cpu: float, mem: float, promised: float, stall: float) -> str:
    text = f"CPU {max(0.0, cpu):.0%}, memory {max(0.0, mem):.0%} used and {promised:.0%} promised with it there"
    return text + (f", stalls {stall:.0%}" if stall >= 0.01 else "")


def place_all(vms: Iterable[VM], cluster: Cluster, policy: Policy) -> tuple[dict[str, str], tuple[NoPlace, ...]]:
    """The host of each VM by its name, and those that found none, with every host's refusal."""
    waiting = tuple(sorted(vms, key=lambda vm: (-vm.spec.mem_mib, -vm.spec.cpus, vm.name)))
    named = build(cluster, policy, homeless=waiting)
    state, placed, refused = begin(named.state), {}, []
    free = anywhere(state) if policy.spare_host else np.zeros(0, np.bool_)
    first = len(named.vms) - len(waiting)
    for row, vm in enumerate(waiting, first):
        target = place_row(state, row, policy, free)
        if target >= 0:
            placed[vm.name] = named.hosts[target].name
        else:
            refused.append(vm)
    crowded = replace(cluster, vms=(*cluster.vms, *(replace(vm, host=placed.get(vm.name, "")) for vm in waiting)))
    return placed, tuple(_refused(vm, crowded, policy) for vm in refused)


def _refused(vm: VM, cluster: Cluster, policy: Policy) -> NoPlace:
    found = place(vm, cluster, policy)
    return found if isinstance(found, NoPlace) else NoPlace(vm.name, found.verdicts, "found no place at its turn")


def place_row(state: SearchState, row: int, policy: Policy, free: Flags) -> int:
    """Put a VM on the best host that takes it, and say which; -1 where none does. `free` as of `spare.anywhere`."""
    net_gain, home = ranked(state, row, policy), int(state.vms[row]["at"])
    while (target := int(net_gain.argmax())) >= 0 and net_gain[target] > -np.inf:
        apply_move(state, row, target)
        if not policy.spare_host or unsafe(state, free)[0] < 0:
            return target
        apply_move(state, row, home)
        net_gain[target] = -np.inf
    return -1
