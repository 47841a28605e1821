"""N+1: whichever host dies, do its VMs still fit on the others?

They are placed one by one, the largest first, each where most memory is free. That finds a way nearly always when there
is one; where it finds none, some other packing might still exist, so a "no" is said on the safe side.
"""

from __future__ import annotations

import numpy as np

from vmctl.decide.search.compiled import compiled
from vmctl.decide.search.moves import NOBODY, apply_move, by_host, may_go
from vmctl.decide.search.state import Flags, Ints, SearchState


@compiled
def anywhere(b: SearchState) -> Flags:
    """Which VMs may run on every host: no rule but room stands in their way."""
    found = np.ones(b.vms.size, np.bool_)
    for row in range(b.vms.size):
        for host in range(b.hosts.size - 1):
            found[row] &= not b.hosts[host].counted or b.allowed[b.vms[row].kind, host]
        group = b.vms[row].group[0]
        found[row] &= group < 0 or b.group_weight[group] < np.inf
    return found


@compiled
def obvious(b: SearchState, host: int, here: Ints, free: Flags) -> bool:
    """Whether as many other hosts as there are VMs have each room for the largest of them: then all fit for sure."""
    mem, cores = 0.0, 0.0
    for vm in here:
        if not free[vm]:
            return False
        mem, cores = max(mem, b.vms[vm].need[0]), max(cores, b.vms[vm].need[1])
    found = 0
    for other in range(b.hosts.size - 1):
        row = b.hosts[other]
        if other != host and row.counted and row.room[0] - row.used[0] >= mem and row.room[1] - row.used[1] >= cores:
            found += 1
            if found >= here.size:
                return True
    return here.size == 0


@compiled
def roomiest(b: SearchState, vm: int, shut: Flags) -> int:
    """The host with most free memory that takes a VM, of those that are not shut; -1 where none does."""
    best, target = -np.inf, NOBODY
    for host in range(b.hosts.size - 1):
        room = b.hosts[host].room[0] - b.hosts[host].used[0]
        if not shut[host] and room > best and may_go(b, vm, host):
            best, target = room, host
    return target


@compiled
def homeless(b: SearchState, dead: Flags, here: Ints) -> Ints:
    """The VMs of dead hosts that find no other place; the state is as before afterwards."""
    lost, moved = np.zeros(here.size, np.int64), 0
    homes = np.array([b.vms[vm].at for vm in here], np.int64)
    for vm in here:
        target = roomiest(b, vm, dead)
        if target == NOBODY:
            lost[moved] = vm
            moved += 1
        else:
            apply_move(b, vm, target)
    for place in range(here.size):
        if b.vms[here[place]].at != homes[place]:
            apply_move(b, here[place], homes[place])
    return lost[:moved]


@compiled
def unsafe(b: SearchState, free: Flags) -> tuple[int, int]:
    """A host that may not die, and a VM that would then find no place; (-1, -1) when any one host may die."""
    first, vms = by_host(b)
    dead = np.zeros(b.hosts.size, np.bool_)
    for host in range(b.hosts.size - 1):
        here = vms[first[host] : first[host + 1]]
        if b.hosts[host].counted and not obvious(b, host, here, free):
            dead[host] = True
            lost = homeless(b, dead, here)
            dead[host] = False
            if lost.size:
                return host, lost[0]
    return NOBODY, NOBODY
