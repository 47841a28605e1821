"""The search: which VMs should be elsewhere, and where, so that the cluster is evener than the moves cost.

Steepest descent first; then simulated annealing with moves, exchanges and returns, under a budget.

Annealing: Kirkpatrick, Gelatt, Vecchi, "Optimization by Simulated Annealing", Science 220 (1983).
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from vmctl.decide.search.compiled import compiled, inlined
from vmctl.decide.search.moves import (
    LEAST_SHARE,
    NOBODY,
    ROUNDING,
    STILL_AS_GOOD,
    Row,
    affordable,
    apply_move,
    coldest,
    fits,
    net_gain,
    objective,
)
from vmctl.decide.search.state import Floats, Ints, SearchState

Words = NDArray[np.uint64]


@compiled
def best_offer(b: SearchState, vm: Row, targets: Ints, price: Floats, limit: Floats) -> tuple[Row, float]:
    """Where a VM gains most beyond its price, and how much; minus infinity where no target can take it."""
    where, best = NOBODY, -np.inf
    for target in targets:
        if target != b.vms[vm].at and fits(b, vm, target, NOBODY) and affordable(b, vm, target, NOBODY, limit):
            found = net_gain(b, vm, target, NOBODY, price)
            if found > best:
                where, best = target, found
    return where, best


@compiled
def best_offers(b: SearchState, targets: Ints, price: Floats, limit: Floats) -> Floats:
    """For each VM what its best move would gain beyond its price; minus infinity where it cannot move."""
    found = np.full(b.vms.size, -np.inf)
    for vm in range(b.vms.size):
        if b.vms[vm].movable:
            found[vm] = best_offer(b, vm, targets, price, limit)[1]
    return found


@compiled
def descend(b: SearchState, price: Floats, limit: Floats) -> int:
    """Steepest descent: the best single move of all, again and again, as hbal does it. Returns the number of moves.

    Offers are kept in a heap, and one is made anew before it is taken (lazy evaluation: Minoux, "Accelerated greedy
    algorithms", 1978): those on both hosts of a move at once, all of them after moves by a quarter of the hosts.
    """
    made, fresh, often, least = 0, False, max(1, b.hosts.size // 4), ROUNDING + LEAST_SHARE * objective(b)
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
        if found[vm] < STILL_AS_GOOD * -offer:
            if found[vm] > least:
                heapq.heappush(heap, (-found[vm], vm))
            continue
        source = b.vms[vm].at
        apply_move(b, vm, target)
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
def proposal(b: SearchState, vms: Ints, away: Ints, native: Ints, first: Ints, random: Words) -> tuple[Row, Row, Row]:
    """A VM, a host, and whom it is exchanged for there, if anybody.

    Most proposals begin with a VM that has left its host already: to another host, home, or, most often, in exchange
    for another VM. Swapping with a VM still on that host costs no extra budget: that one moves instead.
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
def anneal(b: SearchState, price: Floats, limit: Floats, proposals: int, hot: float, cold: float) -> None:
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
        if net_gain(b, vm, target, other, price) > heat * np.log((draw(random, 1 << 20) + 0.5) / (1 << 20)):
            if other != NOBODY:
                apply_move(b, other, source)
                count = follow(away, slot, count, other, source != b.vms[other].home)
            apply_move(b, vm, target)
            count = follow(away, slot, count, vm, target != b.vms[vm].home)
