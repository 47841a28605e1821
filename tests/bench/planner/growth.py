"""How plans and placements grow with a cluster, from 10 hosts to 5,000: times, memory, and the exponent of growth."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tests.bench import meter
from tests.bench.planner import clusters, loads
from vmctl.decide.place import place_row
from vmctl.decide.rebalance import rebalance
from vmctl.decide.search.moves import begin
from vmctl.decide.search.spare import anywhere
from vmctl.decide.search.state import build
from vmctl.decide.search.warm import warm
from vmctl.model.cluster import Cluster
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, Spec

if TYPE_CHECKING:
    from tests.bench.planner.tables import ClusterValue

SIZES = ((10, 100), (20, 200), (50, 1000), (100, 2000), (200, 4000), (500, 10000), (1000, 20000), (5000, 30000))
BURST = 1000  # VMs of 2 vCPUs and 4 GiB


@dataclass(frozen=True)
class Placing:
    """One VM after another, each where any one host may still die (N+1)."""

    placed: int
    median_ms: float
    p99_ms: float
    whole_s: float  # with the arrays


def table(setting: ClusterValue) -> None:
    """Plans and placements from 10 to 5,000 hosts: CPU seconds, memory, and the exponent of growth."""
    warm()
    print("\n| cluster | moves | score gone | plan, CPU s | RSS, MiB | a place: median, p99, ms | burst, CPU s |")
    print("|---|---|---|---|---|---|---|")
    sizes = setting.sizes or SIZES
    spent = []
    for size in sizes:
        cluster, policy = clusters.make(*size, setting.seeds[0])
        plan, cpu_s = meter.own(partial(rebalance, cluster, policy), 1, warm_up=False)
        given = loads.of(cluster)
        gone = 1 - given.after(plan.moves).score() / given.score()
        mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        placing = places(cluster, policy)
        spent.append(cpu_s)
        each = f"{placing.median_ms:.2f}, {placing.p99_ms:.2f}"
        print(
            f"| {size[0]} x {size[1]} | {len(plan.moves)} | {gone:.1%} | {cpu_s:.2f} | {mib} | {each} "
            f"| {placing.whole_s:.2f} for {placing.placed} |",
            flush=True,
        )
    for begin_at, end_at in _spans(len(sizes)):
        hosts = np.array([size[0] for size in sizes[begin_at:end_at]], np.float64)
        exponent = float(np.polyfit(np.log(hosts), np.log(np.array(spent[begin_at:end_at])), 1)[0])
        print(
            f"CPU s of a plan grow with hosts^{exponent:.2f} from {sizes[begin_at][0]} to {sizes[end_at - 1][0]} hosts"
        )


def _spans(count: int) -> Iterator[tuple[int, int]]:
    """The whole, and where there is enough, its upper half."""
    if count > 1:
        yield 0, count
    if count > 3:
        yield count // 2 - 1, count


def places(cluster: Cluster, policy: Policy) -> Placing:
    """A burst of VMs, one by one on a live board."""
    policy = replace(policy, spare_host=True)
    new = tuple(VM(Spec(f"new{number}", f"new{number}", 2, 4096)) for number in range(BURST))
    began = time.process_time()
    named = build(cluster, policy, homeless=new)
    state = begin(named.state)
    free, times, placed = anywhere(state), [], 0
    for row in range(len(named.vms) - BURST, len(named.vms)):
        start = time.process_time()
        placed += place_row(state, row, policy, free) >= 0
        times.append((time.process_time() - start) * 1000)
    whole_s = time.process_time() - began
    return Placing(placed, float(np.median(times)), float(np.percentile(times, 99)), whole_s)
