"""Each term of the score, and what a move is expected to do to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.decide.clusters import POLICY, ROUNDING, cluster, clusters, host, named, vm
from vmctl.decide import score
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostState
from vmctl.model.policy import Policy
from vmctl.model.vms import VMLoad


def term(name: str, found: Cluster, policy: Policy = POLICY) -> float:
    return dict(score.terms(found, policy))[name]


def test_even_hosts_score_nothing() -> None:
    rows = score.terms(cluster(host("kvm1", 1.0), host("kvm2", 1.0)), POLICY)
    assert rows == (*((name, 0.0) for name, _, _ in score.METRICS), ("wishes", 0.0))


def test_the_spreads_are_deviations_of_shares() -> None:
    found = cluster(host("kvm1", cpu=2.0, used=4096), host("kvm2"), vm("big", "kvm1", 1.0, mem_mib=4032))
    assert term("CPU spread", found) == pytest.approx(0.25)  # 50 % and 0 %
    assert term("memory spread", found) == pytest.approx(0.5 * (4096 - 512) / 8192)
    assert term("promised spread", found) == pytest.approx(0.5 * 0.25)  # 4096 of 8192, weight one half
    assert term("CPU spread", found, Policy(weight_cpu=3.0)) == pytest.approx(0.75)


def test_a_large_and_a_small_host_are_even_at_equal_shares() -> None:
    large = host("kvm2", cpu=8.0, used=5120, cpus=16, mem_mib=81920)
    assert score.total(score.terms(cluster(host("kvm1", cpu=2.0), large), POLICY)) == pytest.approx(0.0)


def test_use_above_the_band_is_overload() -> None:
    found = cluster(host("kvm1", cpu=3.6, used=8192), host("kvm2"))
    assert term("overload", found) == pytest.approx(4.0 * (0.1 + 0.2) / 2)
    assert term("overload", found, Policy(overload_above=1.0)) == 0.0


@pytest.mark.parametrize("kind", ["psi_cpu", "psi_mem", "psi_io", "steal"])
def test_the_worst_stall_of_any_kind_counts(kind: str) -> None:
    found = cluster(host("kvm1", 0.0, 512, **{kind: 0.3}), host("kvm2", psi_cpu=0.1))
    assert term("stall", found) == pytest.approx(2.0 * (0.3 + 0.1) / 2)


def test_a_stall_that_guests_suffer_from_counts_more() -> None:
    web = vm("web1", "kvm1", 0.5)
    assert web.load is not None
    sick = replace(web, load=replace(web.load, stall=0.4))
    hosts = (host("kvm1", 1.0, psi_cpu=0.3), host("kvm2", 1.0))
    assert term("stall", cluster(*hosts, web)) == pytest.approx(2.0 * 0.3 / 2)
    assert term("stall", cluster(*hosts, sick)) == pytest.approx(2.0 * 0.3 * 1.4 / 2)
    calm = (host("kvm1", 1.0), host("kvm2", 1.0))
    assert term("stall", cluster(*calm, sick)) == 0.0, "a guest that is short of what it has itself is no host's fault"


def test_wishes_that_are_not_met_are_counted_in_pairs() -> None:
    hosts = (host("kvm1", labels={"rack": "a"}), host("kvm2", labels={"rack": "a"}), host("kvm3"))
    web = [vm(f"web{n}", f"kvm{n}", 0.1, prefer_apart="web") for n in (1, 2, 3)]
    assert score.broken_wishes(cluster(*hosts, *web)) == 0
    racks = [replace(guest, spec=replace(guest.spec, apart_by="rack")) for guest in web]
    assert score.broken_wishes(cluster(*hosts, *racks)) == 1
    together = [vm(f"db{n}", "kvm1" if n < 3 else "kvm2", 0.1, prefer_together="db") for n in (1, 2, 3)]
    assert score.broken_wishes(cluster(*hosts, *together)) == 2
    assert term("wishes", cluster(*hosts, *together)) == pytest.approx(0.05 * 2 / 3)


def test_only_hosts_that_are_online_and_freshly_measured_count() -> None:
    even = (host("kvm1", 1.0), host("kvm2", 1.0))
    odd = host("kvm3", 4.0)
    assert score.total(score.terms(cluster(*even, odd), POLICY)) > 0.1
    for silent in (replace(odd, state=HostState.UNKNOWN), replace(odd, load=None), host("kvm3", 4.0, age_s=31.0)):
        assert score.total(score.terms(cluster(*even, silent), POLICY)) == 0.0


def test_no_hosts_score_nothing() -> None:
    assert score.total(score.terms(cluster(), POLICY)) == 0.0


def test_a_vm_not_yet_measured_counts_as_expected() -> None:
    found = cluster(host("kvm1", cpu=1.0, used=1024), vm("new", "kvm1", cpus=2, mem_mib=960))
    use = score.use(found.hosts[0], found, POLICY)
    assert (use.cpu, use.mem, use.promised) == ((1.0 + 2 * 0.25) / 4, (1024 + 960 + 64) / 8192, 1024 / 8192)


def test_a_measured_vm_is_in_its_hosts_load_already() -> None:
    found = cluster(host("kvm1", cpu=1.0, used=1024), vm("old", "kvm1", cpu=0.5))
    assert score.use(found.hosts[0], found, POLICY).cpu == 1.0 / 4


@given(clusters())
def test_the_rows_sum_to_the_score(found: Cluster) -> None:
    rows = score.terms(found, POLICY)
    assert [name for name, _ in rows] == [*(name for name, _, _ in score.METRICS), "wishes"]
    assert score.total(rows) == pytest.approx(sum(value for _, value in rows)) and score.total(rows) >= 0.0


# -- a move


def test_a_load_goes_along_with_its_vm() -> None:
    start = cluster(host("kvm1", 2.0, 2048), host("kvm2", 0.5, 512), host("kvm3"), vm("web1", "kvm1", 1.5, 1000))
    then = score.moved(start, start.vms[0], "kvm2", POLICY)
    loads = [(h.load.cpu, h.load.mem_used_mib) for h in then.hosts if h.load]
    assert loads == [(0.5, 1048), (2.0, 1512), (0.0, 512)]
    assert then.vms[0].host == "kvm2"


def test_a_new_vm_is_expected_where_it_is_put() -> None:
    start = cluster(host("kvm1"), host("kvm2"))
    then = score.moved(start, vm("new", cpus=2), "kvm2", POLICY)
    assert [member.name for member in then.on("kvm2")] == ["new"]
    assert score.use(then.hosts[1], then, POLICY).cpu == pytest.approx(0.5 / 4)


def stalls(start: Cluster, *ways: str) -> list[float]:
    """How much each host is expected to stall after the VM `busy` went these ways."""
    for way in ways:
        start = score.moved(start, named(start, "busy"), way, POLICY)
    return [round(score.use(member, start, POLICY).stall, 6) for member in start.hosts]


PAIR = (host("kvm1", 4.0, psi_cpu=0.4), host("kvm2", 1.0, psi_cpu=0.1))


def test_a_stall_eases_by_what_leaves_and_grows_by_what_arrives() -> None:
    start = cluster(*PAIR, vm("busy", "kvm1", 1.0))
    assert stalls(start) == [0.4, 0.1]
    assert stalls(start, "kvm2") == [0.2, 0.15]  # a quarter of a host less, and more


def test_going_in_a_circle_changes_nothing() -> None:
    start = cluster(*PAIR, host("kvm3", 0.1, psi_io=0.9), vm("busy", "kvm1", 1.0))
    assert stalls(start, "kvm3", "kvm2", "kvm1") == stalls(start)
    assert stalls(start, "kvm2", "kvm3") == stalls(start, "kvm3")


def test_a_vm_that_seems_to_use_more_than_its_host_is_no_way_out_of_a_stall() -> None:
    start = cluster(host("kvm1", 0.5, psi_cpu=0.4), host("kvm2"), vm("busy", "kvm1", 3.0))
    assert stalls(start, "kvm2") == [0.0, 0.0]
    assert stalls(start, "kvm2", "kvm1") == stalls(start)


def test_a_host_without_cpu_use_keeps_its_stall() -> None:
    start = cluster(host("kvm1", 0.0, psi_io=0.4), host("kvm2"), vm("busy", "kvm1", 0.0))
    assert stalls(start, "kvm2") == [0.4, 0.0]


@given(clusters(), st.data())
def test_there_and_back_again_scores_the_same(found: Cluster, data: st.DataObject) -> None:
    guest, there = data.draw(st.sampled_from(found.vms)), data.draw(st.sampled_from(found.hosts))
    if guest.host:
        away = score.moved(found, guest, there.name, POLICY)
        assert same(score.moved(away, named(away, guest.name), guest.host, POLICY), found)


def same(one: Cluster, other: Cluster) -> bool:
    """Equal scores, term by term, but for rounding."""
    rows = zip(score.terms(one, POLICY), score.terms(other, POLICY), strict=True)
    return all(a[0] == b[0] and a[1] == pytest.approx(b[1], abs=ROUNDING) for a, b in rows)


def test_the_same_place_is_no_move() -> None:
    start = cluster(Host("kvm1", load=host("kvm1", 1.0).load), vm("web1", "kvm1", 1.0))
    assert score.moved(start, start.vms[0], "kvm1", POLICY) == start
    assert start.vms[0].load == VMLoad(1.0, 256)


@pytest.mark.parametrize(("kind", "broken"), [("prefer_apart", 1), ("prefer_together", 2)])
def test_a_vm_that_moves_is_in_both_its_places(kind: str, broken: int) -> None:
    """As `problem` counts it: a plan's gain is what the score says."""
    group: dict[str, Any] = {kind: "web"}
    pair = vm("web1", "kvm1", 0.1, **group), vm("web2", "kvm2", 0.1, moving_to="kvm1", busy=True, **group)
    assert score.broken_wishes(cluster(host("kvm1"), host("kvm2"), *pair)) == broken


def test_a_vm_that_moves_within_a_rack_is_there_once() -> None:
    hosts = host("kvm1", labels={"rack": "a"}), host("kvm2", labels={"rack": "a"})
    moving = vm("web1", "kvm1", 0.1, moving_to="kvm2", busy=True, prefer_apart="web", apart_by="rack")
    assert score.broken_wishes(cluster(*hosts, moving)) == 0
