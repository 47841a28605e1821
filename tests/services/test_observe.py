"""What is known of hosts and VMs, put together. What is not known is None, and refuses nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.hosts.test_devices import moving
from vmctl.act.create import baseline
from vmctl.cli.hosts import HOST_WIDE
from vmctl.cli.output import Column
from vmctl.cli.show import VM_WIDE
from vmctl.decide import fit
from vmctl.decide.search.state import costs
from vmctl.door import views
from vmctl.formats.plain import plain
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import About, DomainSeen
from vmctl.local.config import Settings
from vmctl.model.cluster import Cluster
from vmctl.model.hosts import Host, HostState
from vmctl.model.plans import Refusal
from vmctl.model.policy import Policy
from vmctl.model.records import ClusterValue, HostRecord, VMRecord
from vmctl.model.vms import VM, PowerState, Spec
from vmctl.ports.store import Store
from vmctl.services import Services
from vmctl.services.observe import observe

CPU = "<cpu mode='custom' match='exact'><model>EPYC</model></cpu>"
ABOUT = About("9.0.0", "7.2.0", "kvm", CPU, (), 8192, 4, "h", frozenset({"EPYC", "Haswell"}), (4096, 4096))


@dataclass
class Shown:
    """A link, as far as observing looks at it."""

    name: str
    about: About | None = ABOUT
    state: HostState = HostState.ONLINE
    online: bool = True
    why: str = ""
    domains: dict[str, DomainSeen] = field(default_factory=dict)
    cpus: dict[str, bool] = field(default_factory=dict)


@pytest.fixture
async def services(registry: Store, tmp_path: Path) -> Services:
    """One host that runs u1, which is on vnet1, and no more."""
    await registry.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0))
    await registry.add_vm(VMRecord(Spec("u1", "web1", 1, 512), 1.0, host="kvm1", power=PowerState.RUNNING))
    made = Services(registry, Settings(), tmp_path, ())
    link = Shown("kvm1", domains={"u1": DomainSeen("u1", "web1", PowerState.RUNNING, net_devices=("vnet1",))})
    made.links["kvm1"] = cast(HostLink, link)
    return made


def shown(services: Services) -> Shown:
    return cast(Shown, services.links["kvm1"])


def sample(services: Services, **interfaces: str) -> None:
    """Two samples in which u1 writes and sends; `interfaces` change their kind."""
    for second in (0, 10):
        found = moving(second)
        kinds = {name: found.interfaces["eth0"]._replace(kind=kind) for name, kind in interfaces.items()}
        services.loads.add(services.links["kvm1"], found._replace(interfaces={**found.interfaces, **kinds}))


async def host(services: Services) -> Host:
    return (await observe(services)).hosts[0]


def refusal(spec: Spec, host: Host) -> Refusal | None:
    return fit.refusal(VM(spec), host, Cluster((host,), ()), Policy(), fit.FIXED)


async def test_nothing_is_refused_before_anything_is_known(services: Services) -> None:
    shown(services).about = None
    seen = await host(services)
    assert (seen.bridges, seen.cpu_models, seen.numa_mib, seen.load) == (None, None, (), None)


async def test_disk_and_network_are_part_of_the_loads(services: Services) -> None:
    sample(services)
    cluster = await observe(services)
    (seen,), (vm,) = cluster.hosts, cluster.vms
    assert seen.load is not None and (seen.load.disk, seen.load.net) == pytest.approx((0.5, 0.2))
    assert vm.load is not None and (vm.load.disk, vm.load.net) == pytest.approx((0.25, 0.1))


async def test_a_vm_is_refused_where_its_bridge_is_missing(services: Services) -> None:
    sample(services, br0="bridge", br7="bridge")
    spec = Spec("u2", "new", 1, 256, mac="52:54:00:00:00:01")
    seen = await host(services)
    assert seen.bridges == frozenset({"br0", "br7"}) and refusal(spec, seen) is None
    sample(services, br7="bridge")
    assert refusal(spec, await host(services)) == Refusal("network", "needs bridge br0, the host has br7")
    sample(services, br7="-")
    assert refusal(spec, await host(services)) is None


@pytest.mark.parametrize(("model", "asked", "offered"), [
    ("EPYC", None, True), ("EPYC", False, False), ("Skylake", None, False), ("Skylake", True, True)
])  # fmt: skip
async def test_a_vm_is_refused_where_its_cpu_cannot_be_had(
    services: Services, model: str, asked: bool | None, offered: bool
) -> None:
    sample(services)
    cpu = CPU.replace("EPYC", model)
    if asked is not None:
        shown(services).cpus[cpu] = asked
    no = Refusal("CPU model", f"needs CPU model {model}, which its QEMU cannot offer")
    assert refusal(Spec("u2", "new", 1, 256, cpu_xml=cpu), await host(services)) == (None if offered else no)


async def test_the_common_cpu_can_be_had_everywhere(services: Services) -> None:
    """A model that no host has whole can be common to all, without the features that some lack."""
    sample(services)
    common = CPU.replace("EPYC", "Skylake")
    await services.store.put(ClusterValue("cpu-baseline", common))
    assert await baseline(services) == common
    assert refusal(Spec("u2", "new", 1, 256, cpu_xml=common), await host(services)) is None


async def test_a_vm_is_refused_where_no_numa_node_is_large_enough(services: Services) -> None:
    sample(services)
    seen = await host(services)
    assert refusal(Spec("u2", "new", 1, 4096, one_numa_node=True), seen) is None
    refused = refusal(Spec("u2", "new", 1, 4097, one_numa_node=True), seen)
    assert refused is not None and "the largest has 4096 MiB" in refused.why


# -- as clients see it


async def views_of(services: Services) -> tuple[dict[str, Any], dict[str, Any]]:
    """The host and the VM as the API tells them."""
    cluster = await observe(services)
    host, vm = await services.store.get(HostRecord, "kvm1"), await services.store.vm("u1")
    seen = views.host(services, host, cluster.hosts[0], cluster), views.vm(services, vm, cluster.vms[0])
    return plain(seen[0]), plain(seen[1])


def cells(item: dict[str, Any], columns: tuple[Column, ...]) -> dict[str, Any]:
    return {head: get(item) for head, get in columns}


async def test_clients_see_disk_network_bridges_and_numa_nodes(services: Services) -> None:
    sample(services, br0="bridge")
    seen, vm = await views_of(services)
    assert (seen["bridges"], seen["cpu_models"], seen["numa_mib"]) == (["br0"], ["EPYC", "Haswell"], [4096, 4096])
    shown_host, shown_vm = cells(seen, HOST_WIDE), cells(vm, VM_WIDE)
    assert (shown_host["DISK"], shown_host["NET"], shown_host["BRIDGES"]) == ("50%", "20%", ["br0"])
    assert (shown_vm["RECEIVED"], shown_vm["SENT"]) == ("0B/s", "12M/s")


async def test_what_is_not_known_is_not_shown_as_nothing(services: Services) -> None:
    seen, vm = await views_of(services)
    assert (seen["bridges"], seen["load"], vm["load"]) == (None, None, None)
    assert cells(seen, HOST_WIDE)["DISK"] == cells(seen, HOST_WIDE)["NET"] == cells(vm, VM_WIDE)["SENT"] == "-"
    sample(services, eth0="tap")
    seen, vm = await views_of(services)
    assert cells(seen, HOST_WIDE)["DISK"] == "50%" and cells(seen, HOST_WIDE)["NET"] == "-"


async def test_what_a_migration_showed_prices_the_next_one(services: Services) -> None:
    sample(services)
    assert (found := (await observe(services)).vms[0]).load and found.load.dirty_mib_s == 0.0
    await services.store.change(VMRecord, "u1", dirty_mib_s=500.0)
    again = (await observe(services)).vms[0]
    assert again.load and again.load.dirty_mib_s == 500.0
    assert costs(again, Policy())[2] == pytest.approx(2 * costs(found, Policy())[2])


async def test_when_a_vm_moved_last_is_known_unless_the_clock_was_set_back(services: Services) -> None:
    """Who has just moved rests: a plan must not move it again."""
    now = services.clock.now()
    for moved_at, known in ((now - 100.0, True), (now + 100.0, False)):
        await services.store.change(VMRecord, "u1", moved_at=moved_at)
        (vm,) = (await observe(services)).vms
        assert (vm.moved_s_ago is not None and 100.0 <= vm.moved_s_ago < 160.0) == known
