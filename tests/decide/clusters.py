"""Clusters for tests: short makers for one host or VM, and a hypothesis strategy for whole clusters."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

from hypothesis import strategies as st

from vmctl.decide import fit, score
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostLoad, HostState
from vmctl.model.jobs import Promised
from vmctl.model.plans import Move
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, Disk, PowerState, Spec, VMLoad

POLICY = Policy()
# Plans as long as they need to be, and an imbalance is never too small to be looked at.
EAGER = Policy(min_imbalance=0.0, max_moves=1000, min_gain=0.01, price_per_move=0.01)
# A spread is the root of a difference: what is rounded there by 1e-16 shows as 1e-8.
ROUNDING = 1e-7


def host(name: str, cpu: float = 0.0, used: int = 512, **more: Any) -> Host:
    """An online host of 4 CPUs and 8 GiB that reaches the storage `main`."""
    load = {key: more.pop(key) for key in ("psi_cpu", "psi_mem", "psi_io", "steal", "age_s") if key in more}
    values: dict[str, Any] = {"cpus": 4, "mem_mib": 8192, "storages": frozenset({"main"})}
    values["load"] = HostLoad(cpu, used, **load)
    return Host(name, **(values | more))


def vm(name: str, at: str = "", cpu: float | None = None, used: int = 256, **more: Any) -> VM:
    """A VM of 1 vCPU and 512 MiB: running and measured where `at` and `cpu` are given."""
    state: dict[str, Any] = {"power": PowerState.RUNNING if at else PowerState.STOPPED}
    state |= {key: more.pop(key) for key in ("power", "moving_to", "moved_s_ago", "busy", "adopted") if key in more}
    values: dict[str, Any] = {"cpus": 1, "mem_mib": 512, "disks": (Disk("main", f"/shared/{name}.qcow2"),)}
    spec = Spec(f"uuid of {name}", name, **(values | more))
    load = VMLoad(cpu, used) if cpu is not None else None
    return VM(spec, at, load=load, **state)


def cluster(*members: Host | VM) -> Cluster:
    """Hosts and VMs as one snapshot."""
    hosts = tuple(member for member in members if isinstance(member, Host))
    return Cluster(hosts, tuple(member for member in members if isinstance(member, VM)))


# -- any cluster

NAMES = ("kvm1", "kvm2", "kvm3", "kvm4", "kvm5")
FRACTIONS = st.integers(0, 100).map(lambda percent: percent / 100)
HOST_SIZES = st.sampled_from(((2, 2048), (4, 4096), (4, 8192), (8, 8192), (16, 16384)))
VM_SIZES = st.sampled_from(((1, 128), (1, 512), (2, 1024), (2, 2048), (4, 512)))
NOTHING: tuple[dict[str, Any], ...] = ({},) * 8
ODD_HOSTS: tuple[dict[str, Any], ...] = (
    {"jobs": Promised(2, 1, 512, 1, 256)},
    {"state": HostState.UNKNOWN},
    {"state": HostState.UNTRUSTED},
    {"draining": True},
    {"labels": {"rack": "a"}},
    {"labels": {"rack": "a"}, "psi_io": 0.4},
    {"storages": frozenset()},
    {"load": None},
    {"age_s": 300.0},
)
ODD_SPECS: tuple[dict[str, Any], ...] = (
    {"pinned": True},
    {"needs": {"rack": "a"}},
    {"apart": "db", "apart_by": "rack"},
    *({"prefer_apart": "web"}, {"prefer_together": "db"}, {"prefer_apart": "web", "apart_by": "rack"}),
    *({"apart": "web"}, {"apart": "db"}, {"together": "web"}, {"together": "db"}, {"apart": "web", "together": "db"}),
)
ODD_VMS: tuple[dict[str, Any], ...] = (
    {"busy": True},
    {"busy": True, "moving_to": "kvm1"},
    {"power": PowerState.PAUSED},
    {"power": PowerState.STARTING, "load": None},
    {"load": None},
    {"age_s": 300.0},
    {"moved_s_ago": 5.0},
    {"moved_s_ago": 5000.0},
)


@st.composite
def vms(draw: st.DrawFn, number: int, hosts: tuple[str, ...] = ()) -> VM:
    """A VM on one of the hosts or stopped; sometimes pinned, grouped, busy, resting, stale or unmeasured."""
    cpus, mem_mib = draw(VM_SIZES)
    more = draw(st.sampled_from((*NOTHING, *ODD_SPECS)))
    at = draw(st.sampled_from(("", *hosts * 3)))
    if not at:
        return vm(f"vm{number}", cpus=cpus, mem_mib=mem_mib, **more)
    odd: dict[str, Any] = dict(draw(st.sampled_from((*NOTHING, *ODD_VMS))))
    load = VMLoad(cpus * draw(FRACTIONS), int(mem_mib * draw(FRACTIONS)), odd.pop("age_s", 1.0))
    if odd.get("moving_to") == at:
        odd["moving_to"] = ""
    return replace(vm(f"vm{number}", at, cpus=cpus, mem_mib=mem_mib, **more), **({"load": load} | odd))


@st.composite
def clusters(draw: st.DrawFn, most_hosts: int = 5, most_vms: int = 8) -> Cluster:
    """Any cluster, measured as hosts measure: what a host uses is what its VMs use and something beside."""
    names = NAMES[: draw(st.integers(1, most_hosts))]
    found = tuple(draw(vms(number, names)) for number in range(draw(st.integers(1, most_vms))))
    return Cluster(tuple(draw(_hosts(name, found)) for name in names), found)


@st.composite
def _hosts(draw: st.DrawFn, name: str, guests: tuple[VM, ...]) -> Host:
    cpus, mem_mib = draw(HOST_SIZES)
    odd = draw(st.sampled_from((*NOTHING, *ODD_HOSTS)))
    loads = [guest.load for guest in guests if guest.host == name and guest.load]
    cpu = sum(load.cpu for load in loads) + draw(FRACTIONS)
    used = sum(load.mem_mib for load in loads) + int(mem_mib * draw(FRACTIONS) / 2)
    return host(name, cpu, used, **({"cpus": cpus, "mem_mib": mem_mib, "psi_cpu": draw(FRACTIONS)} | odd))


# -- what plans do


def after(start: Cluster, moves: tuple[Move, ...], policy: Policy = POLICY) -> Cluster:
    """The cluster as it is expected to be after these moves."""
    for move in moves:
        start = score.moved(start, named(start, move.vm), move.target, policy)
    return start


def named(found: Cluster, name: str) -> VM:
    """The VM of that name."""
    return next(member for member in found.vms if member.name == name)


def total(found: Cluster, policy: Policy = POLICY) -> float:
    """A cluster's score."""
    return score.total(score.terms(found, policy))


def refused(start: Cluster, moves: tuple[Move, ...], policy: Policy = POLICY) -> list[str]:
    """The moves that break a rule at their turn, with the rule's words."""
    found = []
    for number, move in enumerate(moves):
        before = after(start, moves[:number], policy)
        target = before.host(move.target)
        assert target is not None
        no = fit.refusal(named(before, move.vm), target, before, policy)
        if no is not None or named(before, move.vm).host != move.source:
            found.append(f"{move}: {no}")
    return found


def broken_pairs(found: Cluster) -> set[tuple[str, str, str]]:
    """Pairs of VMs on one host that must be apart, or on two that must be together."""
    placed = [member for member in found.vms if member.host]
    pairs = set()
    for one, other in combinations(placed, 2):
        same = one.host == other.host
        if same and one.spec.apart and one.spec.apart == other.spec.apart:
            pairs.add(("apart", one.name, other.name))
        if not same and one.spec.together and one.spec.together == other.spec.together:
            pairs.add(("together", one.name, other.name))
    return pairs


def rested(found: Cluster, moves: tuple[Move, ...], seconds: float) -> Cluster:
    """The cluster with the moved VMs' last move so long ago."""
    moved = {move.vm for move in moves}
    return replace(
        found,
        vms=tuple(replace(member, moved_s_ago=seconds) if member.name in moved else member for member in found.vms),
    )
