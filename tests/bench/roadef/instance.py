"""An instance of the challenge as arrays: its two text files read, and a small one made by chance for tests.

The format is that of the challenge's subject: numbers in a fixed order, in sections. R resources, M machines, S
services, P processes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Instance(NamedTuple):
    """One instance; machines, services and processes by number."""

    transient: Flags  # (R) what a process that leaves holds on both machines
    load_weight: Ints  # (R)
    neighbourhood: Ints  # (M)
    location: Ints  # (M)
    capacity: Ints  # (M, R)
    safety: Ints  # (M, R)
    move_cost: Ints  # (M, M)
    spread: Ints  # (S) in how many locations each service must be
    needs: Ints  # (pairs, 2) service, and one that must be in each neighbourhood where it is
    service: Ints  # (P)
    size: Ints  # (P, R)
    process_cost: Ints  # (P)
    balance: Ints  # (B, 4) two resources, the target, the weight
    weights: Ints  # (3) of moved processes, of the most moved service, of machines' move costs
    start: Ints  # (P) machine of each process


class _Words:
    def __init__(self, text: str) -> None:
        self._words, self._at = np.array(text.split(), np.int64), 0

    def one(self) -> int:
        return int(self.many(1)[0])

    def many(self, count: int) -> Ints:
        found = self._words[self._at : self._at + count]
        if len(found) < count:
            raise ValueError("the instance ends too early")
        self._at += count
        return found

    def rest(self) -> int:
        return len(self._words) - self._at


def read(model: str, assignment: str) -> Instance:
    """An instance from the texts of its two files. Raises ValueError."""
    words = _Words(model)
    resources = words.many(2 * (kinds := words.one())).reshape(kinds, 2)
    count = words.one()
    machines = words.many(count * (2 + 2 * kinds + count)).reshape(count, -1)
    spread, needs = [], []
    for service in range(words.one()):
        spread.append(words.one())
        needs += [(service, int(other)) for other in words.many(words.one())]
    processes = words.many((many := words.one()) * (kinds + 2)).reshape(many, -1)
    balance = [np.concatenate((words.many(3), words.many(1))) for _ in range(words.one())]
    weights = words.many(3)
    start = np.array(assignment.split(), np.int64)
    if words.rest() or len(start) != many:
        raise ValueError("the instance has more numbers than it should, or its assignment has not one per process")
    return Instance(
        resources[:, 0] == 1,
        resources[:, 1].copy(),
        machines[:, 0].copy(),
        machines[:, 1].copy(),
        machines[:, 2 : 2 + kinds].copy(),
        machines[:, 2 + kinds : 2 + 2 * kinds].copy(),
        machines[:, 2 + 2 * kinds :].copy(),
        np.array(spread, np.int64),
        np.array(needs, np.int64).reshape(len(needs), 2),
        processes[:, 0].copy(),
        processes[:, 1 : 1 + kinds].copy(),
        processes[:, -1].copy(),
        np.array(balance, np.int64).reshape(len(balance), 4),
        weights.copy(),
        start,
    )


def write(given: Instance) -> tuple[str, str]:
    """The texts of its two files."""
    lines = [str(len(given.transient))]
    lines += [f"{int(one)} {weight}" for one, weight in zip(given.transient, given.load_weight, strict=True)]
    lines.append(str(len(given.capacity)))
    columns = (given.neighbourhood[:, None], given.location[:, None], given.capacity, given.safety, given.move_cost)
    lines += [" ".join(map(str, row)) for row in np.hstack(columns)]
    lines.append(str(len(given.spread)))
    for service, spread in enumerate(given.spread):
        needs = given.needs[given.needs[:, 0] == service, 1]
        lines.append(" ".join(map(str, (spread, len(needs), *needs))))
    lines.append(str(len(given.service)))
    rows = np.hstack((given.service[:, None], given.size, given.process_cost[:, None]))
    lines += [" ".join(map(str, row)) for row in rows]
    lines.append(str(len(given.balance)))
    lines += [f"{first} {second} {target}\n{weight}" for first, second, target, weight in given.balance]
    lines.append(" ".join(map(str, given.weights)))
    return "\n".join(lines) + "\n", " ".join(map(str, given.start)) + "\n"


def make(machines: int, processes: int, seed: int) -> Instance:
    """A small feasible instance by chance: two resources, the first transient; services of one to three processes."""
    chance = np.random.default_rng(seed)
    service = np.sort(chance.integers(0, max(1, processes // 2), processes))
    service = np.unique(service, return_inverse=True)[1].astype(np.int64)
    size = chance.integers(1, 50, (processes, 2))
    start = np.zeros(processes, np.int64)
    for one in range(processes):
        taken = start[:one][service[:one] == service[one]]
        start[one] = chance.choice([machine for machine in range(machines) if machine not in taken])
    used = np.zeros((machines, 2), np.int64)
    np.add.at(used, start, size)
    capacity = used + chance.integers(20, 120, (machines, 2))
    neighbourhood, location = chance.integers(0, 2, machines), chance.integers(0, 3, machines)
    where = [set(location[start[service == one]]) for one in range(service.max() + 1)]
    near = [set(neighbourhood[start[service == one]]) for one in range(service.max() + 1)]
    pairs = [(a, b) for a in range(len(near)) for b in range(len(near)) if a != b and near[a] <= near[b]]
    needs = np.array([pair for pair in pairs if chance.random() < 0.05], np.int64).reshape(-1, 2)
    return Instance(
        np.array([True, False]),
        np.array([100, 70], np.int64),
        neighbourhood,
        location,
        capacity,
        (capacity * 0.6).astype(np.int64),
        chance.integers(0, 20, (machines, machines)) * (1 - np.eye(machines, dtype=np.int64)),
        np.array([chance.integers(0, len(one)) for one in where], np.int64),
        needs,
        service,
        size,
        chance.integers(1, 20, processes),
        np.array([(0, 1, 2, 5)], np.int64),
        np.array([1, 10, 1], np.int64),
        start,
    )
