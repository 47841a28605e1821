"""In which order? From where VMs are and where they should be: moves of which every prefix is feasible, relief first.

Where each of the moves left waits for another one's room, a VM is parked on a third host, as planners of disk and data
migrations do: once at most, and it goes on in the same plan. The two moves are one journey, and its rest begins when
the journey ends; a VM that rests begins none. What cannot be reached even so is left out, and so are moves at the end
that cost more than they gain.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vmctl.decide.search.compiled import compiled
from vmctl.decide.search.moves import NOBODY, ROUNDING, STILL_AS_GOOD, apply_move, fits, may_go, total_gain
from vmctl.decide.search.state import Floats, Ints, SearchState
from vmctl.model.plans import Move


@compiled
def at_once(b: SearchState, vm: int, goal: Ints) -> float:
    """What a VM's move to its goal gains now; minus infinity where it has to wait."""
    return total_gain(b, vm, goal[vm]) if fits(b, vm, goal[vm], NOBODY) else -np.inf


@compiled
def best_step(b: SearchState, left: Ints, goal: Ints, gains: Floats) -> int:
    """The place in `left` of the VM whose move to its goal gains most now; -1 where none can go.

    `gains` are what the moves gained when they were last looked at: of those that could go, only the best is looked at
    anew, until it is still about as good; those that had to wait are all looked at.
    """
    for place in range(left.size):
        if gains[place] == -np.inf:
            gains[place] = at_once(b, left[place], goal)
    while left.size:
        place = int(gains[: left.size].argmax())
        before, gains[place] = gains[place], at_once(b, left[place], goal)
        if before == -np.inf:
            break
        if gains[place] >= before - (1 - STILL_AS_GOOD) * abs(before) - ROUNDING:
            return place
    return -1


@compiled
def parking(b: SearchState, left: Ints, parked: Ints) -> tuple[int, int]:
    """The cheapest VM that can make room by waiting elsewhere, and where; (-1, -1) where none can."""
    best, who, where = np.inf, NOBODY, NOBODY
    for vm in left:
        if parked[vm] or b.vms[vm].cost[2] >= best:
            continue
        for host in range(b.hosts.size - 1):
            if host != b.vms[vm].at and may_go(b, vm, host):
                best, who, where = b.vms[vm].cost[2], vm, host
                break
    return who, where


@compiled
def sequence(b: SearchState, goal: Ints) -> tuple[Ints, Ints, Floats]:
    """VMs, targets and gains in order; `b` is left as it is after the last of them."""
    left = np.array([vm for vm in range(b.vms.size) if b.vms[vm].at != goal[vm]], np.int64)
    vms, targets, gains = np.zeros(2 * left.size, np.int64), np.zeros(2 * left.size, np.int64), np.zeros(2 * left.size)
    parked, steps, known = np.zeros(b.vms.size, np.int64), 0, np.full(left.size, -np.inf)
    while left.size:
        place = best_step(b, left, goal, known)
        if place >= 0:
            vm, target, last = left[place], goal[left[place]], left.size - 1
            left[place], known[place] = left[last], known[last]
            left = left[:last]
        else:
            vm, target = parking(b, left, parked)
            if vm == NOBODY:
                break
            parked[vm] = 1
        gains[steps] = total_gain(b, vm, target)
        vms[steps], targets[steps] = vm, target
        apply_move(b, vm, target)
        steps += 1
    return vms[:steps], targets[:steps], gains[:steps]


def waves(sources: list[str], targets: list[str]) -> list[int]:
    """For each move the wave it can be part of: moves of one wave share no host, and keep their order otherwise."""
    busy: dict[str, int] = {}
    found = []
    for source, target in zip(sources, targets, strict=True):
        wave = 1 + max(busy.get(source, 0), busy.get(target, 0))
        busy[source] = busy[target] = wave
        found.append(wave)
    return found


def in_waves(moves: list[Move]) -> tuple[Move, ...]:
    """The same moves in the same order, each with its wave."""
    order = waves([move.source for move in moves], [move.target for move in moves])
    return tuple(replace(move, wave=wave) for move, wave in zip(moves, order, strict=True))
