"""Where a VM starts: the best host, every host's verdict, and the words for it."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.decide.clusters import POLICY, cluster, clusters, host, vm, vms
from vmctl.decide import fit, score
from vmctl.decide.place import place
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostState
from vmctl.model.jobs import Promised
from vmctl.model.plans import NoPlace, Placement
from vmctl.model.vms import VM


def apply_move(guest: VM, *members: Host | VM, only: str = "") -> Placement:
    found = place(guest, cluster(*members), POLICY, only)
    assert isinstance(found, Placement), found.why
    return found


def test_the_emptier_host_gets_the_vm() -> None:
    found = apply_move(vm("new"), host("kvm1", 2.0), host("kvm2", 0.5))
    assert found.host == "kvm2"
    assert [verdict.host for verdict in found.verdicts] == ["kvm2", "kvm1"], "best first"
    assert found.why.startswith("kvm2: CPU 19%, memory 13% used and 7% promised with it there; ")
    assert found.why.endswith("on kvm1")


def test_a_vm_that_was_just_promised_a_place_counts_before_it_is_measured() -> None:
    assert apply_move(vm("new"), host("kvm1"), host("kvm2"), vm("newer", "kvm1")).host == "kvm2"


def test_what_jobs_were_just_promised_counts_before_it_is_measured() -> None:
    busy = host("kvm1", jobs=Promised(2, 2, 1024, 2, 1024))
    assert apply_move(vm("new"), busy, host("kvm2")).host == "kvm2"


def test_a_host_that_stalls_is_no_good_choice_though_another_stalls_worse() -> None:
    worse, here, fine = host("kvm1", psi_io=0.9), host("kvm2", 0.5, psi_io=0.3), host("kvm3", 1.0)
    assert apply_move(vm("new"), worse, here, fine).host == "kvm3"


def test_ties_go_to_the_first_name() -> None:
    assert apply_move(vm("new"), host("kvm3"), host("kvm1"), host("kvm2")).host == "kvm1"


def test_the_only_host_that_fits_says_so() -> None:
    found = apply_move(vm("new"), host("kvm1"), host("kvm2", state=HostState.UNKNOWN))
    assert found.why.endswith("; the only host that fits")
    assert [v.refusal.rule for v in found.verdicts if v.refusal] == ["online"]


def test_a_host_asked_for_by_name_must_still_fit() -> None:
    hosts = (host("kvm1"), host("kvm2", 3.0))
    assert apply_move(vm("new"), *hosts, only="kvm2").why.endswith("; asked for by name")
    found = place(vm("new", cpus=9), cluster(*hosts), POLICY, "kvm2")
    assert isinstance(found, NoPlace)
    assert [(v.host, v.why) for v in found.verdicts] == [("kvm2", "wants 9 vCPUs, the host has 4 CPUs")]
    assert found.why == "none of 1 hosts can take new"


def test_a_vm_with_a_home_looks_for_another_one() -> None:
    web = vm("web1", "kvm1", 0.1)
    assert apply_move(web, host("kvm1"), host("kvm2", 3.0), web).host == "kvm2"


def test_no_host_at_all_and_no_other_host_are_told_apart() -> None:
    assert place(vm("new"), cluster(), POLICY).why == "there are no hosts"
    web = vm("web1", "kvm1", 0.1)
    assert place(web, cluster(host("kvm1"), web), POLICY).why == "there is no other host"


# -- of any cluster


@given(clusters(), vms(100))
def test_a_placement_breaks_no_rule_and_its_rows_sum_to_its_score(found: Cluster, new: VM) -> None:
    answer = place(new, found, POLICY)
    assert {verdict.host for verdict in answer.verdicts} == {member.name for member in found.hosts}
    for verdict in answer.verdicts:
        there = found.host(verdict.host)
        assert there is not None
        assert verdict.refusal == fit.refusal(new, there, found, POLICY)
        if verdict.refusal is None:
            assert verdict.score == score.total(verdict.terms)
    fitting = [verdict for verdict in answer.verdicts if verdict.refusal is None]
    if isinstance(answer, Placement):
        assert (answer.host, fitting[0].score) == (fitting[0].host, min(verdict.score for verdict in fitting))
    else:
        assert not fitting


@given(clusters(), vms(100))
def test_a_refusal_names_for_every_host_the_first_rule_it_breaks(found: Cluster, new: VM) -> None:
    for verdict in place(new, found, POLICY).verdicts:
        there = found.host(verdict.host)
        assert there is not None
        broken = [name for name, rule in fit.RULES if rule(new, there, found, POLICY) is not None]
        assert (verdict.refusal.rule if verdict.refusal else None) == (broken[0] if broken else None)
        assert verdict.why


@given(clusters(), vms(100), st.randoms(use_true_random=False))
def test_the_order_of_hosts_and_vms_does_not_matter(found: Cluster, new: VM, random: Random) -> None:
    hosts, guests = list(found.hosts), list(found.vms)
    random.shuffle(hosts)
    random.shuffle(guests)
    mixed = place(new, Cluster(tuple(hosts), tuple(guests)), POLICY)
    short = [(v.host, v.refusal.rule if v.refusal else "", v.score) for v in place(new, found, POLICY).verdicts]
    assert short == [(v.host, v.refusal.rule if v.refusal else "", v.score) for v in mixed.verdicts]
