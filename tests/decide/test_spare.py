"""N+1, and many VMs placed as one."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.decide.clusters import POLICY, cluster, clusters, host, vm, vms
from vmctl.decide import fit, score
from vmctl.decide.place import place, place_all
from vmctl.decide.search.moves import begin
from vmctl.decide.search.spare import anywhere, unsafe
from vmctl.decide.search.state import build
from vmctl.model.cluster import Cluster
from vmctl.model.plans import NoPlace, Placement
from vmctl.model.vms import VM, PowerState

SAFE = replace(POLICY, spare_host=True)
HOSTS = tuple(host(f"kvm{n}", used=0) for n in (1, 2, 3))  # 8192 MiB each, of which 256 are kept free


def safe(found: Cluster) -> tuple[str, str] | None:
    """The host that may not die and the VM that would have no place, by name."""
    made = build(found, SAFE)
    state = begin(made.state)
    dead, lost = unsafe(state, anywhere(state))
    return None if dead < 0 else (made.hosts[dead].name, made.vms[lost].name)


def guest(name: str, at: str, mib: int, **more: str) -> VM:
    return vm(name, at, 0.1, 0, mem_mib=mib - POLICY.vm_overhead_mib, **more)


def test_a_pool_is_safe_while_every_hosts_vms_fit_on_the_others() -> None:
    full = [guest("big1", "kvm1", 5000), guest("big2", "kvm2", 5000)]
    assert safe(cluster(*HOSTS, *full)) is None, "kvm3 is empty"
    assert safe(cluster(*HOSTS, *full, guest("big3", "kvm3", 5000))) is not None


def test_vms_of_a_dead_host_do_not_count_on_the_same_memory() -> None:
    """Each of the two would fit into kvm2 alone; both do not."""
    pair = [guest("one", "kvm1", 3000), guest("two", "kvm1", 3000)]
    beside = [guest("old2", "kvm2", 4000), guest("old3", "kvm3", 7900)]
    assert safe(cluster(*HOSTS, *pair, *beside)) is not None
    assert safe(cluster(*HOSTS, pair[0], *beside[:1])) is None


def test_apart_groups_need_hosts_too() -> None:
    three = [guest(f"db{n}", f"kvm{n}", 500, apart="db") for n in (1, 2, 3)]
    assert safe(cluster(*HOSTS, *three)) is not None, "all hosts are taken by the group"
    assert safe(cluster(*HOSTS, *three[:2])) is None


def test_a_place_that_would_cost_the_spare_is_refused_in_words() -> None:
    full = [guest("big1", "kvm1", 5000), guest("big2", "kvm2", 5000)]
    new = vm("new", mem_mib=4000)
    assert isinstance(place(new, cluster(*HOSTS, *full), POLICY), Placement)
    found = place(new, cluster(*HOSTS, *full), SAFE)
    assert isinstance(found, NoPlace)
    rules = {verdict.host: verdict.refusal.rule for verdict in found.verdicts if verdict.refusal}
    assert rules == {"kvm1": "memory", "kvm2": "memory", "kvm3": "spare"}
    assert "would have no place left if kvm" in next(v.why for v in found.verdicts if v.host == "kvm3")


def test_a_burst_is_placed_as_one() -> None:
    burst = [vm(f"new{n}", mem_mib=2000) for n in range(10)]
    placed, refused = place_all(burst, cluster(*HOSTS), POLICY)
    assert len(placed) == 9 and len(refused) == 1, "three of 2064 MiB fit into each host's 7936"
    assert sorted(placed.values()) == ["kvm1"] * 3 + ["kvm2"] * 3 + ["kvm3"] * 3
    assert {v.refusal.rule for v in refused[0].verdicts if v.refusal} == {"memory"}


def test_a_new_vm_may_name_what_its_group_is_apart_by() -> None:
    """The VM that runs does not say what apart means: the new one does, and counts for both."""
    racks = host("kvm1", labels={"rack": "a"}), host("kvm2", labels={"rack": "a"})
    new = vm("db2", apart="db", apart_by="rack")
    placed, refused = place_all([new], cluster(*racks, vm("db1", "kvm1", 0.1, apart="db")), POLICY)
    assert not placed and {v.refusal.rule for v in refused[0].verdicts if v.refusal} == {"apart"}


@given(clusters(), st.lists(st.integers(100, 110), max_size=6, unique=True).flatmap(lambda n: st.tuples(*map(vms, n))))
def test_whatever_is_placed_obeys_the_rules_beside_all_others(found: Cluster, new: tuple[VM, ...]) -> None:
    new = tuple(replace(one, spec=replace(one.spec, together="")) for one in new)
    placed, refused = place_all(new, found, POLICY)
    assert len(placed) + len(refused) == len(new)
    after = replace(found, vms=(*found.vms, *(replace(one, host=placed.get(one.name, "")) for one in new)))
    for one in new:
        if one.name in placed:
            there = after.host(placed[one.name])
            assert there is not None and fit.refusal(replace(one, host=there.name), there, after, POLICY) is None
    for no in refused:
        assert all(verdict.refusal for verdict in no.verdicts) or no.why == "found no place at its turn"


@given(clusters(most_hosts=4))
def test_what_is_called_safe_can_be_shown(found: Cluster) -> None:
    """If any one host may die, then placing its VMs anew one by one leaves none without a place."""
    if safe(found) is not None:
        return
    for dead in found.hosts:
        if not score.is_counted(dead, POLICY):
            continue
        lost = [one for one in found.on(dead.name) if one.host == dead.name and not one.moving_to]
        if len(lost) > 1 or any(len(found.group("together", one.spec.together)) > 1 for one in lost):
            continue
        gone = replace(found, hosts=tuple(h for h in found.hosts if h.name != dead.name))
        for one in lost:
            stopped = replace(one, host="", power=PowerState.STOPPED, load=None)
            rest = replace(gone, vms=tuple(o for o in gone.vms if o.spec.uuid != one.spec.uuid))
            assert isinstance(place(stopped, rest, POLICY), Placement)
