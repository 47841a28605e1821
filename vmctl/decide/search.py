"""The search: which VMs should be elsewhere, and where, so that the cluster is evener than the moves cost.

Steepest descent first; then simulated annealing with moves, exchanges and returns, under a budget. A price is paid when
a VM leaves its host and given back when it comes home. Gains and prices are shares of one host (see `score`). A move
changes two hosts only, so it is priced from sums in a few dozen operations.

Annealing: Kirkpatrick, Gelatt, Vecchi, "Optimization by Simulated Annealing", Science 220 (1983).
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from vmctl.decide.compiled import compiled, inlined
from vmctl.decide.problem import CPU, GROUPS, MEM, NEEDS, SHARES, SPREADS, SUFFERING, Board, Floats, Ints
from vmctl.decide.score import STALL_SLOPE

Words = NDArray[np.uint64]
Row = int | np.int64
TARGETS = 64  # of more hosts than these, a descent looks at the coldest only
NOBODY = -1
SLACK = 0.9  # an offer that is still worth this share of what it was is taken;
CRUMB = 1e-4  # one that gains less than this share of the objective is not
TINY = 1e-9


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
def best_offer(b: Board, vm: Row, targets: Ints, price: Floats, limit: Floats) -> tuple[Row, float]:
    """Where a VM gains most beyond its price, and how much; minus infinity where no target can take it."""
    where, best = NOBODY, -np.inf
    for target in targets:
        if target != b.vms[vm].at and fits(b, vm, target, NOBODY) and affordable(b, vm, target, NOBODY, limit):
            found = worth(b, vm, target, NOBODY, price)
            if found > best:
                where, best = target, found
    return where, best


@compiled
def best_offers(b: Board, targets: Ints, price: Floats, limit: Floats) -> Floats:
    """For each VM what its best move would gain beyond its price; minus infinity where it cannot move."""
    found = np.full(b.vms.size, -np.inf)
    for vm in range(b.vms.size):
        if b.vms[vm].movable:
            found[vm] = best_offer(b, vm, targets, price, limit)[1]
    return found


@compiled
def descend(b: Board, price: Floats, limit: Floats) -> int:
    """Steepest descent: the best single move of all, again and again, as hbal does it. Returns the number of moves.

    Offers are kept in a heap, and one is made anew before it is taken (lazy evaluation: Minoux, "Accelerated greedy
    algorithms", 1978): those on both hosts of a move at once, all of them after moves by a quarter of the hosts.
    """
    made, fresh, often, least = 0, False, max(1, b.hosts.size // 4), TINY + CRUMB * objective(b)
    found, heap, targets = np.zeros(0), [(0.0, 0)], np.zeros(0, np.int64)
    while True:
        if not fresh and (made % often == 0 or not heap):
            targets, fresh = coldest(b), True
            found = best_offers(b, targets, price, limit)
            heap = [(-found[vm], vm) for vm in range(b.vms.size) if found[vm] > least]
            heapq.heapify(heap)
        if not heap:
            return made
        offer, vm = heapq.heappop(heap)
        if -offer != found[vm]:
            continue  # it was made anew since
        target, found[vm] = best_offer(b, vm, targets, price, limit)
        if found[vm] < SLACK * -offer:
            if found[vm] > least:
                heapq.heappush(heap, (-found[vm], vm))
            continue
        source = b.vms[vm].at
        put(b, vm, target)
        made, fresh = made + 1, False
        for row in range(b.vms.size):
            if b.vms[row].movable and (b.vms[row].at == source or b.vms[row].at == target):
                found[row] = best_offer(b, row, targets, price, limit)[1]
                if found[row] > least:
                    heapq.heappush(heap, (-found[row], row))


@inlined
def draw(random: Words, below: int) -> np.int64:
    """The next number of a xorshift generator (Marsaglia 2003): the same seed gives the same plan."""
    word = random[0]
    word ^= word << np.uint64(13)
    word ^= word >> np.uint64(7)
    word ^= word << np.uint64(17)
    random[0] = word
    return np.int64((word >> np.uint64(11)) % np.uint64(below))


@compiled
def follow(away: Ints, slot: Ints, count: int, vm: Row, out: bool) -> int:
    """Keep the list of VMs that are not where they were; returns how many there are."""
    if out and slot[vm] < 0:
        away[count], slot[vm] = vm, count
        return count + 1
    if not out and slot[vm] >= 0:
        last = away[count - 1]
        away[slot[vm]], slot[last] = last, slot[vm]
        slot[vm] = NOBODY
        return count - 1
    return count


@inlined
def proposal(b: Board, vms: Ints, away: Ints, native: Ints, first: Ints, random: Words) -> tuple[Row, Row, Row]:
    """A VM, a host, and whom it is exchanged for there, if anybody.

    Most proposals begin with a VM that has left its host already: to another host, home, or, most often, in exchange
    for another VM. One from its own old home costs no budget: it goes in its stead.
    """
    choice = draw(random, 16)
    vm = away[draw(random, away.size)] if choice < 13 and away.size > 0 else vms[draw(random, vms.size)]
    home = b.vms[vm].home
    if choice in (0, 1, 13, 14):
        return vm, draw(random, b.hosts.size - 1), NOBODY
    if choice == 2:
        return vm, home, NOBODY
    if choice < 6 and away.size > 0:
        other = away[draw(random, away.size)]
    elif choice < 11:
        other = native[first[home] + draw(random, first[home + 1] - first[home])]
    else:
        other = vms[draw(random, vms.size)]
    return vm, b.vms[other].at, other


@compiled
def anneal(b: Board, price: Floats, limit: Floats, proposals: int, hot: float, cold: float) -> None:
    """Simulated annealing from temperature `hot` to `cold` (in units of gain), on movable VMs."""
    hosts, vms = b.hosts.size - 1, np.array([vm for vm in range(b.vms.size) if b.vms[vm].movable], np.int64)
    if hosts < 2 or vms.size == 0:
        return
    random, homes = np.array([88172645463325252], np.uint64), np.array([b.vms[vm].home for vm in vms], np.int64)
    order = np.argsort(homes, kind="mergesort")
    native, first = vms[order], np.searchsorted(homes[order], np.arange(hosts + 2))  # VMs by the host they come from
    away, slot, count = np.zeros(b.vms.size, np.int64), np.full(b.vms.size, NOBODY, np.int64), 0
    for vm in vms:
        count = follow(away, slot, count, vm, b.vms[vm].at != b.vms[vm].home)
    cooling = (cold / hot) ** (256.0 / max(256, proposals))
    heat = hot
    for step in range(proposals):
        if step % 256 == 0:
            heat *= cooling
        vm, target, other = proposal(b, vms, away[:count], native, first, random)
        source = b.vms[vm].at
        if target == source or not fits(b, vm, target, other) or not affordable(b, vm, target, other, limit):
            continue
        if other != NOBODY and not fits(b, other, source, vm):
            continue
        if worth(b, vm, target, other, price) > heat * np.log((draw(random, 1 << 20) + 0.5) / (1 << 20)):
            if other != NOBODY:
                put(b, other, source)
                count = follow(away, slot, count, other, source != b.vms[other].home)
            put(b, vm, target)
            count = follow(away, slot, count, vm, target != b.vms[vm].home)


@compiled
def offers(b: Board, vm: Row) -> Floats:
    """What the VM would gain on each host; minus infinity where it may not or cannot go."""
    found = np.full(b.hosts.size - 1, -np.inf)
    for target in range(b.hosts.size - 1):
        if target != b.vms[vm].at and fits(b, vm, target, NOBODY):
            found[target] = relief(b, vm, target)
    return found
