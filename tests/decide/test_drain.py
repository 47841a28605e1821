"""Emptying a host: who goes where, who cannot and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.decide.clusters import NAMES, POLICY, after, broken_pairs, cluster, clusters, host, named, refused, vm
from vmctl.decide.drain import drain
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host
from vmctl.model.plans import Plan
from vmctl.model.vms import PowerState

HOSTS = (host("kvm1", 1.0), host("kvm2", 0.5), host("kvm3", 0.2))


def marked(found: Cluster, name: str) -> Cluster:
    """The cluster with that host draining, as the plan sees it."""
    return replace(found, hosts=tuple(replace(h, draining=h.draining or h.name == name) for h in found.hosts))


def ways(plan: Plan) -> list[str]:
    return [f"{move.vm} -> {move.target}" for move in plan.moves]


def test_all_leave_the_largest_first() -> None:
    guests = (vm("small", "kvm1", 0.2), vm("large", "kvm1", 0.2, mem_mib=2048), vm("other", "kvm2", 0.2))
    plan = drain(cluster(*HOSTS, *guests), "kvm1", POLICY)
    assert ways(plan) == ["large -> kvm3", "small -> kvm2"]
    assert plan.why == "kvm1 is empty after 2 moves" and plan.stays == ()
    assert plan.moves[0].why.startswith("kvm1 is drained; kvm3: CPU 10%, memory ")


def test_an_empty_host_is_empty() -> None:
    assert drain(cluster(*HOSTS), "kvm1", POLICY).why == "kvm1 is empty after 0 moves"


def test_a_drain_asks_neither_pins_nor_rests() -> None:
    guests = (vm("pinned", "kvm1", 0.2, pinned=True), vm("rests", "kvm1", 0.2, moved_s_ago=1.0), vm("new", "kvm1"))
    assert len(drain(cluster(*HOSTS, *guests), "kvm1", POLICY).moves) == 3


@pytest.mark.parametrize(
    ("stuck", "why"),
    [
        (vm("stuck", "kvm1", busy=True), "a task holds it"),
        (vm("stuck", "kvm1", power=PowerState.STOPPED), "it is stopped"),
        (vm("stuck", "kvm2", moving_to="kvm1", busy=True), "a task holds it"),
        (
            vm("stuck", "kvm1", needs={"rack": "a"}),
            "kvm2: needs label rack=a, the host has rack=(none); kvm3: needs label rack=a, the host has rack=(none)",
        ),
    ],
)
def test_a_vm_that_cannot_leave_is_named_and_stops_nobody_else(stuck: object, why: str) -> None:
    plan = drain(cluster(*HOSTS, stuck, vm("web1", "kvm1", 0.2)), "kvm1", POLICY)  # type: ignore[arg-type]
    assert ways(plan) == ["web1 -> kvm3"]
    assert plan.stays == (f"stuck stays: {why}",)
    assert plan.why == "1 can leave kvm1, 1 cannot"


def test_the_only_host_cannot_be_emptied() -> None:
    plan = drain(cluster(HOSTS[0], vm("web1", "kvm1", 0.2)), "kvm1", POLICY)
    assert plan.stays == ("web1 stays: there is no other host",)


def test_a_paused_vm_stays_as_only_one_that_runs_migrates() -> None:
    plan = drain(cluster(*HOSTS, vm("web1", "kvm1", power=PowerState.PAUSED)), "kvm1", POLICY)
    assert plan.moves == () and plan.stays == ("web1 stays: it is paused",)


def test_a_group_leaves_for_one_host_that_has_room_for_all() -> None:
    """kvm3 is emptier and would take either alone."""
    small = host("kvm3", 0.0, mem_mib=4096)
    group = [vm(f"db{n}", "kvm1", 0.1, mem_mib=2048, together="db") for n in (1, 2)]
    plan = drain(cluster(HOSTS[0], HOSTS[1], small, *group), "kvm1", POLICY)
    assert ways(plan) == ["db1 -> kvm2", "db2 -> kvm2"]


def test_a_group_that_finds_no_room_stays_together() -> None:
    tight = [host(name, mem_mib=4096) for name in ("kvm2", "kvm3")]
    group = [vm(f"db{n}", "kvm1", 0.1, mem_mib=2048, together="db") for n in (1, 2)]
    plan = drain(cluster(HOSTS[0], *tight, *group), "kvm1", POLICY)
    assert plan.moves == ()
    short = "memory: needs 2112 MiB, 1216 of 3840 MiB left"
    reason = f"kvm2: db2: {short}; kvm3: db2: {short}"
    assert plan.stays == (f"db1 stays: {reason}", f"db2 stays: {reason}")


def test_a_group_waits_for_its_member_that_cannot_leave() -> None:
    group = (vm("db1", "kvm1", together="db", busy=True), vm("db2", "kvm1", 0.1, together="db"))
    plan = drain(cluster(*HOSTS, *group), "kvm1", POLICY)
    assert plan.moves == ()
    assert plan.stays == ("db1 stays: a task holds it", "db2 stays: it must be together with db1")


# -- of any cluster

ANY_NAME = st.sampled_from(NAMES)


@given(clusters(), ANY_NAME)
def test_every_prefix_of_a_drain_is_feasible(found: Cluster, name: str) -> None:
    before = repr(found)
    plan = drain(found, name, POLICY)
    assert repr(found) == before
    assert plan == drain(found, name, POLICY)
    assert refused(marked(found, name), plan.moves) == []
    assert all(move.source == name for move in plan.moves)


@given(clusters(), ANY_NAME)
def test_everybody_there_either_leaves_or_says_why_not(found: Cluster, name: str) -> None:
    plan = drain(found, name, POLICY)
    leaving = [move.vm for move in plan.moves]
    staying = [sentence.split(" ", 1)[0] for sentence in plan.stays]
    assert sorted(leaving + staying) == sorted(guest.name for guest in found.on(name))
    assert not any(named(found, gone).busy for gone in leaving)


@given(clusters(), ANY_NAME)
def test_groups_hold_when_a_drain_is_over(found: Cluster, name: str) -> None:
    plan = drain(found, name, POLICY)
    for number in range(len(plan.moves) + 1):
        now = after(found, plan.moves[:number])
        new = broken_pairs(now) - broken_pairs(found)
        assert {kind for kind, _, _ in new} <= {"together"}, "apart holds at every step"
        assert all(name in {named(now, pair[1]).host, named(now, pair[2]).host} for pair in new)
    assert broken_pairs(after(found, plan.moves)) <= broken_pairs(found)


@given(clusters(), ANY_NAME)
def test_a_second_drain_of_the_result_finds_nothing_more(found: Cluster, name: str) -> None:
    plan = drain(found, name, POLICY)
    again = drain(after(marked(found, name), plan.moves), name, POLICY)
    assert {move.vm for move in again.moves} & {move.vm for move in plan.moves} == set()
    homeless: list[Host] = [h for h in found.hosts if h.name == name]
    assert len(again.moves) <= len(plan.stays) and (homeless or not plan.moves)
