"""Each rule says no with its numbers, and nothing where its reason is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.decide.clusters import cluster, host, vm
from vmctl.decide import fit
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostState, own_storage
from vmctl.model.jobs import Promised
from vmctl.model.policy import Policy
from vmctl.model.vms import VM, Disk

WEB = vm("web1")


def no(guest: VM, there: Host, *others: Host | VM, **policy: Any) -> str:
    """Rule and reason of a refusal; empty where the VM may run."""
    found = fit.refusal(guest, there, cluster(there, *others), Policy(**policy))
    return f"{found.rule}: {found.why}" if found else ""


def test_an_idle_host_takes_a_vm() -> None:
    assert no(WEB, host("kvm1")) == ""


@pytest.mark.parametrize("state", [HostState.UNKNOWN, HostState.UNTRUSTED])
def test_a_host_that_is_not_online_takes_none(state: HostState) -> None:
    assert no(WEB, host("kvm1", state=state)) == f"online: the host is {state}"
    assert no(WEB, host("kvm1", state=state, why_not="no route")) == f"online: the host is {state}: no route"


def test_a_draining_host_takes_none_but_keeps_its_own() -> None:
    assert no(WEB, host("kvm1", draining=True)) == "draining: the host is draining"
    assert no(vm("web1", "kvm1"), host("kvm1", draining=True)) == ""


def test_a_host_whose_lock_manager_fails_takes_none_of_ours() -> None:
    broken = host("kvm1", no_lock="no lockspace")
    assert no(WEB, broken) == "lock: its lock manager gives no leases: no lockspace"
    assert no(replace(WEB, adopted=True), broken) == ""


def test_a_run_of_a_job_needs_no_lock_manager_and_no_qemu() -> None:
    run = replace(vm("job 7 run 1", mem_mib=1024), job=True)
    assert no(run, host("kvm1", no_lock="no lockspace")) == ""
    found = no(run, host("kvm1", used=6800, mem_mib=8192), vm_overhead_mib=200, mem_reserve_mib=512)
    assert found.startswith("memory: memory: needs 1024 MiB, ")


def test_what_is_promised_to_jobs_is_no_room_for_vms() -> None:
    web = vm("web1", cpus=4, mem_mib=2048)
    assert no(web, host("kvm1", jobs=Promised(1, 0, 6000))).startswith("memory: memory: needs ")
    assert no(web, host("kvm1", jobs=Promised(1, 2, 0)), cpu_overcommit=1.0).startswith("cpu: CPU: 4 vCPUs")
    assert no(web, host("kvm1", jobs=Promised(1, 0, 500))) == ""


def test_a_host_that_lost_a_storage_is_told_from_one_that_never_had_it() -> None:
    web = vm("web1", "", disks=(Disk("main", "/s/disk"),))
    assert no(web, host("kvm1", storages=frozenset())).endswith("storage main is not proven there")
    lost = host("kvm1", storages=frozenset(), lost_storages=frozenset({"main"}))
    assert no(web, lost).endswith("storage main is not mounted there now")


def test_a_disk_that_only_one_host_has_keeps_its_vm_there() -> None:
    old = vm("old1", "", disks=(Disk("main", "/s/disk"), Disk(own_storage("kvm1"), "/var/lib/old1")))
    assert no(old, host("kvm1", storages=frozenset({"main"}))) == ""
    assert no(old, host("kvm2", storages=frozenset({"main"}))) == "storage: storage kvm1's own is not proven there"


def test_a_host_takes_none_before_it_is_measured() -> None:
    assert no(WEB, replace(host("kvm1"), load=None)) == "measured: its load has not been measured yet"


def test_an_old_measurement_decides_nothing() -> None:
    old = host("kvm1", age_s=31.0)
    assert no(WEB, old) == "measured: its load is 31 s old, more than 30 s"
    assert no(WEB, old, max_age_s=31.0) == ""


def test_every_disk_must_be_reachable() -> None:
    disks = (Disk("main", "/a"), Disk("fast", "/b"), Disk("big", "/c"))
    assert no(vm("web1", disks=disks), host("kvm1")) == "storage: storage big, fast is not proven there"
    assert no(vm("web1", disks=disks), host("kvm1", storages=frozenset({"main", "fast", "big"}))) == ""
    assert no(vm("web1", disks=()), host("kvm1", storages=frozenset())) == ""


def test_a_host_must_carry_every_label() -> None:
    picky = vm("web1", needs={"gpu": "no", "rack": "a"})
    there = host("kvm1", labels={"gpu": "no"})
    assert no(picky, there) == "labels: needs label rack=a, the host has rack=(none)"
    assert no(picky, replace(there, labels={"gpu": "no", "rack": "a"})) == ""


def test_vms_of_an_apart_group_do_not_meet() -> None:
    there, other = host("kvm1"), vm("web2", "kvm1", apart="web")
    assert no(vm("web1", apart="web"), there, other) == "apart: must be apart from web2 (group web)"
    assert no(vm("web1", apart="db"), there, other) == ""
    assert no(vm("web1"), there, vm("web2", "kvm1")) == ""


def test_a_promised_place_counts_for_apart() -> None:
    coming = vm("web2", "kvm2", moving_to="kvm1", apart="web")
    assert no(vm("web1", apart="web"), host("kvm1"), host("kvm2"), coming).startswith("apart")


def test_vms_of_a_together_group_go_where_the_others_are() -> None:
    hosts, other = (host("kvm1"), host("kvm2")), vm("db2", "kvm2", together="db")
    pair = vm("db1", together="db")
    assert no(pair, *hosts, other) == "together: must be together with db2, which is on kvm2 (group db)"
    assert no(pair, hosts[1], hosts[0], other) == ""
    assert no(pair, *hosts, vm("db2", together="db")) == "", "a stopped one ties nobody"


def test_a_group_may_leave_a_draining_host_one_by_one() -> None:
    other = vm("db2", "kvm2", together="db")
    assert no(vm("db1", "kvm2", together="db"), host("kvm1"), host("kvm2", draining=True), other) == ""


def test_a_vm_is_no_wider_than_its_host() -> None:
    assert no(vm("web1", cpus=5), host("kvm1")) == "size: wants 5 vCPUs, the host has 4 CPUs"
    assert no(vm("web1", cpus=4), host("kvm1")) == ""


def test_what_a_host_is_known_to_lack_rules_it_out() -> None:
    web = vm("web1", mac="52:54:00:00:00:01", bridge="br7", cpu_xml="<cpu><model fallback='forbid'>EPYC</model></cpu>")
    assert no(web, host("kvm1")) == "", "what a host does not tell rules nothing out"
    assert no(web, host("kvm1", bridges=frozenset({"br0"}))) == "network: needs bridge br7, the host has br0"
    words = "CPU model: needs CPU model EPYC, which its QEMU cannot offer"
    assert no(web, host("kvm1", cpu_models=frozenset({"qemu64"}))) == words
    assert no(web, host("kvm1", bridges=frozenset({"br7"}), cpu_models=frozenset({"EPYC"}))) == ""
    near = vm("db1", mem_mib=5000, one_numa_node=True)
    assert no(near, host("kvm1", numa_mib=(6000, 2192))) == ""
    assert no(near, host("kvm1", numa_mib=(4096, 4096))).startswith("size: wants 5000 MiB in one NUMA node")


def test_a_load_class_has_an_overcommit_of_its_own() -> None:
    classes = {"class_overcommit": {"guaranteed": 1.0}}
    sure = [vm(f"db{n}", "kvm1", cpus=1, load_class="guaranteed") for n in range(3)]
    assert no(vm("new", cpus=1, load_class="guaranteed"), host("kvm1"), *sure, **classes) == ""
    assert no(vm("new", cpus=2, load_class="guaranteed"), host("kvm1"), *sure, **classes).startswith("cpu")
    assert no(vm("new", cpus=4), host("kvm1"), *sure, **classes) == "", "half a core at the usual 8"


def test_a_group_is_kept_apart_by_failure_domain() -> None:
    hosts = [host(f"kvm{n}", labels={"rack": rack}) for n, rack in ((1, "a"), (2, "a"), (3, "b"))]
    there, new = vm("db1", "kvm1", apart="db"), vm("db2", apart="db", apart_by="rack")
    assert no(new, hosts[1], hosts[0], there) == "apart: must be apart from db1 (group db, both in rack a)"
    assert no(new, hosts[2], hosts[0], there) == ""
    assert no(vm("db3", apart="db"), hosts[1], hosts[0], there, vm("db2", "", apart="db", apart_by="rack")) != ""


def test_promised_cpus_stay_within_the_overcommit() -> None:
    others = [vm(f"old{n}", "kvm1", cpus=4) for n in range(2)]
    words = "cpu: CPU: 1 vCPUs are promised 0.5 cores at an overcommit of 2, 0 of 4 left"
    assert no(WEB, host("kvm1"), *others, cpu_overcommit=2.0) == words
    assert no(WEB, host("kvm1"), *others, cpu_overcommit=2.25) == ""


def test_memory_in_use_and_memory_promised_both_count() -> None:
    # 8192 - 256 kept free = 7936; 6000 in use beside VMs, 1024 + 64 promised: 848 left
    there, other = host("kvm1", used=6100), vm("old", "kvm1", cpu=0.5, used=100, mem_mib=1024)
    assert no(WEB, there, other) == ""
    assert no(vm("big", mem_mib=1024), there, other) == "memory: memory: needs 1088 MiB, 848 of 7936 MiB left"
    assert no(vm("big", mem_mib=784), there, other) == "", "exactly what is left fits"
    assert no(vm("big", mem_mib=785), there, other).startswith("memory")
    assert no(vm("big", mem_mib=1024), there, other, mem_overcommit=1.1) == ""
    assert no(vm("big", mem_mib=1024), there, other, mem_reserve_mib=0) == ""


def test_a_vm_on_its_way_here_has_used_no_memory_here_yet() -> None:
    here, there = host("kvm1", used=6000), host("kvm2", used=4000)
    coming = vm("big", "kvm2", cpu=0.5, used=4000, mem_mib=1024, moving_to="kvm1")
    # 7936 - 6000 beside - 1088 promised to the one that comes
    assert no(vm("web1", mem_mib=1024), here, there, coming).endswith("needs 1088 MiB, 848 of 7936 MiB left")


def test_a_vm_does_not_stand_in_its_own_way() -> None:
    own = vm("web1", "kvm1", cpu=0.5, used=7000, mem_mib=7000, apart="web", together="db")
    assert no(own, host("kvm1", used=7200), own) == ""


def test_the_first_broken_rule_is_named() -> None:
    assert no(vm("web1", cpus=64, needs={"a": "b"}), host("kvm1", state=HostState.UNKNOWN)).startswith("online")
    assert no(vm("web1", cpus=64, needs={"a": "b"}), host("kvm1")).startswith("labels")


def test_every_rule_is_tested_here() -> None:
    assert [name for name, _ in fit.RULES] == [
        *("online", "draining", "lock", "measured", "storage", "network", "CPU model", "labels", "size"),
        *("apart", "together", "cpu", "memory"),
    ]


def test_a_host_needs_no_cluster_around_it() -> None:
    there = host("kvm1")
    assert fit.refusal(WEB, there, Cluster((there,), ()), Policy()) is None
