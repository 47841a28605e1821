"""A VM without its lease: it gets it back by a pause, and a pause that a dead controller left is ended."""

from __future__ import annotations

import pytest

from tests.act.hosts import FakeHost
from vmctl.act import leases
from vmctl.errors import LibvirtError, MissingLease
from vmctl.hosts.link import HostLink
from vmctl.model import PowerState
from vmctl.records import Task, VMRecord
from vmctl.tasks import Job
from vmctl.world import World


async def job_of(world: World, **journal: str) -> Job:
    number = await world.store.add(Task(0, "renew lease", "web1", 1.0, args={"vm": "web1"}, journal=dict(journal)))
    return Job(await world.store.get(Task, number), world.store)


@pytest.fixture
def kvm1(kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host that gives a lease to whoever is resumed."""

    async def missing(_world: World, _link: HostLink, vms: list[VMRecord]) -> list[VMRecord]:
        return [] if "resume" in kvm1.done else vms

    monkeypatch.setattr(leases, "missing", missing)
    kvm1.shows(PowerState.RUNNING)
    return kvm1


async def test_a_pause_gives_the_lease_back(world: World, kvm1: FakeHost) -> None:
    await world.store.change(VMRecord, (await world.store.vm("web1")).uuid, why=f"{leases.MISSING} on kvm1")
    await leases.renew(world, await job_of(world))
    assert kvm1.done == ["suspend", "resume"]
    vm = await world.store.vm("web1")
    assert (vm.power, vm.why) == (PowerState.RUNNING, "")


async def test_a_pause_that_was_left_is_ended(world: World, kvm1: FakeHost) -> None:
    kvm1.shows(PowerState.PAUSED)
    await leases.renew(world, await job_of(world, paused="kvm1"))
    assert kvm1.done == ["resume"]


async def test_a_pause_that_was_ended_is_not_repeated(world: World, kvm1: FakeHost) -> None:
    with pytest.raises(MissingLease):
        await leases.renew(world, await job_of(world, paused="kvm1"))
    assert kvm1.done == []


async def test_a_lease_that_another_host_holds_stays_there(world: World, kvm1: FakeHost) -> None:
    kvm1.failing["resume"] = LibvirtError("resource busy")
    with pytest.raises(MissingLease, match="held elsewhere"):
        await leases.renew(world, await job_of(world))
    vm = await world.store.vm("web1")
    assert vm.power is PowerState.PAUSED and "resource busy" in vm.why
    assert [event.kind for event in await world.store.events()] == ["alarm"]
