"""A move of one VM: whether it fits, what it gains, what it costs, and what it changes.

Leaving its own host costs a VM's price; returning refunds it. Gains and prices are shares of one host (see `score`). A
move changes two hosts only, so it is priced from sums in a few dozen operations.
"""

from __future__ import annotations

import numpy as np

from vmctl.decide.score import STALL_SLOPE
from vmctl.decide.search.compiled import compiled, inlined
from vmctl.decide.search.state import CPU, GROUPS, MEM, NEEDS, SHARES, SPREADS, SUFFERING, Board, Floats, Ints

Row = int | np.int64
NOBODY = -1
SLACK = 0.9  # an offer that is still worth this share of what it was is taken;
CRUMB = 1e-4  # one that gains less than this share of the objective is not
TINY = 1e-9
TARGETS = 64  # of more hosts than these, a descent looks at the coldest only


@compiled
def copied(b: Board) -> Board:
    """The same, to search on."""
    return Board(b.hosts.copy(), b.vms.copy(), b.whole.copy(), b.allowed, b.group_weight, b.domain, b.members.copy())


@compiled
def begin(b: Board) -> Board:
    """A copy to search on, its sums filled in."""
    b = copied(b)
    w = b.whole[0]
    for host in range(b.hosts.size - 1):
        if b.hosts[host].counted:
            w.count += 1
            for k in range(SPREADS):
                w.total[k] += b.hosts[host].share[k]
                w.square[k] += b.hosts[host].share[k] ** 2
            b.hosts[host].strain = strain(b, host, 0.0, 0.0, 0.0)
            w.strains |= w.weight_overload > 0 or b.hosts[host].stall * w.weight_stall > 0
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
def strain(b: Board, host: Row, cpu: float, mem: float, suffering: float) -> float:
    """Overload and stall of a host when so much (shares; stall of guests) arrives there."""
    busy, full = b.hosts[host].share[CPU] + cpu, b.hosts[host].share[MEM] + mem
    found = b.whole[0].weight_overload * (max(0.0, busy - b.whole[0].above) + max(0.0, full - b.whole[0].above))
    if b.hosts[host].stall > 0:
        stall = min(1.0, max(0.0, b.hosts[host].stall * (1 + STALL_SLOPE * (busy - b.hosts[host].stall_at))))
        found += b.whole[0].weight_stall * stall * (1 + b.hosts[host].share[SUFFERING] + suffering)
    return float(found)


@inlined
def difference(b: Board, vm: Row, other: Row, k: int) -> float:
    """What goes one way when a VM moves and, where there is an `other`, that one comes back in exchange."""
    return float(b.vms[vm].size[k] if other == NOBODY else b.vms[vm].size[k] - b.vms[other].size[k])


@inlined
def eased(b: Board, host: Row, sign: float, vm: Row, other: Row) -> float:
    """How much less strained a host is after an exchange; `sign` is 1 where the VM arrives."""
    row = b.hosts[host]
    cpu = sign * difference(b, vm, other, CPU) * row.inverse[CPU]
    mem = sign * difference(b, vm, other, MEM) * row.inverse[MEM]
    return float(row.strain - strain(b, host, cpu, mem, sign * difference(b, vm, other, SUFFERING)))


@inlined
def gain(b: Board, vm: Row, target: Row, other: Row) -> float:
    """How much evener and less strained it gets when a VM goes to a host, and `other`, if any, comes from there."""
    from_row, to_row, whole = b.hosts[b.vms[vm].at], b.hosts[target], b.whole[0]
    found, back = 0.0, 0.0 if other == NOBODY else 1.0  # the loop has no branches: so it is several times as fast
    for k in range(SPREADS):
        amount = b.vms[vm].size[k] - back * b.vms[other].size[k]
        more, less = amount * to_row.inverse[k], amount * from_row.inverse[k]
        total = whole.total[k] + (more - less)
        square = whole.square[k] + more * (2 * to_row.share[k] + more) + less * (less - 2 * from_row.share[k])
        found += whole.weight[k] * (whole.spread[k] - deviation(total, square, whole.part))
    found *= whole.count
    if whole.strains:
        found += eased(b, b.vms[vm].at, -1.0, vm, other) + eased(b, target, 1.0, vm, other)
    return float(found)


@inlined
def wishes(b: Board, vm: Row, target: Row, other: Row) -> float:
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
def fits(b: Board, vm: Row, target: Row, other: Row) -> bool:
    """Whether a VM may run on a host, and has room there once `other`, if any, has left."""
    if not b.allowed[b.vms[vm].kind, target]:
        return False
    for k in range(NEEDS):
        freed = 0.0 if other == NOBODY else b.vms[other].need[k]
        if b.hosts[target].used[k] - freed + b.vms[vm].need[k] > b.hosts[target].room[k]:
            return False
    return True


@inlined
def may_go(b: Board, vm: Row, target: Row) -> bool:
    """Whether no rule and no group keeps a VM from a host, and there is room."""
    return fits(b, vm, target, NOBODY) and wishes(b, vm, target, NOBODY) > -np.inf


@inlined
def relief(b: Board, vm: Row, target: Row) -> float:
    """What a move gains, wishes included and its price left out; minus infinity where a group forbids it."""
    return gain(b, vm, target, NOBODY) + wishes(b, vm, target, NOBODY)


@inlined
def fee(b: Board, vm: Row, target: Row) -> int:
    """1 when the VM leaves the host where it was first, -1 when it returns there, else 0."""
    home = b.vms[vm].home
    return int(target != home) - int(b.vms[vm].at != home)


@inlined
def worth(b: Board, vm: Row, target: Row, other: Row, price: Floats) -> float:
    """What a move or an exchange gains beyond its price; minus infinity where a group forbids it."""
    source = b.vms[vm].at
    found = gain(b, vm, target, other) - fee(b, vm, target) * price[vm] + wishes(b, vm, target, other)
    if other != NOBODY:
        found += wishes(b, other, source, vm) - fee(b, other, source) * price[other]
    return float(found)


@inlined
def shift(b: Board, host: Row, vm: Row, sign: float) -> None:
    """Add a VM to a host (sign 1) or take it away (-1)."""
    row, piece, whole = b.hosts[host], b.vms[vm], b.whole[0]
    for k in range(SHARES):
        more = sign * piece.size[k] * row.inverse[k]
        if k < SPREADS:
            whole.total[k] += more
            whole.square[k] += more * (2 * row.share[k] + more)
        row.share[k] += more
    for k in range(NEEDS):
        row.used[k] += sign * piece.need[k]
    for column in range(GROUPS):
        group = piece.group[column]
        if group >= 0:
            b.members[group, b.domain[group, host]] += int(sign)
    row.strain = strain(b, host, 0.0, 0.0, 0.0)


@inlined
def put(b: Board, vm: Row, target: Row) -> None:
    """Move a VM: all sums follow."""
    piece, whole, paid = b.vms[vm], b.whole[0], fee(b, vm, target)
    for k in range(3):
        whole.spent[k] += paid * piece.cost[k]
    shift(b, piece.at, vm, -1.0)
    shift(b, target, vm, 1.0)
    for k in range(SPREADS):
        whole.spread[k] = deviation(whole.total[k], whole.square[k], whole.part)
    piece.at = target


@compiled
def objective(b: Board) -> float:
    """The score without wishes, times the number of counted hosts."""
    found = 0.0
    for k in range(SPREADS):
        found += b.whole[0].count * b.whole[0].weight[k] * b.whole[0].spread[k]
    for host in range(b.hosts.size - 1):
        found += b.hosts[host].strain
    return found


@inlined
def affordable(b: Board, vm: Row, target: Row, other: Row, limit: Floats) -> bool:
    """Whether a move or an exchange stays within the budget; one that gives something back always does."""
    for k in range(3):
        more = fee(b, vm, target) * b.vms[vm].cost[k]
        if other != NOBODY:
            more += fee(b, other, b.vms[vm].at) * b.vms[other].cost[k]
        if more > 0 and b.whole[0].spent[k] + more > limit[k] + TINY:
            return False
    return True


@compiled
def coldest(b: Board) -> Ints:
    """The counted hosts on which more load hurts the score least, at most TARGETS of them."""
    heat = np.full(b.hosts.size - 1, np.inf)
    for host in range(b.hosts.size - 1):
        if b.hosts[host].counted:
            heat[host] = b.hosts[host].strain
            for k in range(SPREADS):
                if b.whole[0].spread[k] > TINY:
                    heat[host] += b.whole[0].weight[k] * b.hosts[host].share[k] / b.whole[0].spread[k]
    return np.argsort(heat, kind="mergesort")[: min(TARGETS, b.whole[0].count)]


@compiled
def by_host(b: Board) -> tuple[Ints, Ints]:
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
def offers(b: Board, vm: Row) -> Floats:
    """What the VM would gain on each host; minus infinity where it may not or cannot go."""
    found = np.full(b.hosts.size - 1, -np.inf)
    for target in range(b.hosts.size - 1):
        if target != b.vms[vm].at and fits(b, vm, target, NOBODY):
            found[target] = relief(b, vm, target)
    return found
