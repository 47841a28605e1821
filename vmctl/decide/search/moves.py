"""A move of one VM: whether it fits, what it gains, what it costs, and what it changes.

Leaving its own host costs a VM's price; returning refunds it. Gains and prices are shares of one host (see `score`). A
move changes two hosts only, so it is priced from sums in a few dozen operations.
"""

from __future__ import annotations

import numpy as np

from vmctl.decide.score import STALL_SLOPE
from vmctl.decide.search.compiled import compiled, inlined
from vmctl.decide.search.state import CPU, GROUPS, MEM, NEEDS, SHARES, SPREADS, SUFFERING, Floats, Ints, SearchState

Row = int | np.int64
NOBODY = -1
STILL_AS_GOOD = 0.9  # an offer that is still worth this share of what it was is taken;
LEAST_SHARE = 1e-4  # one that gains less than this share of the objective is not
ROUNDING = 1e-9
TARGETS = 64  # of more hosts than these, a descent looks at the coldest only


@compiled
def copied(b: SearchState) -> SearchState:
    """The same, to search on."""
    return SearchState(
        b.hosts.copy(), b.vms.copy(), b.totals.copy(), b.allowed, b.group_weight, b.domain, b.members.copy()
    )


@compiled
def begin(b: SearchState) -> SearchState:
    """A copy to search on, its sums filled in."""
    b = copied(b)
    w = b.totals[0]
    for host in range(b.hosts.size - 1):
        if b.hosts[host].counted:
            w.count += 1
            for k in range(SPREADS):
                w.total[k] += b.hosts[host].share[k]
                w.square[k] += b.hosts[host].share[k] ** 2
            b.hosts[host].penalty = penalty(b, host, 0.0, 0.0, 0.0)
            w.penalized |= w.weight_overload > 0 or b.hosts[host].stall * w.weight_stall > 0
    w.part = 1 / w.count
    for k in range(SPREADS):
        w.spread[k] = deviation(w.total[k], w.square[k], w.part)
    return b


@inlined
def deviation(total: float, square: float, part: float) -> float:
    """The population standard deviation from sums; `part` is one of how many there are."""
    mean = total * part
    return float(np.sqrt(max(0.0, square * part - mean * mean)))


@inlined
def penalty(b: SearchState, host: Row, cpu: float, mem: float, suffering: float) -> float:
    """Overload and stall of a host when so much (shares; stall of guests) arrives there."""
    busy, full = b.hosts[host].share[CPU] + cpu, b.hosts[host].share[MEM] + mem
    found = b.totals[0].weight_overload * (max(0.0, busy - b.totals[0].above) + max(0.0, full - b.totals[0].above))
    if b.hosts[host].stall > 0:
        stall = min(1.0, max(0.0, b.hosts[host].stall * (1 + STALL_SLOPE * (busy - b.hosts[host].stall_at))))
        found += b.totals[0].weight_stall * stall * (1 + b.hosts[host].share[SUFFERING] + suffering)
    return float(found)


@inlined
def difference(b: SearchState, vm: Row, other: Row, k: int) -> float:
    """What goes one way when a VM moves and, where there is an `other`, that one comes back in exchange."""
    return float(b.vms[vm].size[k] if other == NOBODY else b.vms[vm].size[k] - b.vms[other].size[k])


@inlined
def penalty_drop(b: SearchState, host: Row, sign: float, vm: Row, other: Row) -> float:
    """How much less strained a host is after an exchange; `sign` is 1 where the VM arrives."""
    row = b.hosts[host]
    cpu = sign * difference(b, vm, other, CPU) * row.inverse[CPU]
    mem = sign * difference(b, vm, other, MEM) * row.inverse[MEM]
    return float(row.penalty - penalty(b, host, cpu, mem, sign * difference(b, vm, other, SUFFERING)))


@inlined
def spread_gain(b: SearchState, vm: Row, target: Row, other: Row) -> float:
    """How much evener and less strained it gets when a VM goes to a host, and `other`, if any, comes from there."""
    from_row, to_row, totals = b.hosts[b.vms[vm].at], b.hosts[target], b.totals[0]
    found, back = 0.0, 0.0 if other == NOBODY else 1.0  # the loop has no branches: so it is several times as fast
    for k in range(SPREADS):
        amount = b.vms[vm].size[k] - back * b.vms[other].size[k]
        more, less = amount * to_row.inverse[k], amount * from_row.inverse[k]
        total = totals.total[k] + (more - less)
        square = totals.square[k] + more * (2 * to_row.share[k] + more) + less * (less - 2 * from_row.share[k])
        found += totals.weight[k] * (totals.spread[k] - deviation(total, square, totals.part))
    found *= totals.count
    if totals.penalized:
        found += penalty_drop(b, b.vms[vm].at, -1.0, vm, other) + penalty_drop(b, target, 1.0, vm, other)
    return float(found)


@inlined
def affinity_gain(b: SearchState, vm: Row, target: Row, other: Row) -> float:
    """What groups gain by it; minus infinity when a VM would meet one that it must be apart from."""
    source, found = b.vms[vm].at, 0.0
    if not b.vms[vm].grouped:
        return found
    for column in range(GROUPS):
        group = b.vms[vm].group[column]
        if group < 0 or (other != NOBODY and b.vms[other].group[column] == group):
            continue
        domain, before = b.domain[group, target], b.domain[group, source]
        if before == domain:
            if b.group_weight[group] == np.inf and b.members[group, domain] > 1:
                return -np.inf  # it shares a rack with one of its group: no move within the rack
            continue
        there, here = b.members[group, domain], max(0, b.members[group, before] - 1)
        if b.group_weight[group] == np.inf:
            if there > 0:
                return -np.inf
        else:
            found += b.group_weight[group] * (here - there)
    return found


@inlined
def fits(b: SearchState, vm: Row, target: Row, other: Row) -> bool:
    """Whether a VM may run on a host, and has room there once `other`, if any, has left."""
    if not b.allowed[b.vms[vm].kind, target]:
        return False
    for k in range(NEEDS):
        freed = 0.0 if other == NOBODY else b.vms[other].need[k]
        if b.hosts[target].used[k] - freed + b.vms[vm].need[k] > b.hosts[target].room[k]:
            return False
    return True


@inlined
def may_go(b: SearchState, vm: Row, target: Row) -> bool:
    """Whether no rule and no group keeps a VM from a host, and there is room."""
    return fits(b, vm, target, NOBODY) and affinity_gain(b, vm, target, NOBODY) > -np.inf


@inlined
def total_gain(b: SearchState, vm: Row, target: Row) -> float:
    """What a move gains, wishes included and its price left out; minus infinity where a group forbids it."""
    return spread_gain(b, vm, target, NOBODY) + affinity_gain(b, vm, target, NOBODY)


@inlined
def price_sign(b: SearchState, vm: Row, target: Row) -> int:
    """1 when the VM leaves the host where it was first, -1 when it returns there, else 0."""
    home = b.vms[vm].home
    return int(target != home) - int(b.vms[vm].at != home)


@inlined
def net_gain(b: SearchState, vm: Row, target: Row, other: Row, price: Floats) -> float:
    """What a move or an exchange gains beyond its price; minus infinity where a group forbids it."""
    source = b.vms[vm].at
    found = (
        spread_gain(b, vm, target, other) - price_sign(b, vm, target) * price[vm] + affinity_gain(b, vm, target, other)
    )
    if other != NOBODY:
        found += affinity_gain(b, other, source, vm) - price_sign(b, other, source) * price[other]
    return float(found)


@inlined
def shift(b: SearchState, host: Row, vm: Row, sign: float) -> None:
    """Add a VM to a host (sign 1) or take it away (-1)."""
    row, vm_row, totals = b.hosts[host], b.vms[vm], b.totals[0]
    for k in range(SHARES):
        more = sign * vm_row.size[k] * row.inverse[k]
        if k < SPREADS:
            totals.total[k] += more
            totals.square[k] += more * (2 * row.share[k] + more)
        row.share[k] += more
    for k in range(NEEDS):
        row.used[k] += sign * vm_row.need[k]
    for column in range(GROUPS):
        group = vm_row.group[column]
        if group >= 0:
            b.members[group, b.domain[group, host]] += int(sign)
    row.penalty = penalty(b, host, 0.0, 0.0, 0.0)


@inlined
def apply_move(b: SearchState, vm: Row, target: Row) -> None:
    """Move a VM: all sums follow."""
    vm_row, totals, paid = b.vms[vm], b.totals[0], price_sign(b, vm, target)
    for k in range(3):
        totals.spent[k] += paid * vm_row.cost[k]
    shift(b, vm_row.at, vm, -1.0)
    shift(b, target, vm, 1.0)
    for k in range(SPREADS):
        totals.spread[k] = deviation(totals.total[k], totals.square[k], totals.part)
    vm_row.at = target


@compiled
def objective(b: SearchState) -> float:
    """The score without wishes, times the number of counted hosts."""
    found = 0.0
    for k in range(SPREADS):
        found += b.totals[0].count * b.totals[0].weight[k] * b.totals[0].spread[k]
    for host in range(b.hosts.size - 1):
        found += b.hosts[host].penalty
    return found


@inlined
def affordable(b: SearchState, vm: Row, target: Row, other: Row, limit: Floats) -> bool:
    """Whether a move or an exchange stays within the budget; one that gives something back always does."""
    for k in range(3):
        more = price_sign(b, vm, target) * b.vms[vm].cost[k]
        if other != NOBODY:
            more += price_sign(b, other, b.vms[vm].at) * b.vms[other].cost[k]
        if more > 0 and b.totals[0].spent[k] + more > limit[k] + ROUNDING:
            return False
    return True


@compiled
def coldest(b: SearchState) -> Ints:
    """The counted hosts on which more load hurts the score least, at most TARGETS of them."""
    heat = np.full(b.hosts.size - 1, np.inf)
    for host in range(b.hosts.size - 1):
        if b.hosts[host].counted:
            heat[host] = b.hosts[host].penalty
            for k in range(SPREADS):
                if b.totals[0].spread[k] > ROUNDING:
                    heat[host] += b.totals[0].weight[k] * b.hosts[host].share[k] / b.totals[0].spread[k]
    return np.argsort(heat, kind="mergesort")[: min(TARGETS, b.totals[0].count)]


@compiled
def by_host(b: SearchState) -> tuple[Ints, Ints]:
    """VMs by host: those of host h are `vms[first[h]:first[h + 1]]`, the largest first, as rows are sorted by size."""
    first = np.zeros(b.hosts.size + 1, np.int64)
    for row in range(b.vms.size):
        first[b.vms[row].at + 1] += 1
    for host in range(b.hosts.size):
        first[host + 1] += first[host]
    place, vms = first.copy(), np.zeros(b.vms.size, np.int64)
    for row in range(b.vms.size - 1, -1, -1):
        vms[place[b.vms[row].at]] = row
        place[b.vms[row].at] += 1
    return first, vms


@compiled
def offers(b: SearchState, vm: Row) -> Floats:
    """What the VM would gain on each host; minus infinity where it may not or cannot go."""
    found = np.full(b.hosts.size - 1, -np.inf)
    for target in range(b.hosts.size - 1):
        if target != b.vms[vm].at and fits(b, vm, target, NOBODY):
            found[target] = total_gain(b, vm, target)
    return found
