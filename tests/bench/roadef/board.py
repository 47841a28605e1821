"""A solution under change, for a search: what a step would cost, and doing it.

Loads are kept times their weight, so that a unit over a safety capacity costs one. Room is soft: a machine may be full
beyond its capacity, and the sum of all that is too much, the excess, is counted apart from the cost; the search sets a
price on it. All other constraints are hard. A process beyond the last, `nobody`, has no size: it stands for no process.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.bench.roadef.instance import Instance, Ints
from vmctl.decide.search.compiled import inlined
from vmctl.decide.search.moves import Row

NEVER = 1 << 60  # a safety capacity that nothing reaches, for resources whose load costs nothing


class Board(NamedTuple):
    """What stays (the first block) and what changes (the second); P processes and nobody."""

    start: Ints  # (P + 1)
    service: Ints  # (P + 1)
    size: Ints  # (2 (P + 1), R) weighted; in the second half without what is transient: on a machine where it began
    whole: Ints  # (P + 1, R) not weighted
    process_cost: Ints  # (P + 1) weighted
    move_cost: Ints  # (M, M) weighted
    crowd_weight: Ints  # (1) of the most moved service
    location: Ints  # (M)
    neighbourhood: Ints  # (M)
    spread: Ints  # (S)
    balance: Ints  # (B, 4)
    needed_first: Ints  # (S + 1) where in `needed` each service's begin
    needed: Ints  # services that it needs
    asked_first: Ints
    asked: Ints  # services that need it

    at: Ints  # (P + 1)
    over: Ints  # (M, R) weighted load beyond safety
    room: Ints  # (M, R) weighted capacity that is neither used nor held
    free: Ints  # (M, R) capacity that is not used
    load: Ints  # (M) what load and balance cost
    excess: Ints  # (M) what is filled beyond capacity, weighted
    runs: Ints  # (S + 1, M) processes of a service on a machine
    places: Ints  # (S, locations)
    near: Ints  # (S, neighbourhoods)
    moved: Ints  # (S) processes that are not where they began
    tally: Ints  # how many services have so many moved
    most: Ints  # (1) the largest of `moved`
    sums: Ints  # (2) the cost of all; the excess of all


def begin(given: Instance) -> Board:
    """As the instance is given."""
    (processes, _), services = given.size.shape, len(given.spread)
    weight = np.maximum(1, given.load_weight)
    whole = np.vstack((given.size, np.zeros_like(given.size[:1])))
    used, runs = np.zeros_like(given.capacity), np.zeros((services + 1, len(given.capacity)), np.int64)
    np.add.at(used, given.start, given.size)
    np.add.at(runs, (given.service, given.start), 1)
    places = np.zeros((services, given.location.max() + 1), np.int64)
    np.add.at(places, (given.service, given.location[given.start]), 1)
    near = np.zeros((services, given.neighbourhood.max() + 1), np.int64)
    np.add.at(near, (given.service, given.neighbourhood[given.start]), 1)
    tally = np.zeros(processes + 2, np.int64)
    tally[0] = services
    needs = given.needs[given.needs[:, 0] != given.needs[:, 1]]
    board = Board(
        start=np.append(given.start, -1),
        service=np.append(given.service, services),
        size=np.vstack((whole * weight, whole * weight * ~given.transient)),
        whole=whole,
        process_cost=np.append(given.process_cost, 0) * given.weights[0],
        move_cost=given.move_cost * given.weights[2],
        crowd_weight=given.weights[1:2].copy(),
        location=given.location,
        neighbourhood=given.neighbourhood,
        spread=given.spread,
        balance=given.balance,
        **_listed("needed", needs, services),
        **_listed("asked", needs[:, ::-1], services),
        at=np.append(given.start, -1),
        over=np.where(given.load_weight > 0, (used - given.safety) * weight, -NEVER),
        room=(given.capacity - used) * weight,
        free=given.capacity - used,
        load=np.zeros(len(used), np.int64),
        excess=np.zeros(len(used), np.int64),
        runs=runs,
        places=places,
        near=near,
        moved=np.zeros(services, np.int64),
        tally=tally,
        most=np.zeros(1, np.int64),
        sums=np.zeros(2, np.int64),
    )
    for machine in range(len(used)):
        settle(board, machine)
    return board


def _listed(name: str, pairs: Ints, count: int) -> dict[str, Ints]:
    order = np.argsort(pairs[:, 0], kind="stable")
    first = np.searchsorted(pairs[order, 0], np.arange(count + 1)).astype(np.int64)
    return {f"{name}_first": first, name: pairs[order, 1].copy()}


@inlined
def exchanged(b: Board, machine: Row, comes: Row, leaves: Row) -> tuple[int, int]:
    """What the machine would cost, and its excess, once one process has come and one has left; either may be nobody."""
    load, excess, half = 0, 0, b.at.size
    takes = comes + half * (b.start[comes] == machine)  # where it began, what is transient is held already
    yields = leaves + half * (b.start[leaves] == machine)  # ... and stays held
    for r in range(b.over.shape[1]):
        load += max(0, b.over[machine, r] + b.size[comes, r] - b.size[leaves, r])
        excess += max(0, b.size[takes, r] - b.size[yields, r] - b.room[machine, r])
    for rule in range(b.balance.shape[0]):
        first, second = b.balance[rule, 0], b.balance[rule, 1]
        one = b.free[machine, first] + b.whole[leaves, first] - b.whole[comes, first]
        other = b.free[machine, second] + b.whole[leaves, second] - b.whole[comes, second]
        load += b.balance[rule, 3] * max(0, b.balance[rule, 2] * one - other)
    return load, excess


@inlined
def rise(b: Board, machine: Row, comes: Row, leaves: Row, price: float) -> float:
    """How much more a machine would cost, at so much for a unit of excess."""
    load, excess = exchanged(b, machine, comes, leaves)
    return load - b.load[machine] + price * (excess - b.excess[machine])


@inlined
def settle(b: Board, machine: Row) -> None:
    """Count a machine anew, after who is there has changed."""
    nobody = b.at.size - 1
    load, excess = exchanged(b, machine, nobody, nobody)
    b.sums[0] += load - b.load[machine]
    b.sums[1] += excess - b.excess[machine]
    b.load[machine], b.excess[machine] = load, excess


@inlined
def fare(b: Board, p: Row, machine: Row) -> int:
    """What being on a machine costs a process, beside what its service pays; nobody goes free."""
    home = b.start[p]
    return 0 if home < 0 or home == machine else b.process_cost[p] + b.move_cost[home, machine]


@inlined
def may(b: Board, p: Row, target: Row) -> bool:
    """Conflict, spread and dependency; room is another matter."""
    service, source = b.service[p], b.at[p]
    if b.runs[service, target] > 0:
        return False
    leaves, comes = b.location[source], b.location[target]
    if leaves != comes and b.places[service, leaves] == 1 and b.places[service, comes] > 0:
        distinct = 0
        for place in range(b.places.shape[1]):
            distinct += b.places[service, place] > 0
        if distinct - 1 < b.spread[service]:
            return False
    leaves, comes = b.neighbourhood[source], b.neighbourhood[target]
    if leaves != comes:
        for row in range(b.needed_first[service], b.needed_first[service + 1]):
            if b.near[b.needed[row], comes] == 0:
                return False
        if b.near[service, leaves] == 1:
            for row in range(b.asked_first[service], b.asked_first[service + 1]):
                if b.near[b.asked[row], leaves] > 0:
                    return False
    return True


@inlined
def put(b: Board, p: Row, target: Row) -> None:
    """Move a process and pay for it; the two machines are to be settled."""
    service, source, start, half = b.service[p], b.at[p], b.start[p], b.at.size
    yields, takes = p + half * (start == source), p + half * (start == target)
    for r in range(b.over.shape[1]):
        b.over[source, r] -= b.size[p, r]
        b.over[target, r] += b.size[p, r]
        b.room[source, r] += b.size[yields, r]
        b.room[target, r] -= b.size[takes, r]
        b.free[source, r] += b.whole[p, r]
        b.free[target, r] -= b.whole[p, r]
    b.runs[service, source] -= 1
    b.runs[service, target] += 1
    b.places[service, b.location[source]] -= 1
    b.places[service, b.location[target]] += 1
    b.near[service, b.neighbourhood[source]] -= 1
    b.near[service, b.neighbourhood[target]] += 1
    b.sums[0] += fare(b, p, target) - fare(b, p, source) - b.crowd_weight[0] * b.most[0]
    more = int(target != start) - int(source != start)
    if more != 0:
        b.tally[b.moved[service]] -= 1
        b.moved[service] += more
        b.tally[b.moved[service]] += 1
        b.most[0] = max(b.most[0], b.moved[service])
        while b.most[0] > 0 and b.tally[b.most[0]] == 0:
            b.most[0] -= 1
    b.sums[0] += b.crowd_weight[0] * b.most[0]
    b.at[p] = target
