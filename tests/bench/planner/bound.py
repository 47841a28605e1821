"""How low hbal's score can be with at most K moves: a bound that is proven, not searched.

VMs may be split here, and room on hosts is ignored, so that the best of this is at least as good as any plan. The
score is a sum of norms; each norm is the largest of all linear functions below it. Any one choice of such functions
(`prices`: what one more unit on a host costs, per dimension) therefore lies below the score everywhere, and its
smallest value over all plans is found exactly: for each VM the cheapest host, and of these the K most profitable ones.
Frank-Wolfe steps look for good prices; the bound is the best value seen, and it holds however badly they were chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from tests.bench.planner.loads import Floats, Loads


@dataclass(frozen=True)
class Bound:
    """No plan of so many moves comes below `least`; split VMs reach `reached`, so that the truth is between them."""

    moves: int
    least: float
    reached: float


def bound(loads: Loads, moves: int, steps: int = 3000, close: float = 0.002) -> Bound:
    """The bound for plans of at most `moves` VMs. Stops when both ends are within `close`, or after `steps`."""
    carried, start = loads.per_host(), loads.per_host()
    least, reached = 0.0, _score(carried)
    smooth = 0.05  # where a norm is not smooth it is rounded; less and less
    for step in range(steps):
        prices = _prices(carried, smooth)
        corner, value = _cheapest(loads, start, prices, moves)
        least = max(least, value)
        carried = _toward(carried, corner)
        reached = min(reached, _score(carried))
        if reached - least <= close:
            break
        if step % 100 == 99:
            smooth = max(1e-4, smooth * 0.8)
    return Bound(moves, least, reached)


def _score(carried: Floats) -> float:
    return float(carried.std(axis=0).sum())


def _prices(carried: Floats, smooth: float) -> Floats:
    """The slope of each deviation; rounded, it is shorter, and a shorter one lies below the score as well."""
    away = carried - carried.mean(axis=0)
    return np.asarray(away / (len(carried) * np.sqrt((away**2).mean(axis=0) + smooth**2)))


def _cheapest(loads: Loads, start: Floats, prices: Floats, moves: int) -> tuple[Floats, float]:
    """The plan that is cheapest at these prices, as what hosts then carry, and its price."""
    cost = loads.demand @ prices.T
    numbers = np.arange(len(cost))
    profit = cost[numbers, loads.homes] - cost.min(axis=1)
    chosen = np.argsort(-profit)[:moves]
    corner = start.copy()
    np.subtract.at(corner, loads.homes[chosen], loads.demand[chosen])
    np.add.at(corner, cost[chosen].argmin(axis=1), loads.demand[chosen])
    return corner, float((start * prices).sum() - profit[chosen].sum())


def _toward(carried: Floats, corner: Floats) -> Floats:
    """The best point on the way to the corner."""
    way = corner - carried
    best = minimize_scalar(lambda part: _score(carried + part * way), bounds=(0.0, 1.0), method="bounded")
    part = float(best.x)
    return carried + part * way if _score(carried + part * way) < _score(carried) else carried + 1e-3 * way
