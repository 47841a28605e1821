"""The parts of the bench: each prints one table, its rows in one run and one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from statistics import median

from tests.bench import meter
from tests.bench.planner import clusters, ganeti_tools, growth, loads, ours, rules
from tests.bench.planner import week as lived
from tests.bench.planner.cache import balanced
from vmctl.decide.rebalance import rebalance
from vmctl.formats import dump, ganeti
from vmctl.model.cluster import Cluster
from vmctl.model.plans import Budget, Move
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, Spec

Size = tuple[int, int]
Rule = Callable[[loads.Loads], Sequence[Move]]
RULES: dict[str, Rule] = {
    "ProxLB, memory, 10 %, once": rules.proxlb,
    "ProxLB, memory, 5 %, to its end": rules.proxlb_again_and_again,
    "ProxLB, CPU, 5 %, to its end": lambda given: rules.proxlb_again_and_again(given, resource=loads.CPU),
    "Watcher, one random target": rules.watcher,
    "Watcher, all targets": lambda given: rules.watcher(given, full_search=True),
    "Proxmox VE": lambda given: rules.proxmox(given).moves,
}


@dataclass(frozen=True)
class ClusterValue:
    """What a run is asked for. Sizes are (hosts, VMs), none: each part's own; `recorded` are dumps of real clusters
    instead; `solve_s` is the exact solver's limit, seconds of wall time."""

    sizes: tuple[Size, ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)
    rounds: int = 5
    cache: Path | None = None
    solve_s: float = 120.0
    recorded: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Row:
    """One way on one cluster."""

    name: str
    moves: int
    gib: float
    score: float
    hottest: float
    cpu_s: float

    def __str__(self) -> str:
        numbers = f"{self.moves:5} | {self.gib:6.0f} | {self.score:7.4f} | {self.hottest:6.3f} | {self.cpu_s:9.4f}"
        return f"| {self.name:42} | {numbers} |"


def row(name: str, given: loads.Loads, moves: Sequence[Move], cpu_s: float) -> Row:
    """A row measured by our own sums; moves that cannot be done end the bench."""
    after = given.after(moves)
    return Row(name, len(moves), gib(moves), after.score(), after.hottest(), cpu_s)


def gib(moves: Iterable[Move]) -> float:
    """Memory over the wire, GiB."""
    return sum(move.mem_mib for move in moves) / 1024


def cases(setting: ClusterValue, *sizes: Size) -> Iterator[tuple[str, Cluster, Policy, loads.Loads]]:
    """Every cluster, with its title; of these sizes where the run was not asked for others."""
    if setting.recorded:
        for path in setting.recorded:
            found, _ = dump.load(path.read_text())
            running = tuple(vm for vm in found.vms if vm.load and vm.host)
            cluster, policy = replace(found, vms=running), ganeti.policy()
            yield f"{path.name}: {len(found.hosts)} hosts, {len(running)} VMs", cluster, policy, loads.of(cluster)
        return
    for hosts, vms in setting.sizes or sizes:
        for seed in setting.seeds:
            cluster, policy = clusters.make(hosts, vms, seed)
            yield f"{hosts} hosts, {vms} VMs, seed {seed}", cluster, policy, loads.of(cluster)


FIRST = 60  # moves, of many more that hbal would find in hours
HEAD = """
| way                                        | moves |    GiB |   score | hottest |    CPU s |
|---|---|---|---|---|---|"""


def balance(setting: ClusterValue) -> None:
    """Whole plans: hbal's, the simple rules', ours freely and with no more than hbal's moves, and GiB."""
    for title, cluster, policy, given in cases(setting, (20, 200), (50, 1000)):
        print(f"\n{title}\n{HEAD}")
        print(Row("as it is", 0, 0.0, given.score(), given.hottest(), 0.0))
        peer = balanced(cluster, policy, setting.cache)
        print(row("hbal" + " (stopped)" * peer.late, given, peer.moves, peer.cpu_s))
        for name, rule in RULES.items():
            moves, cpu_s = meter.own(partial(rule, given), 1, warm_up=False)
            print(row(name, given, moves, cpu_s))
        count = len(peer.moves)
        budgets = {
            "": Budget(),
            f", at most {count} moves": Budget(moves=count),
            f", at most {count} moves, {gib(peer.moves):.0f} GiB": Budget(moves=count, gib=gib(peer.moves)),
        }
        for more, budget in budgets.items():
            print_ours(more, cluster, policy, given, budget, setting.rounds)
        _print_bound(given, count)


def first(setting: ClusterValue) -> None:
    """The first 60 moves among many hosts: hbal's, which take it long, and ours, planned for as many."""
    for title, cluster, policy, given in cases(setting, (100, 2000)):
        print(f"\n{title}, {FIRST} moves\n{HEAD}")
        peer = balanced(cluster, policy, setting.cache, FIRST, 7200.0)
        print(row("hbal" + " (stopped)" * peer.late, given, peer.moves, peer.cpu_s))
        for effort in (0.01, 1.0):
            words = f", effort {effort:g}"
            hasty = replace(policy, effort=effort)
            print_ours(words, cluster, hasty, given, Budget(moves=FIRST), setting.rounds)
        _print_bound(given, FIRST)


def steps(setting: ClusterValue) -> None:
    """Scores after K moves: hbal's plan cut off, ours planned for K, and the proven bound."""
    for title, cluster, policy, given in cases(setting, (50, 1000)):
        peer = balanced(cluster, policy, setting.cache)
        for count in sorted({max(1, len(peer.moves) * part // 4) for part in (1, 2, 3, 4)}):
            print(f"\n{title}, {count} moves\n{HEAD}")
            spent = peer.cpu_s * count / len(peer.moves)
            print(row("hbal (CPU: its share of the whole plan)", given, peer.moves[:count], spent))
            print_ours("", cluster, policy, given, Budget(moves=count), setting.rounds)
            _print_bound(given, count)


def reach(setting: ClusterValue) -> None:
    """How few moves reach hbal's last score: ours by halving, and the fewest that the bound allows."""
    for title, cluster, policy, given in cases(setting, (50, 1000)):
        peer = balanced(cluster, policy, setting.cache)
        goal = given.after(peer.moves).score()
        print(f"\n{title}: score {goal:.4f}, hbal {len(peer.moves)} moves")
        for name, planner in ours.PLANNERS.items():
            found = fewest(partial(_reaches, planner, cluster, policy, goal), 2 * len(peer.moves))
            print(f"  {name}: {found}")
        print(f"  no plan: with fewer than {fewest(partial(_may_reach, given, goal), len(peer.moves))}")


def _reaches(planner: ours.Planner, cluster: Cluster, policy: Policy, goal: float, most: int) -> bool:
    moves = planner(cluster, policy, Budget(moves=most)).moves
    return loads.of(cluster).after(moves).score() <= goal


def _may_reach(given: loads.Loads, goal: float, most: int) -> bool:
    from tests.bench.planner.bound import bound

    return bound(given, most, 600).least <= goal


def fewest(enough: Callable[[int], bool], most: int) -> int | str:
    """The smallest number that is enough, found by halving; in words where even `most` is not."""
    if not enough(most):
        return f"not with {most}"
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def hot(setting: ClusterValue) -> None:
    """The hottest host, 10 hosts with 100 VMs: hbal, ours, and the optimum of an exact solver."""
    from tests.bench.planner.oracle import coolest

    for title, cluster, policy, given in cases(setting, (10, 100)):
        print(f"\n{title}\n{HEAD}")
        print(Row("as it is", 0, 0.0, given.score(), given.hottest(), 0.0))
        peer = balanced(cluster, policy, setting.cache)
        print(row("hbal", given, peer.moves, peer.cpu_s))
        for count in (10, 20):
            for words, budget in (("", Budget(moves=count)), (", coolest", Budget(moves=count, coolest=True))):
                print_ours(f"{words}, at most {count} moves", cluster, policy, given, budget, setting.rounds)
            best = coolest(given, count, setting.solve_s)
            words = "the optimum" if best.proven else f"not below {best.least:.4f}"
            print(f"CP-SAT, {count} moves: {best.reached:.4f} ({words}) in {best.cpu_s:.1f} s")


def placing(setting: ClusterValue) -> None:
    """One new VM of 4 vCPUs and 8 GiB: hail with and without room for the VMs of a dead host, and ours."""
    vm = VM(Spec("new", "new", 4, 8192))
    print("\n| cluster | way | host | CPU s |\n|---|---|---|---|")
    for title, cluster, policy, _given in cases(setting, (20, 200), (100, 2000)):
        for words, spare in (("hail", False), ("hail, N+1", True)):
            runs = [ganeti_tools.hail(cluster, policy, vm, spare) for _ in range(1 if spare else 3)]
            host = "(stopped)" if runs[0].late else runs[0].host
            print(f"| {title} | {words} | {host} | {median(run.cpu_s for run in runs):.4f} |")
        host, cpu_s = meter.own(partial(ours.placed, cluster, policy, vm), setting.rounds)
        print(f"| {title} | vmctl | {host} | {cpu_s:.4f} |")


def space(setting: ClusterValue) -> None:
    """How many more VMs of 8 vCPUs and 32 GiB fit on empty hosts, by hspace, which keeps N+1."""
    print("\n| empty hosts | VMs | CPU s |\n|---|---|---|")
    for hosts in (3, 5, 10, 20, 50):
        found, cpu_s = ganeti_tools.hspace(hosts, 8, 32768)
        print(f"| {hosts} | {'(stopped)' if found is None else found} | {cpu_s:.3f} |")


def print_ours(more: str, cluster: Cluster, policy: Policy, given: loads.Loads, budget: Budget, rounds: int) -> None:
    """A row for each way of ours, timed after a warm-up."""
    for name, planner in ours.PLANNERS.items():
        plan, cpu_s = meter.own(partial(planner, cluster, policy, budget), rounds)
        print(row(name + more, given, plan.moves, cpu_s), flush=True)


def _print_bound(given: loads.Loads, count: int) -> None:
    from tests.bench.planner.bound import bound

    found, cpu_s = meter.own(partial(bound, given, count), 1, warm_up=False)
    print(f"no plan of {count} moves: below {found.least:.4f} (split VMs reach {found.reached:.4f}; {cpu_s:.1f} s)")


def pace(setting: ClusterValue) -> None:
    """Minutes until a plan is done on 10 GbE links: side by side, one at a time, and what no order can beat."""
    print("\n| cluster | moves | GiB | side by side | no order below | one at a time | Proxmox VE's pace |")
    print("|---|---|---|---|---|---|---|")
    for title, cluster, policy, _given in cases(setting, (20, 200), (50, 1000), (100, 2000)):
        moves = rebalance(cluster, policy, Budget(moves=3 * len(cluster.hosts))).moves
        together = max(end for _, end in lived.timed(moves, inf, at_once=1)) / 60
        wire = [move.mem_mib / lived.LINK_MIB_S / 60 for move in moves]
        alone = sum(wire) + len(moves) * lived.SWITCH_S / 60
        pve = sum(wire) + len(moves) * lived.PVE_ROUNDS_S / 60
        words = f"{together:.1f} | {least_min(moves):.1f} | {alone:.1f} | {pve:.1f}"
        print(f"| {title} | {len(moves)} | {gib(moves):.0f} | {words} |")


def least_min(moves: Sequence[Move]) -> float:
    """Minutes that the busiest direction of any link needs for its bytes alone."""
    bytes_of: dict[tuple[str, str], float] = {}
    for move in moves:
        for way in (("from", move.source), ("to", move.target)):
            bytes_of[way] = bytes_of.get(way, 0.0) + move.mem_mib
    return max(bytes_of.values()) / lived.LINK_MIB_S / 60


def week(setting: ClusterValue) -> None:
    """A simulated week of changing load, planned for every ten minutes: who overloads least, with how few moves."""
    head = "| way | overload, host-min | stall | moves | GiB | again within the hour | minutes per plan | CPU s |"
    for title, cluster, _policy, given in cases(setting, (100, 2000)):
        print(f"\n{title}\n\n{head}\n|---|---|---|---|---|---|---|---|")
        asked = lived.demand(given.demand[:, loads.CPU], lived.ROUNDS, 1)
        for name, planner in lived.planners(cluster).items():
            tally, cpu_s = meter.own(partial(lived.live, given, asked, planner), 1, warm_up=False)
            per_plan = tally.busy_min / max(1, tally.plans)
            suffered = f"{tally.overload_min:.0f} | {tally.stall_min:.0f}"
            spent = f"{tally.moves} | {tally.gib:.0f} | {tally.again} | {per_plan:.2f} | {cpu_s:.1f}"
            print(f"| {name} | {suffered} | {spent} |", flush=True)


PARTS: dict[str, Callable[[ClusterValue], None]] = {
    "balance": balance,
    "first": first,
    "steps": steps,
    "reach": reach,
    "hot": hot,
    "placing": placing,
    "space": space,
    "growth": growth.table,
    "pace": pace,
    "week": week,
}
