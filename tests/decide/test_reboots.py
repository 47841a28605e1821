"""Rolling reboots: hosts in few groups, every move feasible, and why a host cannot be emptied."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.decide.clusters import POLICY, after, broken_pairs, cluster, clusters, host, named, refused, vm
from vmctl.decide import fit
from vmctl.decide.drain import cannot_leave
from vmctl.decide.reboots import Reboots, reboots
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostState
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, PowerState

PLAIN = Policy(cpu_overcommit=8.0, mem_reserve_mib=0, vm_overhead_mib=0)
GIB = 1024


def empty(name: str, gib: int = 8, **more: Any) -> Host:
    """A host that uses nothing for itself."""
    return host(name, used=0, mem_mib=gib * GIB, **more)


def asked(*members: Host | VM) -> Reboots:
    return reboots(cluster(*members), PLAIN)


def ways(found: Reboots) -> list[tuple[tuple[str, ...], list[str]]]:
    return [(group.hosts, [f"{move.vm} -> {move.target}" for move in group.moves]) for group in found.groups]


# -- by head


def test_empty_hosts_are_rebooted_at_once() -> None:
    found = asked(empty("kvm1"), empty("kvm2"))
    assert ways(found) == [(("kvm1", "kvm2"), [])]
    assert found.why == "2 hosts in 1 group, with 0 moves"


def test_half_full_hosts_take_turns() -> None:
    """Four hosts with 4 of 8 GiB each: two at once, and then the two that took their VMs."""
    found = asked(*(empty(f"kvm{n}") for n in range(4)), *(vm(f"web{n}", f"kvm{n}", mem_mib=4 * GIB) for n in range(4)))
    assert [len(group.hosts) for group in found.groups] == [2, 2]
    assert [len(group.moves) for group in found.groups] == [2, 4]
    assert found.stuck == () and found.why == "4 hosts in 2 groups, with 6 moves"


def test_a_full_host_waits_for_the_empty_one() -> None:
    found = asked(empty("kvm1"), empty("kvm2"), vm("web1", "kvm1", mem_mib=8 * GIB))
    assert ways(found) == [(("kvm2",), []), (("kvm1",), ["web1 -> kvm2"])]


@pytest.mark.parametrize(
    ("stays", "why"),
    [
        (vm("web1", "kvm1", pinned=True), "web1 stays: it is pinned"),
        (
            vm("web1", "kvm1", pinned=True, adopted=True),
            "web1 stays: what was found in its definition cannot migrate",
        ),
        (vm("web1", "kvm1", busy=True), "web1 stays: a task holds it"),
        (vm("web1", "kvm2", busy=True, moving_to="kvm1"), "web1 stays: a task holds it"),
        (vm("web1", "kvm1", power=PowerState.STARTING), "web1 stays: it is starting"),
    ],
)
def test_a_host_whose_vm_may_not_leave_is_named(stays: VM, why: str) -> None:
    found = asked(empty("kvm1"), empty("kvm2"), empty("kvm3"), stays, vm("other", "kvm3"))
    told = {stuck.host: (stuck.vm, stuck.why) for stuck in found.stuck}
    assert told["kvm1"] == ("web1", why)
    assert found.why.endswith(f"; {len(told)} cannot be emptied")
    assert ("kvm3" in told) is False


def test_a_silent_host_is_named() -> None:
    found = asked(empty("kvm1", state=HostState.UNKNOWN), empty("kvm2"))
    assert [(stuck.host, stuck.why) for stuck in found.stuck] == [("kvm1", "the host is unknown")]
    assert ways(found) == [(("kvm2",), [])]


def test_the_largest_that_finds_no_place_is_named_with_the_rules_that_say_no() -> None:
    guests = (vm("large", "kvm1", mem_mib=6 * GIB), vm("small", "kvm1", mem_mib=GIB))
    found = asked(empty("kvm1"), empty("kvm2", gib=4), empty("kvm3", storages=frozenset()), *guests)
    assert [(stuck.host, stuck.vm) for stuck in found.stuck] == [("kvm1", "large")]
    assert found.stuck[0].why == "large (6144 MiB) finds no place: memory (1 host), storage (1 host)"
    assert ways(found) == [(("kvm2", "kvm3"), [])]


def test_others_of_its_host_may_have_taken_its_place() -> None:
    guests = [vm(f"web{n}", "kvm1", mem_mib=3 * GIB) for n in (1, 2)]
    found = asked(empty("kvm1"), empty("kvm2", gib=4), *guests)
    assert found.stuck[0].why.endswith("finds no place with 1 more of kvm1 moved away: memory (1 host)")


def test_the_only_host_cannot_be_emptied() -> None:
    assert (
        asked(empty("kvm1"), vm("web1", "kvm1")).stuck[0].why == "web1 (512 MiB) finds no place: there is no other host"
    )


def test_a_group_leaves_for_one_host() -> None:
    db = [vm(f"db{n}", "kvm1", mem_mib=3 * GIB, together="db") for n in (1, 2)]
    found = asked(empty("kvm1"), empty("kvm2", gib=4), empty("kvm3", gib=4), empty("kvm4"), *db)
    targets = {move.target for group in found.groups for move in group.moves if move.source == "kvm1"}
    assert targets == {"kvm4"} and found.stuck == ()
    alone = asked(empty("kvm1"), empty("kvm2", gib=4), empty("kvm3", gib=4), *db)
    assert alone.stuck[0].why.endswith("(3072 MiB) finds no place: its group finds no place together")


def test_a_host_whose_only_refuge_others_would_take_goes_first() -> None:
    """picky may run on kvm1 and kvm3 only. Were kvm2 emptied first, to kvm1, picky had nowhere to go."""
    hosts = (empty("kvm1", labels={"disk": "fast"}), empty("kvm2"), empty("kvm3", labels={"disk": "fast"}))
    picky = vm("picky", "kvm3", mem_mib=6 * GIB, needs={"disk": "fast"})
    found = asked(*hosts, vm("plain", "kvm2", mem_mib=6 * GIB), picky)
    assert ways(found) == [
        (("kvm3",), ["picky -> kvm1"]),
        (("kvm1",), ["picky -> kvm3"]),
        (("kvm2",), ["plain -> kvm1"]),
    ]


def test_those_that_must_be_apart_stay_apart_in_racks() -> None:
    hosts = [empty(f"kvm{rack}{n}", labels={"rack": rack}) for rack in "ab" for n in (1, 2)]
    guests = [vm(f"web-{rack}", f"kvm{rack}1", apart="web", apart_by="rack") for rack in "ab"]
    found = asked(*hosts, *guests)
    assert found.stuck == ()
    assert all(move.source[:4] == move.target[:4] for group in found.groups for move in group.moves)


# -- of any cluster


def marked(found: Cluster, names: tuple[str, ...]) -> Cluster:
    """The cluster with those hosts draining, as the group's moves see it."""
    return replace(found, hosts=tuple(replace(h, draining=h.draining or h.name in names) for h in found.hosts))


@given(clusters())
def test_every_host_is_in_one_group_or_stuck(found: Cluster) -> None:
    before = repr(found)
    told = reboots(found, POLICY)
    assert repr(found) == before
    listed = [name for group in told.groups for name in group.hosts] + [stuck.host for stuck in told.stuck]
    assert sorted(listed) == sorted(member.name for member in found.hosts)
    assert all(stuck.why for stuck in told.stuck)


@given(clusters())
def test_each_group_is_empty_after_its_moves_and_every_rule_holds(found: Cluster) -> None:
    broken = broken_pairs(found)
    for group in reboots(found, POLICY).groups:
        assert refused(marked(found, group.hosts), group.moves, POLICY) == []
        assert all(move.source in group.hosts and move.target not in group.hosts for move in group.moves)
        assert not any(named(found, move.vm).busy or named(found, move.vm).spec.pinned for move in group.moves)
        found = after(found, group.moves, POLICY)
        assert all(found.on(name) == () for name in group.hosts)
        assert broken_pairs(found) <= broken


@given(clusters(), st.randoms(use_true_random=False))
def test_the_order_of_hosts_and_vms_does_not_matter(found: Cluster, random: Random) -> None:
    hosts, guests = list(found.hosts), list(found.vms)
    random.shuffle(hosts)
    random.shuffle(guests)
    assert reboots(found, POLICY) == reboots(Cluster(tuple(hosts), tuple(guests)), POLICY)


@given(clusters(most_vms=4))
def test_a_host_is_stuck_only_where_no_other_takes_its_only_vm(found: Cluster) -> None:
    first = found.hosts[0]
    guests = [guest for guest in found.vms if guest.host == first.name and not guest.moving_to][:1]
    only = replace(found, vms=tuple(guests))
    if not guests or first.name not in {stuck.host for stuck in reboots(only, POLICY).stuck}:
        return
    others = [other for other in only.hosts if other.name != first.name]
    nowhere = all(fit.refusal(guests[0], other, only, POLICY) for other in others)
    assert nowhere or first.state is not HostState.ONLINE or cannot_leave(guests[0], first.name, pinned_stay=True)
