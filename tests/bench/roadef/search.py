"""Annealing on an instance of the challenge: the planner's way (moves and exchanges, priced from sums), and four ideas.

Big processes matter: of a thousand, a hundred are half of all load, so they are proposed more often than others.

Exchanges are between processes of a like size in all resources: few others fit, and few others are worth trying. The
one that makes room may also go on to a third machine, above all to where it began, where what is transient is held for
it anyway (the chains of Gavranović, Buljubašić and Demirović, "Variable neighborhood search for Google machine
reassignment problem", 2012: the challenge's winner, S41).

Room is soft: nineteen moves of twenty would find none, and the way to a better packing leads over a fuller machine.
What is too much has a price, which rises as the search cools.

The price also rises while there is more excess than is usual so hot, and falls when there is less ("strategic
oscillation", Glover 1977), so the search ends on the border, where the best feasible solutions are.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.bench.roadef.board import Board, begin, fare, may, put, rise, settle
from tests.bench.roadef.instance import Instance, Ints
from tests.bench.roadef.judge import broken, cost
from vmctl.decide.search.anneal import Words, draw
from vmctl.decide.search.compiled import compiled, inlined
from vmctl.decide.search.moves import Row

ROUNDS = 2  # anneals one after the other: some end in a poor place whatever time they have
CHUNK = 20_000  # proposals between two looks at the clock
HOT, COLD = 3.0, 0.01  # first and last temperature, as shares of the cost of a process at the start
LOW, HIGH = 10.0, 300.0  # first and last price of a unit of excess, where one of load costs 1
FIRMER = 1.02  # the price's factor after a chunk with too much excess
CROWDED = 20.0  # how much excess is not too much: what costs so many times the temperature, falling to none at the end
MOVES, RETURNS = 0.05, 0.05  # shares of all proposals; the others are exchanges
CHAINS = 0.7  # share of exchanges that go on to a third machine
NOWHERE = -1
ALIKE = 1000  # so many processes of a like size are known to each


def by_size(given: Instance) -> tuple[Ints, Ints]:
    """Processes, the largest first; for each, the others, those most alike first."""
    size = given.size * given.load_weight
    alike = [np.argsort(np.abs(size - one).sum(axis=1), kind="stable")[1 : ALIKE + 1] for one in size]
    return np.argsort(-size.sum(axis=1), kind="stable"), np.stack(alike)


@inlined
def unit(random: Words) -> float:
    """A number between 0 and 1, never 0."""
    return (draw(random, 1 << 30) + 0.5) / (1 << 30)


@inlined
def allowed(b: Board, p: Row, q: Row, target: Row, third: Row) -> bool:
    """What can be told at a glance; `may` tells the rest."""
    if target == b.at[p] or target == third or b.service[p] == b.service[q]:
        return False
    return bool(b.runs[b.service[p], target] == 0 and (third < 0 or b.runs[b.service[q], third] == 0))


@inlined
def change(b: Board, p: Row, q: Row, target: Row, third: Row, price: float, bar: float) -> float:
    """What a step changes on its machines; infinite where it is clearly above the bar."""
    nobody, source = b.at.size - 1, b.at[p]
    found = rise(b, target, p, q, price)
    if found - b.load[source] - price * b.excess[source] > bar:
        return float(np.inf)  # however much the source gains; that a third gains (a balance) is too rare to look at
    if third == source:
        return found + rise(b, source, q, p, price)
    if third >= 0:
        found += rise(b, third, q, nobody, price)
    return found + rise(b, source, nobody, p, price)


@inlined
def propose(b: Board, p: Row, q: Row, target: Row, third: Row, price: float, bar: float) -> bool:
    """Move p to a machine, and q from there to a third (nowhere: q is nobody), unless that costs more than the bar."""
    if not allowed(b, p, q, target, third):
        return False
    source, before = b.at[p], b.sums[0]
    bar -= change(b, p, q, target, third, price, bar)
    least = fare(b, p, target) - fare(b, p, source) + fare(b, q, third) - fare(b, q, target) - b.crowd_weight[0]
    if least > bar or not may(b, p, target):
        return False
    put(b, p, target)
    fine = True
    if third >= 0:
        fine = may(b, q, third)
        if fine:
            put(b, q, third)
    if not fine or b.sums[0] - before > bar:
        if third >= 0 and fine:
            put(b, q, target)
        put(b, p, source)
        return False
    settle(b, source)
    settle(b, target)
    if third >= 0 and third != source:
        settle(b, third)
    return True


@inlined
def onward(b: Board, random: Words, q: Row, source: Row) -> Row:
    """Where the process goes that makes room for one from `source`: there, home or anywhere."""
    if unit(random) >= CHAINS:
        return source
    home = b.start[q]
    if home not in (source, b.at[q]) and draw(random, 2) == 0:
        return home
    return draw(random, b.over.shape[0])


@compiled
def anneal(
    b: Board,
    random: Words,
    largest: Ints,
    alike: Ints,
    heat: float,
    price: float,
    proposals: int,
    best: Ints,
    least: Ints,
) -> None:
    """Proposals at one temperature; the cheapest feasible solution so far is kept in `best`, its cost in `least`."""
    nobody = b.at.size - 1
    for _ in range(proposals):
        p = largest[int(nobody * unit(random) ** 2)]
        q, kind = nobody, unit(random)
        third: Row = NOWHERE
        if kind < MOVES:
            target = draw(random, b.over.shape[0])
        elif kind < MOVES + RETURNS and b.at[p] != b.start[p]:
            target = b.start[p]
        else:
            q = alike[p, int(alike.shape[1] * unit(random) ** 4)]
            target, third = b.at[q], onward(b, random, q, b.at[p])
        bar = -heat * np.log(unit(random))
        if propose(b, p, q, target, third, price, bar) and b.sums[1] == 0 and b.sums[0] < least[0]:
            least[0] = b.sums[0]
            best[:] = b.at[:nobody]


def solve(given: Instance, limit_s: float, seed: int) -> Ints:
    """The best found in so many seconds of wall time, from one seed."""
    began = time.monotonic()
    b, random = begin(given), np.array([seed * 0x9E3779B97F4A7C15 % (1 << 64)], np.uint64)
    largest, alike = by_size(given)
    best, least, firm = given.start.copy(), b.sums[:1].copy(), 1.0
    scale = int(least[0]) / len(best)
    while (passed := (time.monotonic() - began) / limit_s) < 1:
        share = passed * ROUNDS % 1
        heat, price = scale * HOT * (COLD / HOT) ** share, LOW * (HIGH / LOW) ** share
        crowded = b.sums[1] * price * firm > CROWDED * heat * (1 - share)
        firm = firm * FIRMER if crowded else max(1.0, firm / FIRMER)
        anneal(b, random, largest, alike, heat, price * firm, CHUNK, best, least)
    return best


def race(given: Instance, limit_s: float, cores: int) -> Ints:
    """One seed per core side by side; the cheapest feasible solution."""
    with ThreadPoolExecutor(cores) as pool:
        found = list(pool.map(lambda seed: solve(given, limit_s, seed), range(1, cores + 1)))
    return min((at for at in found if not broken(given, at)), key=lambda at: cost(given, at), default=given.start)
