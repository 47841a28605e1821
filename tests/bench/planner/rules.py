"""What other balancers do, each restated from its documentation in a few lines: no code of theirs, and no I/O.

Each is given the arrays of a cluster and returns its moves in order. All know memory and CPU only. None asks whether a
VM fits; here a host without room for a VM's memory is no target, in their favour.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from tests.bench.planner.loads import CPU, MEM, PROMISED, Floats, Loads
from vmctl.model.plans import Move


class SearchState:
    """A cluster under change: who is where, and what every host carries."""

    def __init__(self, loads: Loads) -> None:
        self.loads = loads
        self.homes = loads.homes.copy()
        self.carried = loads.per_host()
        self.moves: list[Move] = []

    def fits(self, vm: int, target: int) -> bool:
        """Whether the target has room for the VM's memory."""
        return bool(self.carried[target, PROMISED] + self.loads.demand[vm, PROMISED] <= 1.0 + 1e-9)

    def move(self, vm: int, target: int, why: str) -> None:
        """Do it."""
        source = self.homes[vm]
        self.carried[source] -= self.loads.demand[vm]
        self.carried[target] += self.loads.demand[vm]
        self.homes[vm] = target
        names = self.loads.hosts
        size = int(self.loads.mem_mib[vm])
        self.moves.append(Move(self.loads.vms[vm], names[source], names[target], why, mem_mib=size))

    def shifted(self, vm: int, target: int) -> Floats:
        """What the hosts would carry."""
        after = self.carried.copy()
        after[self.homes[vm]] -= self.loads.demand[vm]
        after[target] += self.loads.demand[vm]
        return after


def proxlb(loads: Loads, balanciness: float = 0.10, resource: int = MEM) -> list[Move]:
    """ProxLB: while the most and the least used host differ by more than `balanciness`, a guest of the most used one
    goes to the least used one; each guest is looked at once, in the order of the list.

    `balanciness` is a share of a host (its default is 10 %).
    """
    state = SearchState(loads)
    for vm in range(len(loads.vms)):
        use = state.carried[:, resource]
        most, least = int(use.argmax()), int(use.argmin())
        if use[most] - use[least] <= balanciness:
            break
        if state.homes[vm] == most and state.fits(vm, least):
            state.move(vm, least, "ProxLB")
    return state.moves


def proxlb_again_and_again(loads: Loads, balanciness: float = 0.05, resource: int = MEM, most: int = 50) -> list[Move]:
    """ProxLB run after run, as its daemon does, until a run moves nothing or `most` runs are done."""
    moves: list[Move] = []
    for _ in range(most):
        more = proxlb(loads, balanciness, resource)
        if not more:
            break
        moves += more
        loads = loads.after(more)
    return moves


def watcher(loads: Loads, threshold: float = 0.2, full_search: bool = False, seed: int = 1) -> list[Move]:
    """OpenStack Watcher's workload_stabilization: where a deviation of CPU or memory is above the threshold, price one
    random target for each VM (or all of them), sort by the sum of deviations, and take from the top what lowers it,
    until one of the deviations is below the threshold. Prices are those of the beginning.
    """
    state, chance = SearchState(loads), random.Random(seed)
    both = [CPU, MEM]
    if (state.carried[:, both].std(axis=0) <= threshold).all():
        return []
    cases: list[tuple[float, int, int]] = []
    for vm in range(len(loads.vms)):
        others = [host for host in range(len(loads.hosts)) if host != state.homes[vm]]
        targets = others if full_search else [chance.choice(others)]
        priced = [(float(state.shifted(vm, host)[:, both].std(axis=0).sum()), vm, host) for host in targets]
        cases.append(min(priced))
    least = 1.0
    for _, vm, host in sorted(cases):
        deviations = state.shifted(vm, host)[:, both].std(axis=0)
        if deviations.sum() < least and state.fits(vm, host):
            least = float(deviations.sum())
            state.move(vm, host, "Watcher")
        if (deviations < threshold).any():
            break
    return state.moves


@dataclass(frozen=True)
class Paced:
    """Moves one at a time, and how long they take."""

    moves: list[Move]
    minutes: float


def proxmox(loads: Loads, threshold: float = 0.3, margin: float = 0.10, link_mib_s: float = 1000.0) -> Paced:
    """Proxmox VE's own balancer (9.2): when the imbalance was above the threshold for three rounds of 10 s, the one
    migration that lowers it most, if it does so by `margin`; and so on, one migration at a time.

    The imbalance is the coefficient of variation over hosts of the mean of CPU and memory in use.
    """
    state, seconds = SearchState(loads), 0.0
    while (now := _imbalance(state.carried)) > threshold:
        after = _offers(state)
        vm, target = np.unravel_index(int(after.argmin()), after.shape)
        if after[vm, target] > now * (1 - margin):
            break
        state.move(int(vm), int(target), "Proxmox VE")
        seconds += 30.0 + state.moves[-1].mem_mib / link_mib_s
    return Paced(state.moves, seconds / 60)


def _offers(state: SearchState) -> Floats:
    """The imbalance after each migration, a row per VM and a column per host; infinite where there is no room."""
    use = state.carried[:, [CPU, MEM]].mean(axis=1)
    shares = state.loads.demand[:, [CPU, MEM]].mean(axis=1)[:, None]
    count, mean, homes = len(use), use.mean(), state.homes
    squares = (use**2).sum() + 2 * shares * (use[None, :] - use[homes][:, None] + shares)
    after = np.sqrt(np.maximum(0.0, squares / count - mean**2)) / mean
    needs = state.loads.demand[:, PROMISED]
    after[state.carried[None, :, PROMISED] + needs[:, None] > 1.0 + 1e-9] = np.inf
    after[np.arange(len(homes)), homes] = np.inf
    return np.asarray(after)


def _imbalance(carried: Floats) -> float:
    use = carried[:, [CPU, MEM]].mean(axis=1)
    return float(use.std() / use.mean()) if use.mean() > 0 else 0.0
