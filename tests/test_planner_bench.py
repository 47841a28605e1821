"""What the planner's bench measures with: clusters as promised, sums that agree with hbal's, rules that can be done."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.planner import clusters, ganeti_tools, loads, ours, rules, week
from tests.bench.planner.tables import RULES, Rule, fewest
from vmctl.decide import score
from vmctl.model.plans import Budget, Move
from vmctl.model.vms import VM, Spec

CLUSTER, POLICY = clusters.make(10, 60, 1)
GIVEN = loads.of(CLUSTER)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cluster_is_as_it_was_promised(seed: int) -> None:
    given = loads.of(clusters.make(20, 200, seed)[0])
    carried = given.per_host()
    used = (loads.PROMISED, loads.CPU, loads.MEM, loads.DISK, loads.NET)
    assert carried[:, used].mean(axis=0) == pytest.approx([0.65, 0.45, 0.65, 0.30, 0.30], abs=1e-3)
    assert (given.demand[:, used].max(axis=0) <= np.array([0.25, 0.2, 0.25, 0.2, 0.2]) + 1e-6).all()
    assert carried[:, loads.PROMISED].max() <= 1.0
    assert (carried.sum(axis=1) == 0).sum() == 2, "a tenth of the hosts is empty"


def test_a_seed_makes_one_cluster_and_another_another() -> None:
    assert clusters.make(10, 60, 1) == (CLUSTER, POLICY)
    assert clusters.make(10, 60, 2)[0] != CLUSTER


def test_our_sums_are_the_programs_and_hbals() -> None:
    assert GIVEN.score() == pytest.approx(score.total(score.terms(CLUSTER, POLICY)), abs=1e-9)
    peer = ganeti_tools.hbal(CLUSTER, POLICY)
    assert peer.start == pytest.approx(GIVEN.score(), abs=1e-6)
    assert peer.moves[-1].score == pytest.approx(GIVEN.after(peer.moves).score(), abs=1e-6)
    assert ganeti_tools.hbal(CLUSTER, POLICY, most=3).moves == peer.moves[:3]


def test_hail_names_a_host() -> None:
    assert ganeti_tools.hail(CLUSTER, POLICY, VM(Spec("new", "new", 4, 8192))).host in GIVEN.hosts


@pytest.mark.parametrize("name", RULES)
def test_the_moves_of_a_rule_can_be_done(name: str) -> None:
    rule: Rule = RULES[name]
    assert GIVEN.after(rule(GIVEN)).per_host()[:, loads.PROMISED].max() <= 1.0 + 1e-9


def test_proxlb_narrows_what_it_looks_at() -> None:
    after = GIVEN.after(rules.proxlb_again_and_again(GIVEN)).per_host()[:, loads.MEM]
    before = GIVEN.per_host()[:, loads.MEM]
    assert np.ptp(after) < np.ptp(before) / 2


def test_moves_that_cannot_be_done_are_noticed() -> None:
    vm, home = GIVEN.vms[0], GIVEN.hosts[GIVEN.homes[0]]
    elsewhere = next(name for name in GIVEN.hosts if name != home)
    with pytest.raises(ValueError, match="is not on"):
        GIVEN.after([Move(vm, elsewhere, home, "")])
    full = GIVEN.hosts[int(GIVEN.per_host()[:, loads.PROMISED].argmax())]
    with pytest.raises(ValueError, match="does not fit"):
        GIVEN.after(
            Move(name, GIVEN.hosts[host], full, "")
            for name, host in zip(GIVEN.vms, GIVEN.homes, strict=True)
            if GIVEN.hosts[host] != full
        )


def test_halving() -> None:
    assert fewest(lambda most: most >= 37, 100) == 37
    assert fewest(lambda most: True, 100) == 0
    assert fewest(lambda most: most > 100, 100) == "not with 100"


def test_a_simulated_day_moves_nothing_where_nothing_is_gained_and_obeys_links() -> None:
    asked = week.demand(GIVEN.demand[:, loads.CPU], 20, 1)
    still = week.live(GIVEN, asked, week.never)
    assert (still.moves, still.gib, still.again) == (0, 0.0, 0) and still.overload_min >= still.stall_min
    ours = week.live(GIVEN, asked, week.vmctl(CLUSTER, week.OURS))
    assert ours.moves > 0 and ours.again == 0 and ours.overload_min <= still.overload_min
    big = [Move(f"v{n}", "a", "b", "", mem_mib=110_000) for n in range(8)]
    assert [round(end) for _, end in week.timed(big)] == [101, 101, 202, 202, 303, 303, 404, 404]
    assert week.timed([Move("v", "a", "b", "", mem_mib=1 << 20)]) == [], "it would not end within the round"


def test_hbals_rule_is_hbal() -> None:
    peer = ganeti_tools.hbal(CLUSTER, POLICY)
    restated = week.hbal(GIVEN, np.zeros(0))
    assert GIVEN.after(restated[:5]).score() == pytest.approx(peer.moves[4].score, abs=1e-6)


@pytest.mark.parametrize("moves", [1, 3, 8, 15])
def test_ours_is_never_worse_than_hbal_at_as_many_moves(moves: int) -> None:
    peer = ganeti_tools.hbal(CLUSTER, POLICY).moves[:moves]
    plan = ours.plan(CLUSTER, POLICY, Budget(moves=moves))
    assert len(plan.moves) <= moves
    assert GIVEN.after(plan.moves).score() <= GIVEN.after(peer).score() + 1e-6
