"""Annealing on an instance of the challenge: the planner's way (moves and exchanges, priced from sums), its own rules.

The planner's search has no transient resources, spreads, dependencies or machine-dependent prices, and will not get
them for a bench; the proposals and the cooling are the same, and so is the compiler.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from tests.bench.roadef.instance import Instance, Ints
from tests.bench.roadef.judge import broken, cost
from vmctl.decide.compiled import compiled, inlined
from vmctl.decide.search import NOBODY, Row, Words, draw

CHUNK = 20_000  # proposals between two looks at the clock
HOT, COLD = 10.0, 0.01  # first and last temperature, as shares of the cost of a process at the start


class State(NamedTuple):
    """A solution under change."""

    at: Ints  # (P)
    used: Ints  # (M, R)
    held: Ints  # (M, R) by processes that left, of transient resources
    runs: Ints  # (S, M) processes of a service on a machine
    places: Ints  # (S, locations)
    near: Ints  # (S, neighbourhoods)
    moved: Ints  # (S) processes that are not where they began
    tally: Ints  # how many services have so many moved
    most: Ints  # (1) the largest of `moved`
    needed_first: Ints  # (S + 1) where in `needed` each service's begin
    needed: Ints  # services that it needs
    asked_first: Ints
    asked: Ints  # services that need it


def begin(given: Instance) -> State:
    """As the instance is given."""
    services, machines = len(given.spread), len(given.capacity)
    used, runs = np.zeros_like(given.capacity), np.zeros((services, machines), np.int64)
    np.add.at(used, given.start, given.size)
    np.add.at(runs, (given.service, given.start), 1)
    places = np.zeros((services, given.location.max() + 1), np.int64)
    np.add.at(places, (given.service, given.location[given.start]), 1)
    near = np.zeros((services, given.neighbourhood.max() + 1), np.int64)
    np.add.at(near, (given.service, given.neighbourhood[given.start]), 1)
    tally = np.zeros(len(given.service) + 2, np.int64)
    tally[0] = services
    needed = _listed(given.needs, services)
    asked = _listed(given.needs[:, ::-1], services)
    moved, most = np.zeros(services, np.int64), np.zeros(1, np.int64)
    return State(given.start.copy(), used, np.zeros_like(used), runs, places, near, moved, tally, most, *needed, *asked)


def _listed(pairs: Ints, count: int) -> tuple[Ints, Ints]:
    order = np.argsort(pairs[:, 0], kind="stable")
    return np.searchsorted(pairs[order, 0], np.arange(count + 1)).astype(np.int64), pairs[order, 1].copy()


@inlined
def machine_cost(g: Instance, s: State, machine: Row) -> int:
    """Load and balance of one machine."""
    found = 0
    for r in range(g.load_weight.size):
        found += g.load_weight[r] * max(0, s.used[machine, r] - g.safety[machine, r])
    for rule in range(g.balance.shape[0]):
        first, second, target, weight = (
            g.balance[rule, 0],
            g.balance[rule, 1],
            g.balance[rule, 2],
            g.balance[rule, 3],
        )
        one = g.capacity[machine, first] - s.used[machine, first]
        other = g.capacity[machine, second] - s.used[machine, second]
        found += weight * max(0, target * one - other)
    return found


@inlined
def move_cost(g: Instance, p: Row, machine: Row) -> int:
    """Of a process on a machine, beside what its service pays."""
    if machine == g.start[p]:
        return 0
    return g.weights[0] * g.process_cost[p] + g.weights[2] * g.move_cost[g.start[p], machine]


@inlined
def has_room(g: Instance, s: State, p: Row, machine: Row, leaving: Row) -> bool:
    """Whether the machine can take the process once `leaving` (-1: nobody) has left."""
    for r in range(g.load_weight.size):
        now = s.used[machine, r] + s.held[machine, r]
        if leaving >= 0 and not (g.transient[r] and g.start[leaving] == machine):
            now -= g.size[leaving, r]
        if g.transient[r] and g.start[p] == machine:
            continue  # it is held here already
        if now + g.size[p, r] > g.capacity[machine, r]:
            return False
    return True


@inlined
def may(g: Instance, s: State, p: Row, target: Row) -> bool:
    """Conflict, spread and dependency; room is another matter."""
    service, source = g.service[p], s.at[p]
    if s.runs[service, target] > 0:
        return False
    leaves, comes = g.location[source], g.location[target]
    if leaves != comes and s.places[service, leaves] == 1 and s.places[service, comes] > 0:
        distinct = 0
        for place in range(s.places.shape[1]):
            distinct += s.places[service, place] > 0
        if distinct - 1 < g.spread[service]:
            return False
    leaves, comes = g.neighbourhood[source], g.neighbourhood[target]
    if leaves != comes:
        for row in range(s.needed_first[service], s.needed_first[service + 1]):
            if s.needed[row] != service and s.near[s.needed[row], comes] == 0:
                return False
        if s.near[service, leaves] == 1:
            for row in range(s.asked_first[service], s.asked_first[service + 1]):
                if s.asked[row] != service and s.near[s.asked[row], leaves] > 0:
                    return False
    return True


@inlined
def put(g: Instance, s: State, p: Row, target: Row) -> None:
    """Move a process."""
    service, source, start = g.service[p], s.at[p], g.start[p]
    for r in range(g.load_weight.size):
        s.used[source, r] -= g.size[p, r]
        s.used[target, r] += g.size[p, r]
        if g.transient[r]:
            s.held[start, r] += g.size[p, r] * ((target != start) - (source != start))
    s.runs[service, source] -= 1
    s.runs[service, target] += 1
    s.places[service, g.location[source]] -= 1
    s.places[service, g.location[target]] += 1
    s.near[service, g.neighbourhood[source]] -= 1
    s.near[service, g.neighbourhood[target]] += 1
    more = int(target != start) - int(source != start)
    if more != 0:
        s.tally[s.moved[service]] -= 1
        s.moved[service] += more
        s.tally[s.moved[service]] += 1
        s.most[0] = max(s.most[0], s.moved[service])
        while s.most[0] > 0 and s.tally[s.most[0]] == 0:
            s.most[0] -= 1
    s.at[p] = target


@inlined
def total(g: Instance, s: State, p: Row, q: Row, source: Row, target: Row) -> int:
    """All that a move or an exchange between two machines can change."""
    found = machine_cost(g, s, source) + machine_cost(g, s, target) + move_cost(g, p, s.at[p])
    if q >= 0:
        found += move_cost(g, q, s.at[q])
    return found + g.weights[1] * s.most[0]


@inlined
def propose(g: Instance, s: State, p: Row, q: Row, target: Row, bar: float) -> int:
    """Do a move, or an exchange with `q`, unless it costs more than `bar`; what it changed, 0 where it was not done."""
    source = s.at[p]
    if source == target or (q >= 0 and g.service[p] == g.service[q]):
        return 0
    if not has_room(g, s, p, target, q) or not (q < 0 or has_room(g, s, q, source, p)):
        return 0
    if not may(g, s, p, target):
        return 0
    before = total(g, s, p, q, source, target)
    put(g, s, p, target)
    if q >= 0:
        if not may(g, s, q, source):
            put(g, s, p, source)
            return 0
        put(g, s, q, source)
    change = total(g, s, p, q, source, target) - before
    if change > bar:
        if q >= 0:
            put(g, s, q, target)
        put(g, s, p, source)
        return 0
    return change


@compiled
def anneal(g: Instance, s: State, random: Words, heat: float, proposals: int) -> int:
    """Proposals at one temperature: two in five moves, one a return, the others exchanges. The change of cost."""
    found = 0
    for _ in range(proposals):
        choice, p = draw(random, 5), draw(random, s.at.size)
        q: Row = NOBODY if choice < 3 else draw(random, s.at.size)
        target: Row = draw(random, g.capacity.shape[0])
        if choice == 2:
            target = g.start[p]
        elif q != NOBODY:
            target = s.at[q]
        bar = -heat * np.log((draw(random, 1 << 30) + 0.5) / (1 << 30))
        found += propose(g, s, p, q, target, bar)
    return found


def solve(given: Instance, limit_s: float, seed: int) -> Ints:
    """The best found in so many seconds of wall time, from one seed."""
    s, random = begin(given), np.array([seed * 0x9E3779B97F4A7C15 % (1 << 64)], np.uint64)
    anneal(given, s, random, 0.0, 1)
    began = time.monotonic()
    scale = cost(given, given.start) / len(given.service)
    now = cost(given, s.at)
    best, least = s.at.copy(), now
    while (share := (time.monotonic() - began) / limit_s) < 1:
        now += anneal(given, s, random, scale * HOT * (COLD / HOT) ** share, CHUNK)
        if now < least:
            best, least = s.at.copy(), now
    return best


def race(given: Instance, limit_s: float, cores: int) -> Ints:
    """One seed per core side by side; the cheapest feasible solution."""
    with ThreadPoolExecutor(cores) as pool:
        found = list(pool.map(lambda seed: solve(given, limit_s, seed), range(1, cores + 1)))
    return min((at for at in found if not broken(given, at)), key=lambda at: cost(given, at), default=given.start)
