"""A storage that a host lost: told once, known to placement, and a start that may go elsewhere does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from tests.act.crash import new_job, to_its_end
from tests.act.hosts import UUID, FakeHost
from vmctl.act import mounted, power
from vmctl.act.mounted import Mounts
from vmctl.errors import Unreachable
from vmctl.hosts.link import HostLink
from vmctl.model.plans import NoPlace, Placement
from vmctl.model.records import Storage, VMRecord
from vmctl.model.vms import VM, Disk, PowerState
from vmctl.services import Services
from vmctl.services.observe import observe

OWN = f"/s/vm-web1-{UUID}/disk.qcow2"


@pytest.fixture
async def main(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    """A storage that both hosts have; web1, stopped, has its disk there."""
    kvm1.files |= {OWN: b"disk"}
    await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1", "kvm2"]))
    spec = replace((await services.store.vm(UUID)).spec, disks=(Disk("main", OWN),))
    await services.store.change(VMRecord, UUID, spec=spec, power=PowerState.STOPPED, host="", may_run_on={})


@pytest.fixture
def first_mounted(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Placement takes the first host that is not known to have lost the storage."""

    async def choose(services: Services, _job: Any, vm: VM, host: str, *_: Any) -> Placement:
        fit = [name for name in sorted(services.links) if not services.unmounted.get(name) and host in ("", name)]
        if not fit:
            raise power.no_host(NoPlace(vm.name, (), "none of 2 hosts can take it"))
        return Placement(vm.name, fit[0], (), f"{fit[0]}: the first")

    monkeypatch.setattr(power, "choose", choose)


async def start(services: Services, **args: Any) -> str:
    return await to_its_end(services, power.start, await new_job(services, "start", "web1", vm=UUID, **args))


@pytest.mark.usefixtures("main", "first_mounted", "hurry")
async def test_a_start_goes_to_the_next_host(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.lost = {"/s/lockspace"}
    assert await start(services) == "done"
    assert (await services.store.vm(UUID)).host == "kvm2" and kvm2.started and not kvm1.started


@pytest.mark.usefixtures("main", "first_mounted", "hurry")
async def test_a_start_on_a_host_by_name_goes_nowhere_else(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.lost = {"/s/lockspace"}
    assert "not mounted on kvm1" in await start(services, host="kvm1")
    assert (await services.store.vm(UUID)).power is PowerState.STOPPED and not kvm2.started


@pytest.mark.usefixtures("main", "first_mounted", "hurry")
async def test_a_start_ends_where_no_host_has_it(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.lost = kvm2.lost = {"/s/lockspace"}
    assert "none of 2 hosts" in await start(services)
    vm = await services.store.vm(UUID)
    assert (vm.power, vm.host, vm.may_run_on) == (PowerState.STOPPED, "", {})


@pytest.mark.usefixtures("main")
async def test_what_a_host_lost_is_told_once_and_known_to_placement(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounted, "AGAIN_S", 0.0)
    mounts = Mounts(services)

    async def seen() -> tuple[list[str], list[str]]:
        await mounts.look(cast(HostLink, kvm1))
        host = (await observe(services)).host("kvm1")
        assert host is not None
        return sorted(host.storages), sorted(host.lost_storages)

    assert await seen() == (["main"], [])
    kvm1.lost = {"/s/lockspace"}
    assert await seen() == (["main"], [])  # a host that stays connected is not asked all the time
    kvm1.since += 1.0
    assert await seen() == await seen() == ([], ["main"])
    kvm1.lost = set()
    assert await seen() == (["main"], [])
    texts = [event.text for event in await services.store.events() if event.kind == "storage"]
    assert len(texts) == 2 and "not mounted on kvm1" in texts[0] and "again" in texts[1]
    assert "mount /s" in texts[0]


@pytest.mark.usefixtures("main")
async def test_a_host_that_does_not_answer_lost_nothing(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    kvm1.since += 1.0
    mounts = Mounts(services)

    async def fails(*_: Any, **__: Any) -> None:
        raise Unreachable("no answer")

    monkeypatch.setattr(kvm1, "ask", fails)
    await mounts.look(cast(HostLink, kvm1))
    assert not services.unmounted.get("kvm1") and await services.store.events() == []
