"""The order of moves: every prefix is feasible, relief comes first, and one VM is parked where two change places."""

from __future__ import annotations

import numpy as np

from tests.decide.clusters import POLICY, cluster, host, refused, vm
from vmctl.decide import explain
from vmctl.decide.search.moves import begin
from vmctl.decide.search.order import sequence, waves
from vmctl.decide.search.state import build
from vmctl.model.cluster import Cluster
from vmctl.model.plans import Move


def ordered(found: Cluster, goal: dict[str, str]) -> tuple[Move, ...]:
    """The moves that bring the VMs where they should be."""
    made = build(found, POLICY)
    place = {host.name: row for row, host in enumerate(made.hosts)}
    targets = np.array([place[goal.get(one.name, one.host)] for one in made.vms], np.int64)
    steps = sequence(begin(made.state), targets)
    return explain.moves(made, begin(made.state), *steps, POLICY, 1.0)


FULL = (host("kvm1", 3.0, 0), host("kvm2", 0.5, 0), host("kvm3", 0.5, 0))
LEFT, RIGHT = vm("left", "kvm1", 2.0, 0, mem_mib=5000), vm("right", "kvm2", 0.1, 0, mem_mib=5000)


def test_two_that_change_places_use_a_third_host() -> None:
    found = cluster(*FULL, LEFT, RIGHT)
    plan = ordered(found, {"left": "kvm2", "right": "kvm1"})
    assert len(plan) == 3 and plan[0].target == "kvm3" and plan[-1].vm == plan[0].vm
    assert refused(found, plan) == []


def test_what_cannot_be_reached_is_left_out() -> None:
    found = cluster(*FULL[:2], LEFT, RIGHT)
    assert ordered(found, {"left": "kvm2", "right": "kvm1"}) == ()


def test_the_greatest_relief_comes_first() -> None:
    small, busy = vm("small", "kvm1", 0.2, 0), vm("busy", "kvm1", 1.5, 0)
    plan = ordered(cluster(*FULL, small, busy), {"small": "kvm2", "busy": "kvm3"})
    assert [move.vm for move in plan] == ["busy", "small"]
    assert plan[0].gain > plan[1].gain
    assert plan[0].score > plan[1].score


def test_moves_side_by_side_share_no_host() -> None:
    assert waves(["a", "c", "a", "b"], ["b", "d", "c", "d"]) == [1, 1, 2, 2]
