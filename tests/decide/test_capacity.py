"""What more fits, what could be lost, what to buy: by head, and against the rules one VM after the other."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decide.clusters import POLICY, VM_SIZES, cluster, clusters, host, vm
from vmctl.decide import fit
from vmctl.decide.capacity import Capacity, added, capacity, example, grown
from vmctl.decide.search.moves import begin
from vmctl.decide.search.spare import anywhere, unsafe
from vmctl.decide.search.state import build
from vmctl.formats.sizes import Size
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostState
from vmctl.model.policy import Policy
from vmctl.model.vms import VM

# Nothing kept free, no overhead, one vCPU per core: figures that one can check by head
PLAIN = Policy(cpu_overcommit=1.0, mem_reserve_mib=0, vm_overhead_mib=0)
SPARE = replace(PLAIN, spare_host=True)
GIB = 1024


def empty(name: str, cpus: int = 4, gib: int = 8, **more: Any) -> Host:
    """A host that uses nothing for itself."""
    return host(name, used=0, cpus=cpus, mem_mib=gib * GIB, **more)


def asked(*members: Host | VM, policy: Policy = PLAIN, size: Size = (1, GIB)) -> Capacity:
    return capacity(cluster(*members), policy, (size,))


# -- what fits


def test_cores_end_first_on_one_host_and_memory_on_the_other() -> None:
    found = asked(empty("kvm1", cpus=4, gib=8), empty("kvm2", cpus=16, gib=3)).sizes[0]
    assert [(room.host, room.count, room.limit) for room in found.hosts] == [
        ("kvm1", 4, "cores"),
        ("kvm2", 3, "memory"),
    ]
    assert (found.count, found.first_limit, found.spare, found.exact) == (7, "memory on kvm2", None, True)
    assert found.why == "7 more VMs of 1c/1G fit; first limit: memory on kvm2"


def test_what_is_promised_and_what_the_host_uses_itself_is_gone() -> None:
    busy = host("kvm1", used=GIB, cpus=16, mem_mib=8 * GIB)
    here, coming = vm("web1", "kvm1", mem_mib=2 * GIB), vm("web2", "kvm2", mem_mib=GIB, moving_to="kvm1")
    found = asked(busy, here, coming).sizes[0]
    assert found.count == 8 - 1 - 2 - 1


def test_overhead_reserve_and_overcommit_count() -> None:
    policy = Policy(cpu_overcommit=2.0, mem_reserve_mib=GIB, vm_overhead_mib=GIB)
    assert asked(empty("kvm1", cpus=64, gib=8), policy=policy).sizes[0].count == 3  # 7 GiB for VMs of 2
    assert asked(empty("kvm1", cpus=2, gib=64), policy=policy).sizes[0].count == 4


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ({"state": HostState.UNKNOWN}, "the host is unknown"),
        ({"draining": True}, "the host is draining"),
        ({"no_lock": "virtlockd is gone"}, "its lock manager gives no leases: virtlockd is gone"),
        ({"load": None}, "its load has not been measured yet"),
        ({"cpus": 1}, "wants 2 vCPUs, the host has 1 CPUs"),
    ],
)
def test_a_host_that_takes_none_says_why(odd: dict[str, Any], why: str) -> None:
    found = asked(host("kvm1", **odd), size=(2, GIB)).sizes[0]
    assert [(room.count, room.why) for room in found.hosts] == [(0, why)]
    assert (found.first_limit, found.why) == ("", "0 more VMs of 2c/1G fit: no host takes such VMs")


def test_one_is_one() -> None:
    assert asked(empty("kvm1", gib=1)).sizes[0].why == "1 more VM of 1c/1G fits; first limit: memory on kvm1"


# -- so that any one host may still die


def test_of_two_equal_hosts_one_is_kept_free() -> None:
    found = asked(empty("kvm1"), empty("kvm2"), policy=SPARE).sizes[0]
    assert (found.count, found.spare, found.exact) == (8, 4, False)
    assert found.why.endswith("; at least 4 so that any one host may still die")


def test_of_four_equal_hosts_one_is_kept_free() -> None:
    assert asked(*(empty(f"kvm{n}") for n in range(4)), policy=SPARE).sizes[0].spare == 12


def test_a_large_host_takes_no_more_than_the_others_can_save() -> None:
    large, small = empty("large", cpus=64, gib=64), (empty("small1"), empty("small2"))
    # The small hosts save each other and, together, up to 8 VMs of the large one.
    assert asked(large, *small, policy=SPARE).sizes[0].spare == 8


def test_where_no_host_may_die_already_none_can_be_added() -> None:
    found = asked(empty("kvm1"), policy=SPARE).sizes[0]
    assert (found.count, found.spare) == (4, 0)
    assert found.why.endswith("; none so that any one host may still die")
    full = vm("web1", "kvm1", cpus=4, mem_mib=8 * GIB)
    assert asked(empty("kvm1"), empty("kvm2"), vm("web2", "kvm2"), full, policy=SPARE).sizes[0].spare == 0


# -- what could be lost, and what to buy

FULL: tuple[Host | VM, ...] = (
    empty("kvm1", labels={"rack": "a"}),
    empty("kvm2", labels={"rack": "a"}),
    empty("kvm3", labels={"rack": "b"}),
    *(vm(f"web{n}", f"kvm{n}", mem_mib=5 * GIB) for n in (1, 2)),
)


def test_what_would_be_lost_with_a_host_and_with_a_rack() -> None:
    found = asked(*FULL)
    assert [(loss.name, loss.vms) for loss in found.hosts] == [("kvm1", ()), ("kvm2", ()), ("kvm3", ())]
    assert [(loss.name, len(loss.vms)) for loss in found.racks] == [("a", 1), ("b", 0)]
    assert "any one host may die: its VMs find a place elsewhere" in found.why
    assert f"if rack a died, {found.racks[0].vms[0]} would find no place" in found.why
    assert found.why[-1] == "to buy: nothing: any one host may die"


def test_without_labels_there_are_no_racks() -> None:
    assert asked(empty("kvm1")).racks == ()


def test_hosts_that_are_not_known_to_be_alive_are_not_asked_about() -> None:
    found = asked(empty("kvm1"), empty("kvm2", state=HostState.UNKNOWN), vm("web1", "kvm2"))
    assert [loss.name for loss in found.hosts] == ["kvm1"]
    assert "what would be lost with kvm2 was not asked: not online, or not measured" in found.why


def test_one_host_is_missing() -> None:
    found = asked(*FULL, vm("web3", "kvm3", mem_mib=5 * GIB))
    assert [loss.vms for loss in found.hosts] == [("web1",), ("web2",), ("web3",)]
    assert (found.buy.hosts, found.buy.never) == (1, ())
    assert found.buy.why == "one more host like kvm3 (4 CPUs, 8 GiB)"
    assert "if kvm1 died, web1 would find no place" in found.why


def test_several_hosts_are_missing() -> None:
    """Three VMs of 5 GiB run on a host that was promised too much; each needs one of 8 GiB for itself."""
    guests = [vm(f"web{n}", "kvm1", mem_mib=5 * GIB) for n in range(3)]
    found = asked(empty("kvm1"), *guests)
    assert (found.buy.hosts, found.buy.why) == (3, "3 more hosts like kvm1 (4 CPUs, 8 GiB)")


def test_what_no_host_could_save_is_named() -> None:
    picky = vm("picky", "kvm1", needs={"disk": "fast"})
    found = asked(empty("kvm1", labels={"disk": "fast"}), empty("kvm2", gib=16), picky)
    assert (found.buy.hosts, found.buy.never) == (0, ("picky",))
    assert found.buy.why == "nothing: no host like kvm2 (4 CPUs, 16 GiB) would help picky"
    large = vm("large", "kvm2", mem_mib=10 * GIB)
    found = asked(empty("kvm1", labels={"disk": "fast"}), empty("kvm2", gib=16), picky, large)
    assert found.buy.why == (
        "one more host like kvm2 (4 CPUs, 16 GiB); no host like kvm2 (4 CPUs, 16 GiB) would help picky"
    )


def test_nothing_at_all() -> None:
    found = asked()
    assert (found.sizes[0].count, found.hosts, found.buy.hosts) == (0, (), 0)
    assert found.why[-1] == "to buy: there is no host that takes VMs, and so none to be like"


# -- of any cluster


@given(clusters(), VM_SIZES)
def test_all_that_are_counted_find_a_place_and_one_more_finds_none(found: Cluster, size: Size) -> None:
    before = repr(found)
    told = capacity(found, POLICY, (size,)).sizes[0]
    assert repr(found) == before
    assert told.count == sum(room.count for room in told.hosts)
    guests = iter(example(size, number) for number in range(told.count + 1))
    for room in told.hosts:
        there = found.host(room.host)
        assert there is not None
        for _ in range(room.count):
            guest = next(guests)
            assert fit.refusal(guest, there, found, POLICY) is None
            found = replace(found, vms=(*found.vms, replace(guest, host=room.host)))
    for there in found.hosts:
        assert fit.refusal(example(size, -1), there, found, POLICY) is not None


@given(clusters(), VM_SIZES, st.randoms(use_true_random=False))
def test_the_order_of_hosts_and_vms_does_not_matter(found: Cluster, size: Size, random: Random) -> None:
    hosts, guests = list(found.hosts), list(found.vms)
    random.shuffle(hosts)
    random.shuffle(guests)
    policy = replace(POLICY, spare_host=True)
    assert capacity(found, policy, (size,)) == capacity(Cluster(tuple(hosts), tuple(guests)), policy, (size,))


@given(clusters(), VM_SIZES)
def test_a_spare_host_never_makes_room_and_its_loss_is_what_the_losses_say(found: Cluster, size: Size) -> None:
    told = capacity(found, replace(POLICY, spare_host=True), (size,))
    one = told.sizes[0]
    assert one.spare is not None and 0 <= one.spare <= one.count
    state = begin(build(found, POLICY).state)
    safe = unsafe(state, anywhere(state))[0] < 0
    assert safe == (not any(loss.vms for loss in told.hosts))
    assert one.spare == 0 or safe
    assert safe == (told.buy.hosts == 0 and not told.buy.never) or not told.buy.like


@given(clusters(), VM_SIZES)
def test_with_those_that_are_added_any_one_host_may_still_die(found: Cluster, size: Size) -> None:
    count = capacity(found, POLICY, (size,)).sizes[0].count
    state = build(found, POLICY, homeless=tuple(example(size, number) for number in range(count))).state
    state, first = begin(state), state.vms.size - count
    free = anywhere(state)
    if unsafe(state, free)[0] >= 0:
        return
    made = added(state, first, free, 1000)
    assert (state.vms["at"][first : first + made] < len(found.hosts)).all()
    assert (state.vms["at"][first + made :] == len(found.hosts)).all()
    assert unsafe(state, free)[0] < 0
    taking = np.unique(state.vms["at"][first : first + made])
    assert (state.hosts["used"][taking] <= state.hosts["room"][taking]).all()


@given(clusters())
def test_who_buys_what_is_told_need_buy_no_more(found: Cluster) -> None:
    told = capacity(found, POLICY, ())
    like = found.host(told.buy.like)
    if like is None:
        return
    for fewer in range(told.buy.hosts):
        lost = {vm for loss in capacity(grown(found, like, fewer), POLICY, ()).hosts for vm in loss.vms}
        assert lost - set(told.buy.never)
    again = capacity(grown(found, like, told.buy.hosts), POLICY, ())
    assert {vm for loss in again.hosts for vm in loss.vms} <= set(told.buy.never)


@settings(max_examples=20)
@given(st.integers(2, 4), st.integers(1, 6), st.integers(1, 4))
def test_of_equal_empty_hosts_all_but_one_can_be_filled(hosts: int, gib: int, each: int) -> None:
    found = asked(*(empty(f"kvm{n}", cpus=64, gib=gib * each) for n in range(hosts)), policy=SPARE, size=(1, gib * GIB))
    assert found.sizes[0].spare == (hosts - 1) * each
