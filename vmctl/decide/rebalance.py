"""Which few moves help? The best plan within a budget, in an order whose every prefix is feasible.

Hysteresis: a cluster below `min_imbalance` is left alone, a move must gain `min_gain` beyond its price, a VM that moved
in an earlier plan rests for its cooldown (within one it may be parked on its way: `order.py`), and a plan is searched
on from its end until nothing more is found, so that a second run on its result finds nothing either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from vmctl.decide import explain, score
from vmctl.decide.fit import measured
from vmctl.decide.search.anneal import anneal, descend
from vmctl.decide.search.moves import begin, copied, objective
from vmctl.decide.search.order import sequence
from vmctl.decide.search.state import Floats, IndexedCluster, Ints, SearchState, build
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import HostState
from vmctl.model.plans import Budget, Move, Plan
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, PowerState

# Proposals of the annealing per VM and host, within these bounds; the most take seconds.
PROPOSALS = 350
FEWEST, MOST = 20_000, 15_000_000
# As shares of what there is to gain. Among more VMs it begins cooler, as each is less of the whole.
FIRST_TEMPERATURE, LAST_TEMPERATURE = 0.003, 0.00005
COOLER_ABOVE_VMS = 200
# What a whole budget is worth while annealing, as a share of what is left uneven and has been gained.
BUDGET_PRICE = 1.0
# So often the line below which the hottest host is to come is halved.
HALVINGS = 10
# Searches, each from the end of the one before.
PASSES = 4


def held_back(vm: VM, cluster: Cluster, policy: Policy) -> str | None:
    """Why this VM is not to be moved by rebalancing now; None when it may be."""
    host = cluster.host(vm.host)
    if vm.power is not PowerState.RUNNING or host is None:
        return "it does not run"
    if host.state is not HostState.ONLINE:
        return f"{host.name} is {host.state}"
    if host.draining:
        return f"{host.name} is draining"
    if vm.stuck:
        return vm.stuck[0]
    if vm.spec.pinned:
        return "it is pinned"
    if vm.busy:
        return "a task holds it"
    if vm.load is None or vm.load.age_s > policy.max_age_s:
        return "its load is not known"
    if vm.moved_s_ago is not None and vm.moved_s_ago < policy.cooldown_s:
        return f"it moved {vm.moved_s_ago:.0f} s ago and rests for {policy.cooldown_s:.0f} s"
    if len(cluster.group("together", vm.spec.together)) > 1:
        return f"group {vm.spec.together} stays together"
    return measured(vm, host, cluster, policy)


def rebalance(cluster: Cluster, policy: Policy, budget: Budget | None = None) -> Plan:
    """The best plan within the budget and the policy's own, or why nothing is worth moving."""
    return coolest(cluster, policy, budget) if budget and budget.coolest else evened(cluster, policy, budget)


def _held(cluster: Cluster, policy: Policy) -> dict[str, str]:
    return {vm.name: why for vm in cluster.vms if vm.host and (why := held_back(vm, cluster, policy)) is not None}


def evened(cluster: Cluster, policy: Policy, budget: Budget | None = None) -> Plan:
    """The plan that lowers the score most."""
    before = score.terms(cluster, policy)
    spread = score.total(before)
    if spread < policy.min_imbalance:
        return Plan((), f"even enough: score {spread:.3f} is below {policy.min_imbalance:.3f}", before, before)
    held = _held(cluster, policy)
    named = build(cluster, policy, lambda vm: vm.name in held)
    limit = _limit(policy, budget)
    end, moves = _moves(named, _goal(named, policy, limit), limit, policy, spread)
    stays = explain.stays(named, end, held, policy)
    if not moves:
        return Plan((), f"no move is worth its cost: score {spread:.3f}", before, before, stays)
    after = score.terms(explain.afterwards(cluster, moves), policy)
    why = f"{len(moves)} move{'s' * (len(moves) > 1)}: score {spread:.3f} -> {score.total(after):.3f}"
    return Plan(moves, why, before, after, stays)


def coolest(cluster: Cluster, policy: Policy, budget: Budget) -> Plan:
    """The plan that leaves the hottest host (by CPU or memory in use) as cool as it can be, however uneven the rest.

    The search lowers sums and no maximum, so it lowers what is above a line, and the line goes down by halving for as
    long as a plan gets every host below it.
    """
    before, start = score.terms(cluster, policy), score.hottest(cluster, policy)
    low, high, least = score.mean_use(cluster, policy), start, start
    moves: tuple[Move, ...] = ()
    for _ in range(HALVINGS):
        line = (low + high) / 2
        found = evened(cluster, _below(line, policy), budget).moves
        reached = score.hottest(explain.afterwards(cluster, found), policy)
        if reached < high:
            high, moves, least = reached, found, reached
        low, high = (line, high) if reached > line else (low, min(line, high))
    stays = explain.shortened(explain.held_back(_held(cluster, policy)))
    if not moves:
        return Plan((), f"no plan makes the hottest host cooler: {start:.1%} in use", before, before, stays)
    why = f"{len(moves)} move{'s' * (len(moves) > 1)}: the hottest host {start:.1%} -> {least:.1%}"
    after = score.terms(explain.afterwards(cluster, moves), policy)
    return Plan(explain.priced(moves, cluster, policy), why, before, after, stays)


def _below(line: float, policy: Policy) -> Policy:
    """What counts when nothing counts but what is above a line; evenness a little, as it shows the way."""
    nothing = {f"weight_{name}": 0.0 for name in ("promised", "vcpus", "disk", "net", "stall", "groups")}
    weights: dict[str, Any] = nothing | {"weight_cpu": 0.02, "weight_mem": 0.02, "weight_overload": 10.0}
    free: dict[str, Any] = {"min_imbalance": 0.0, "min_gain": 0.0, "price_per_move": 0.001, "price_per_minute": 0.0}
    return replace(policy, **weights, **free, overload_above=line, effort=policy.effort / 4)


def curve(cluster: Cluster, policy: Policy) -> Iterator[Plan]:
    """The best plans for 1, 2, 4, 8, ... moves, until more moves gain nothing: what each further move is worth."""
    most, last = 1, -1
    while True:
        plan = rebalance(cluster, policy, Budget(moves=most))
        yield plan
        if len(plan.moves) < most or len(plan.moves) == last:
            return
        most, last = most * 2, len(plan.moves)


def search(state: SearchState, price: Floats, limit: Floats, proposals: int) -> SearchState:
    """Where VMs should be, by gain and price alone: the state after one search, never worse than steepest descent."""
    plain = begin(state)
    there_is = objective(plain)
    descend(plain, price, limit)
    left = objective(plain)
    # A price on what is scarce leaves room to try other ways of spending it.
    scarce = (state.vms["cost"] / np.maximum(limit, 1e-9)).sum(axis=1) / max(1, np.isfinite(limit).sum())
    b = copied(plain)
    shadow = BUDGET_PRICE * left * (1 - left / max(there_is, 1e-9))
    hot = FIRST_TEMPERATURE * min(1.0, (COOLER_ABOVE_VMS / max(1, state.vms.size)) ** 1.5)
    anneal(b, price + shadow * scarce, limit, proposals, hot * there_is, min(LAST_TEMPERATURE, hot / 5) * there_is)
    descend(b, price, limit)
    return max((b, plain), key=lambda one: -objective(one) - price[one.vms["at"] != one.vms["home"]].sum())


def _limit(policy: Policy, budget: Budget | None) -> Floats:
    asked = budget or Budget()
    own = (policy.max_moves, policy.max_gib, policy.max_minutes)
    # A budget that is asked for replaces the policy's own number of moves: whoever asks for more may have more.
    moves = own[0] if asked.moves == np.inf else asked.moves
    return np.array([moves, min(own[1], asked.gib), min(own[2], asked.minutes)])


def _goal(named: IndexedCluster, policy: Policy, limit: Floats) -> Ints:
    """Where each VM should be."""
    state, price = named.state, named.price + policy.min_gain
    proposals = int(policy.effort * min(MOST, max(FEWEST, PROPOSALS * named.state.vms.size * len(named.hosts))))
    left = limit.copy()
    for number in range(PASSES):
        found = search(state, price, left, proposals >> 2 * number)
        moved = found.vms["at"] != state.vms["at"]
        paid = price[moved].sum()
        if not moved.any() or objective(begin(state)) - objective(found) - paid < policy.min_gain:
            break
        left = left - found.totals[0]["spent"]
        state = found._replace(vms=found.vms.copy())
        state.vms["home"] = state.vms["at"]
        if not (state.vms["cost"][state.vms["movable"]] <= left).all(axis=1).any():
            break  # nothing more can be paid for
    goal: Ints = state.vms["at"].copy()
    return goal


def _moves(
    named: IndexedCluster, goal: Ints, limit: Floats, policy: Policy, spread: float
) -> tuple[SearchState, tuple[Move, ...]]:
    """The state after the plan, and the plan: cut where more moves cost more than they gain, or the budget ends."""
    start = begin(named.state)
    vms, targets, gains = sequence(begin(named.state), goal)
    net = np.cumsum(gains - named.price[vms])
    within = np.all(np.cumsum(named.state.vms["cost"][vms], axis=0) <= limit + 1e-9, axis=1)
    net = net[within]
    count = int(net.argmax()) + 1 if net.size and net.max() >= policy.min_gain else 0
    moves = explain.moves(named, start, vms[:count], targets[:count], gains[:count], policy, spread)
    return start, moves
