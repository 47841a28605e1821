"""Which moves even a cluster out, and which are left alone and why."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.decide.clusters import (
    EAGER,
    POLICY,
    ROUNDING,
    after,
    broken_pairs,
    cluster,
    clusters,
    host,
    named,
    refused,
    rested,
    total,
    vm,
)
from vmctl.decide import score
from vmctl.decide.fit import refusal
from vmctl.decide.rebalance import curve, held_back, rebalance
from vmctl.decide.search.state import price
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostState
from vmctl.model.plans import Budget
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, PowerState, VMLoad

HOT = host("kvm1", 3.6, 2048)
COLD = host("kvm2", 0.2)
BUSY = vm("busy", "kvm1", 1.5)
CALM = vm("calm", "kvm1", 0.02)


def moves(*members: Host | VM, **policy: Any) -> list[str]:
    plan = rebalance(cluster(*members), Policy(**policy))
    return [f"{move.vm}: {move.source} -> {move.target}" for move in plan.moves]


def test_the_busy_vm_leaves_the_hot_host() -> None:
    plan = rebalance(cluster(HOT, COLD, BUSY, CALM), POLICY)
    (move,) = plan.moves
    assert (move.vm, move.source, move.target, move.mem_mib) == ("busy", "kvm1", "kvm2", 512)
    assert move.why == "kvm1 has 90% of its CPU in use; after: 52%"
    assert plan.why == f"1 move: score {score.total(plan.before):.3f} -> {score.total(plan.after):.3f}"
    assert move.gain == pytest.approx(2 * (score.total(plan.before) - score.total(plan.after)))
    assert move.score == pytest.approx(score.total(plan.after))
    assert move.cost == price(BUSY, POLICY)


def test_the_reason_names_what_is_short() -> None:
    full = host("kvm1", 0.4, 7000)
    (move,) = rebalance(cluster(full, COLD, vm("fat", "kvm1", 0.1, 3000, mem_mib=3000)), POLICY).moves
    assert move.why == "kvm1 has 85% of its memory in use; after: 49%"
    stalled = host("kvm1", 1.0, psi_io=0.6)
    (move,) = rebalance(cluster(stalled, COLD, vm("web1", "kvm1", 0.5)), POLICY).moves
    assert move.why == "kvm1 stalls 60% on disks; after: 45%"


def test_an_even_cluster_is_left_alone() -> None:
    plan = rebalance(cluster(host("kvm1", 1.2), host("kvm2", 1.0), vm("web1", "kvm1", 0.1)), POLICY)
    assert plan.moves == ()
    assert plan.why.startswith("even enough: score 0.0") and plan.why.endswith("is below 0.100")


def test_a_move_must_be_worth_its_cost() -> None:
    assert moves(HOT, COLD, BUSY) == ["busy: kvm1 -> kvm2"]
    plan = rebalance(cluster(HOT, COLD, BUSY), Policy(price_per_move=10.0))
    assert plan.moves == () and plan.why.startswith("no move is worth its cost: score ")
    assert plan.stays[0].startswith("nothing on kvm1 is worth moving: best gain -")
    assert plan.stays[0].endswith("% < 10.0% margin")


def test_the_dearer_of_two_equal_moves_is_not_taken() -> None:
    fat = vm("fat", "kvm1", 1.5, 256, mem_mib=4096)
    assert moves(HOT, COLD, fat, BUSY, weight_promised=0.0) == ["busy: kvm1 -> kvm2"]


def test_a_plan_ends_at_its_limit() -> None:
    guests = [vm(f"web{n}", "kvm1", 0.4) for n in range(8)]
    assert len(moves(HOT, COLD, *guests)) == 4
    assert len(rebalance(cluster(HOT, COLD, *guests), POLICY, Budget(gib=1.0)).moves) == 2
    assert len(rebalance(cluster(HOT, COLD, *guests), POLICY, Budget(minutes=2 * 0.5 / 60 + 0.001)).moves) == 2
    assert len(moves(HOT, COLD, *guests, max_moves=2)) == 2


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (replace(BUSY, power=PowerState.PAUSED), "it does not run"),
        (replace(BUSY, host="kvm9"), "it does not run"),
        (replace(BUSY, spec=replace(BUSY.spec, pinned=True)), "it is pinned"),
        (replace(BUSY, busy=True), "a task holds it"),
        (replace(BUSY, load=None), "its load is not known"),
        (replace(BUSY, load=VMLoad(1.5, 256, age_s=31.0)), "its load is not known"),
        (replace(BUSY, moved_s_ago=60.0), "it moved 60 s ago and rests for 600 s"),
    ],
)
def test_a_vm_that_is_held_back_says_why(changed: VM, why: str) -> None:
    found = cluster(HOT, COLD, changed)
    assert held_back(changed, found, POLICY) == why
    plan = rebalance(found, POLICY)
    assert plan.moves == () and plan.stays == (f"busy stays: {why}",)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (replace(HOT, state=HostState.UNKNOWN), "kvm1 is unknown"),
        (replace(HOT, draining=True), "kvm1 is draining"),
        (replace(HOT, load=None), "its load has not been measured yet"),
        (host("kvm1", 3.6, age_s=99.0), "its load is 99 s old, more than 30 s"),
    ],
)
def test_a_host_that_holds_its_vms_back_says_why(source: Host, why: str) -> None:
    assert held_back(BUSY, cluster(source, COLD, BUSY), POLICY) == why


def test_a_vm_whose_rest_is_over_may_move() -> None:
    assert held_back(replace(BUSY, moved_s_ago=600.0), cluster(HOT, COLD), POLICY) is None


def test_a_vm_that_no_host_can_take_says_so() -> None:
    plan = rebalance(cluster(HOT, replace(COLD, cpus=1, draining=True), BUSY), POLICY)
    assert plan.stays == ("nothing on kvm1 is worth moving: no other host can take its VMs",)


def test_a_move_takes_the_place_that_an_earlier_one_frees() -> None:
    """kvm2 is full of `fat`; only after that one left has it the memory for `busy`."""
    hosts = (HOT, host("kvm2", 0.4, 7000), host("kvm3", 2.0))
    fat, busy = vm("fat", "kvm2", 0.2, 6000, mem_mib=6000), vm("busy", "kvm1", 1.5, 1000, mem_mib=4000)
    found = cluster(*hosts, fat, busy)
    plan = rebalance(found, POLICY)
    assert [(move.vm, move.target) for move in plan.moves] == [("fat", "kvm3"), ("busy", "kvm2")]
    assert refused(found, plan.moves) == []
    assert refused(found, plan.moves[1:]) != [], "on its own the second move would not fit"


def test_two_stalled_hosts_do_not_play_ping_pong() -> None:
    """Neither host stalls less for what it hands to the other."""
    found = cluster(host("kvm1", 2.0, psi_io=0.6), host("kvm2", 2.0, psi_io=0.58), vm("web1", "kvm1", 0.5))
    assert rebalance(found, POLICY).moves == ()


# -- of any cluster


@given(clusters())
def test_a_plan_leaves_the_snapshot_alone_and_is_the_same_twice(found: Cluster) -> None:
    before = repr(found)
    assert rebalance(found, EAGER) == rebalance(found, EAGER)
    assert repr(found) == before


@given(clusters())
def test_every_prefix_is_feasible_and_the_whole_is_worth_its_price(found: Cluster) -> None:
    plan = rebalance(found, EAGER)
    assert refused(found, plan.moves, EAGER) == []
    count = sum(score.is_counted(member, EAGER) for member in found.hosts)
    net = 0.0
    for number, move in enumerate(plan.moves):
        before, then = after(found, plan.moves[:number]), after(found, plan.moves[: number + 1])
        assert count * (total(before, EAGER) - total(then, EAGER)) == pytest.approx(move.gain, abs=ROUNDING)
        assert move.score == pytest.approx(total(then, EAGER), abs=ROUNDING)
        assert move.cost == price(named(found, move.vm), EAGER)
        net += move.gain - move.cost
    assert not plan.moves or net >= EAGER.min_gain - ROUNDING
    moved = [move.vm for move in plan.moves]
    assert all(moved.count(name) <= 2 for name in moved), "once, or twice when it made room in between"


@given(clusters(most_hosts=4, most_vms=6), st.integers(1, 6))
def test_an_interrupted_plan_is_gone_on_with_and_ends_no_worse(found: Cluster, done: int) -> None:
    plan = rebalance(found, EAGER)
    stopped = after(found, plan.moves[:done])
    again = rebalance(stopped, EAGER)
    count = sum(score.is_counted(member, EAGER) for member in found.hosts)
    rest = count * total(after(found, plan.moves), EAGER) + sum(move.cost for move in plan.moves[done:])
    margin = EAGER.min_gain * (1 + len(plan.moves))  # what a run leaves on the table by its margin per move
    ends = count * total(after(stopped, again.moves), EAGER) + sum(move.cost for move in again.moves)
    assert ends <= rest + margin


@given(clusters())
def test_moves_of_one_wave_share_no_host_and_waves_go_up_per_host(found: Cluster) -> None:
    seen: dict[str, int] = {}
    for move in rebalance(found, EAGER).moves:
        for name in (move.source, move.target):
            assert seen.get(name, 0) < move.wave
            seen[name] = move.wave


def test_the_curve_shows_what_each_budget_buys() -> None:
    guests = [vm(f"web{n}", "kvm1", 0.4) for n in range(8)]
    plans = list(curve(cluster(HOT, COLD, *guests), POLICY))
    assert [len(plan.moves) for plan in plans] == [1, 2, 4, 4]
    scores = [score.total(plan.after) for plan in plans]
    assert scores == sorted(scores, reverse=True)


@given(clusters())
def test_apart_and_together_hold_after_every_prefix(found: Cluster) -> None:
    plan = rebalance(found, EAGER)
    for number in range(len(plan.moves) + 1):
        assert broken_pairs(after(found, plan.moves[:number])) <= broken_pairs(found)


@given(clusters())
def test_only_vms_that_may_move_do(found: Cluster) -> None:
    for move in rebalance(found, EAGER).moves:
        guest = named(found, move.vm)
        assert guest.power is PowerState.RUNNING and not guest.busy and not guest.spec.pinned
        assert guest.load is not None and guest.load.age_s <= EAGER.max_age_s
        assert guest.moved_s_ago is None or guest.moved_s_ago >= EAGER.cooldown_s
        for end in (found.host(move.source), found.host(move.target)):
            assert end is not None and end.state is HostState.ONLINE and not end.draining
            assert end.load is not None and end.load.age_s <= EAGER.max_age_s


@given(clusters(), st.floats(0, 16), st.integers(0, 16384))
def test_what_is_stale_decides_nothing(found: Cluster, cpu: float, used: int) -> None:
    def other_numbers(member: Host) -> Host:
        if member.load is None or member.load.age_s <= EAGER.max_age_s:
            return member
        return replace(member, load=replace(member.load, cpu=cpu, mem_used_mib=used, psi_io=cpu / 16))

    changed = replace(found, hosts=tuple(map(other_numbers, found.hosts)))
    assert rebalance(found, EAGER).moves == rebalance(changed, EAGER).moves


@given(clusters())
def test_a_second_run_on_the_result_finds_nothing(found: Cluster) -> None:
    moved = rebalance(found, EAGER).moves
    assert rebalance(rested(after(found, moved), moved, 5.0), EAGER).moves == ()


@given(clusters())
def test_without_rest_it_still_comes_to_rest(found: Cluster) -> None:
    for _ in range(4):
        plan = rebalance(found, EAGER)
        if not plan.moves:
            return
        better = rested(after(found, plan.moves), plan.moves, 9e9)
        assert total(better, EAGER) < total(found, EAGER)
        found = better
    raise AssertionError("it moves and moves")


@given(clusters(), st.randoms(use_true_random=False))
def test_the_order_of_hosts_and_vms_does_not_matter(found: Cluster, random: Random) -> None:
    hosts, guests = list(found.hosts), list(found.vms)
    random.shuffle(hosts)
    random.shuffle(guests)
    one, other = rebalance(found, EAGER), rebalance(Cluster(tuple(hosts), tuple(guests)), EAGER)
    assert (one.moves, one.why, one.before, one.after) == (other.moves, other.why, other.before, other.after)
    assert sorted(one.stays) == sorted(other.stays)


@given(clusters(most_hosts=4, most_vms=6))
def test_the_coolest_plan_is_as_good_as_any_single_move(found: Cluster) -> None:
    start = score.hottest(found, POLICY)
    plan = rebalance(found, POLICY, Budget(moves=1, coolest=True))
    reached = score.hottest(after(found, plan.moves), POLICY)
    least = start
    for guest in found.vms:
        if guest.host and held_back(guest, found, POLICY) is None:
            for there in found.hosts:
                if there.name != guest.host and refusal(guest, there, found, POLICY) is None:
                    least = min(least, score.hottest(score.moved(found, guest, there.name, POLICY), POLICY))
    assert len(plan.moves) <= 1 and reached <= start
    assert reached <= least + (start - least) * 0.002 + 1e-3


def test_the_hottest_host_is_told_before_and_after() -> None:
    plan = rebalance(cluster(HOT, COLD, BUSY, CALM), POLICY, Budget(coolest=True))
    assert plan.why == "2 moves: the hottest host 90.0% -> 52.0%"
    assert sorted(move.vm for move in plan.moves) == ["busy", "calm"]
    even = rebalance(cluster(host("kvm1", 1.0), host("kvm2", 1.0)), POLICY, Budget(coolest=True))
    assert not even.moves and even.why.startswith("no plan makes the hottest host cooler")
