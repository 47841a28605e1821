"""The arrays and the compiled search agree with the reference in words: `score`, `fit`."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decide.clusters import EAGER, ROUNDING, clusters, total
from vmctl.decide import fit, score
from vmctl.decide.search.anneal import anneal, descend
from vmctl.decide.search.moves import NOBODY, affinity_gain, apply_move, begin, fits, objective, spread_gain
from vmctl.decide.search.state import IndexedCluster, SearchState, build
from vmctl.model.cluster import Cluster
from vmctl.model.policy import Policy

NOTHING_FREE = np.full(3, inf)
POLICY = Policy(weight_vcpus=0.3, weight_groups=0.2, class_overcommit={"guaranteed": 1.0})


def counted(found: Cluster) -> int:
    return max(1, sum(score.is_counted(member, POLICY) for member in found.hosts))


def records(state: SearchState) -> SearchState:
    """The same, with fields as attributes in plain Python too."""
    parts: list[Any] = [part.view(np.recarray) if part.dtype.names else part for part in state]
    return SearchState(*parts)


def rows(made: IndexedCluster, found: Cluster, guest: str, there: str) -> tuple[int, int]:
    vm = next(row for row, vm in enumerate(made.vms) if vm.name == guest)
    return vm, next(row for row, host in enumerate(made.hosts) if host.name == there)


@given(clusters(), st.data())
def test_a_gain_is_the_fall_of_the_score_for_each_host(found: Cluster, data: st.DataObject) -> None:
    made = build(found, POLICY)
    if not made.vms:
        return
    guest = data.draw(st.sampled_from(made.vms))
    if guest.load is None or guest.moving_to:
        return  # what is promised and not measured, or promised twice, is never moved
    there = data.draw(st.sampled_from(found.hosts))
    home = found.host(guest.host)
    assert home is not None
    if guest.host == there.name or not score.is_counted(there, POLICY) or not score.is_counted(home, POLICY):
        return
    state = begin(made.state)
    vm, target = rows(made, found, guest.name, there.name)
    expected = counted(found) * (total(found, POLICY) - total(score.moved(found, guest, there.name, POLICY), POLICY))
    wish = affinity_gain(state, vm, target, NOBODY)
    if wish > -inf:
        assert spread_gain(state, vm, target, NOBODY) + wish == pytest.approx(expected, abs=ROUNDING)
    before = objective(state)
    promised = spread_gain(state, vm, target, NOBODY)
    apply_move(state, vm, target)
    assert before - objective(state) == pytest.approx(promised, abs=ROUNDING)
    apply_move(state, vm, int(state.vms[vm]["home"]))
    assert objective(state) == pytest.approx(before, abs=ROUNDING), "and back again"


@given(clusters(), st.data())
def test_what_fits_is_what_no_rule_refuses(found: Cluster, data: st.DataObject) -> None:
    made = build(found, POLICY)
    state = begin(made.state)
    for guest in made.vms:
        for there in found.hosts:
            if there.name in (guest.host, guest.moving_to) or len(found.group("together", guest.spec.together)) > 1:
                continue
            vm, target = rows(made, found, guest.name, there.name)
            says = fits(state, vm, target, NOBODY) and affinity_gain(state, vm, target, NOBODY) > -inf
            assert says == (fit.refusal(guest, there, found, POLICY) is None)


@given(clusters())
def test_the_objective_is_the_score(found: Cluster) -> None:
    rows_of = dict(score.terms(found, POLICY))
    rows_of.pop("wishes")
    if any(score.is_counted(member, POLICY) for member in found.hosts):
        assert objective(begin(build(found, POLICY).state)) == pytest.approx(
            counted(found) * sum(rows_of.values()), abs=ROUNDING
        )


@settings(max_examples=10)
@given(clusters(most_hosts=3, most_vms=4))
def test_compiled_and_plain_python_find_the_same(found: Cluster) -> None:
    made = build(found, EAGER)
    if not made.vms:
        return
    fast, plain = begin(made.state), records(begin(made.state))
    descend(fast, made.price, NOTHING_FREE)
    descend.py_func(plain, made.price, NOTHING_FREE)  # type: ignore[attr-defined]
    assert list(fast.vms["at"]) == list(plain.vms["at"])
    anneal(fast, made.price, NOTHING_FREE, 300, 0.1, 0.01)
    anneal.py_func(plain, made.price, NOTHING_FREE, 300, 0.1, 0.01)  # type: ignore[attr-defined]
    assert list(fast.vms["at"]) == list(plain.vms["at"])


@given(clusters(), st.integers(0, 3))
def test_a_search_keeps_to_its_budget(found: Cluster, moves: int) -> None:
    made = build(found, EAGER)
    limit = np.array([moves, inf, inf])
    state = begin(made.state)
    descend(state, made.price, limit)
    anneal(state, made.price, limit, 2000, 0.1, 0.001)
    assert (state.vms["at"] != state.vms["home"]).sum() <= moves
