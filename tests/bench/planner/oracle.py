"""How cool the hottest host can be with at most K moves, by an exact solver (CP-SAT); their order is left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from tests.bench.planner.loads import CPU, MEM, PROMISED, Loads

SCALE = 100_000  # shares as whole numbers
GAP = 0.001  # a better plan than by this share is not looked for


@dataclass(frozen=True)
class Coolest:
    """The largest share of CPU or memory on any host: `reached` by a plan, and no plan comes below `least`."""

    moves: int
    reached: float
    least: float
    cpu_s: float

    @property
    def proven(self) -> bool:
        """Whether no plan exists that is better by more than a thousandth."""
        return self.reached - self.least <= GAP * self.reached


def coolest(loads: Loads, moves: int, limit_s: float = 120.0) -> Coolest:
    """Solve it, on one core, within `limit_s` seconds of wall time."""
    model = cp_model.CpModel()
    vms, hosts = range(len(loads.vms)), range(len(loads.hosts))
    on = [[model.new_bool_var(f"{vm} on {host}") for host in hosts] for vm in vms]
    hottest = model.new_int_var(0, 100 * SCALE, "hottest")
    for vm in vms:
        model.add_exactly_one(on[vm])
    model.add(sum(on[vm][loads.homes[vm]] for vm in vms) >= len(loads.vms) - moves)
    shares = np.round(loads.demand * SCALE).astype(int)
    for host in hosts:
        for kind in (CPU, MEM):
            model.add(sum(int(shares[vm, kind]) * on[vm][host] for vm in vms) <= hottest)
        model.add(sum(int(shares[vm, PROMISED]) * on[vm][host] for vm in vms) <= SCALE)
    for vm in vms:
        for host in hosts:
            model.add_hint(on[vm][host], int(loads.homes[vm] == host))
    model.minimize(hottest)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.interleave_search = True  # its many ways by turns, in one thread
    solver.parameters.relative_gap_limit = GAP
    solver.parameters.max_time_in_seconds = limit_s
    solver.solve(model)
    return Coolest(moves, solver.objective_value / SCALE, solver.best_objective_bound / SCALE, solver.user_time)
