"""What a solution costs and which constraint it breaks, counted plainly: the judge of every search."""

from __future__ import annotations

import numpy as np

from tests.bench.roadef.instance import Instance, Ints


def cost(given: Instance, at: Ints) -> int:
    """The objective of the challenge."""
    used = np.zeros_like(given.capacity)
    np.add.at(used, at, given.size)
    total = int((np.maximum(0, used - given.safety).sum(axis=0) * given.load_weight).sum())
    free = given.capacity - used
    for first, second, target, weight in given.balance:
        total += int(weight * np.maximum(0, target * free[:, first] - free[:, second]).sum())
    moved = at != given.start
    total += int(given.weights[0] * given.process_cost[moved].sum())
    total += int(given.weights[1] * np.bincount(given.service[moved], minlength=1).max())
    return total + int(given.weights[2] * given.move_cost[given.start, at].sum())


def broken(given: Instance, at: Ints) -> str:
    """The first constraint that the solution breaks, in words; empty: none."""
    used, held = np.zeros_like(given.capacity), np.zeros_like(given.capacity)
    np.add.at(used, at, given.size)
    moved = at != given.start
    np.add.at(held, given.start[moved], given.size[moved] * given.transient)
    if (used + held > given.capacity).any():
        return "a machine is overfull"
    pairs = np.stack((given.service, at), axis=1)
    if len(np.unique(pairs, axis=0)) < len(pairs):
        return "two processes of a service share a machine"
    for service, least in enumerate(given.spread):
        if len(set(given.location[at[given.service == service]])) < least:
            return f"service {service} is in too few locations"
    near = [set(given.neighbourhood[at[given.service == service]]) for service in range(len(given.spread))]
    for service, other in given.needs:
        if not near[service] <= near[other]:
            return f"service {service} is where {other} is not"
    return ""
