"""A VM without its lease: it gets it back by a pause, and a pause that a dead controller left is ended."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any, cast

import pytest

from tests.act.crash import job_again
from tests.act.hosts import FakeHost
from vmctl.act import leaked, leases
from vmctl.act.leases import missing as really_missing
from vmctl.errors import LibvirtError, MissingLease
from vmctl.hosts.facts import Fact
from vmctl.hosts.link import HostLink
from vmctl.model.records import Storage, Task, VMRecord
from vmctl.model.vms import Disk, PowerState, Spec
from vmctl.services import Services
from vmctl.tasks import AnyJob, Tasks


async def job_of(services: Services, **journal: str) -> AnyJob:
    number = await services.store.add(Task(0, "renew lease", "web1", 1.0, args={"vm": "web1"}, journal=dict(journal)))
    return await job_again(services, number)


@pytest.fixture
def kvm1(kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host that gives a lease to whoever is resumed."""

    async def missing(_services: Services, _link: HostLink, vms: list[VMRecord]) -> list[VMRecord]:
        return [] if "resume" in kvm1.done else vms

    monkeypatch.setattr(leases, "missing", missing)
    kvm1.shows(PowerState.RUNNING)
    return kvm1


async def test_a_pause_gives_the_lease_back(services: Services, kvm1: FakeHost) -> None:
    await services.store.change(VMRecord, (await services.store.vm("web1")).uuid, why=f"{leases.MISSING} on kvm1")
    await leases.renew(services, await job_of(services))
    assert kvm1.done == ["suspend", "resume"]
    vm = await services.store.vm("web1")
    assert (vm.power, vm.why) == (PowerState.RUNNING, "")


async def test_a_pause_that_was_left_is_ended(services: Services, kvm1: FakeHost) -> None:
    kvm1.shows(PowerState.PAUSED)
    await leases.renew(services, await job_of(services, paused="kvm1"))
    assert kvm1.done == ["resume"]


async def test_a_pause_that_was_ended_is_not_repeated(services: Services, kvm1: FakeHost) -> None:
    with pytest.raises(MissingLease):
        await leases.renew(services, await job_of(services, paused="kvm1"))
    assert kvm1.done == []


async def test_a_lease_that_another_host_holds_stays_there(services: Services, kvm1: FakeHost) -> None:
    kvm1.failing["resume"] = LibvirtError("resource busy")
    with pytest.raises(MissingLease, match="held elsewhere"):
        await leases.renew(services, await job_of(services))
    vm = await services.store.vm("web1")
    assert vm.power is PowerState.PAUSED and "resource busy" in vm.why
    assert [event.kind for event in await services.store.events()] == ["alarm"]


async def test_an_alarm_ends_with_its_cause(services: Services, kvm1: FakeHost) -> None:
    """It holds its lease again, and no task of ours gave it back."""
    uuid = (await services.store.vm("web1")).uuid
    await services.store.change(VMRecord, uuid, why=f"{leases.MISSING} on kvm1")
    kvm1.done.append("resume")  # somebody else did
    await leases.Guard(services, Tasks(services.store)).look(cast(HostLink, kvm1))
    assert (await services.store.vm("web1")).why == ""


async def test_a_virtlockd_that_was_restarted_makes_it_look_at_once(services: Services, kvm1: FakeHost) -> None:
    guard, link = leases.Guard(services, Tasks(services.store)), cast(HostLink, kvm1)
    looks: list[str] = []

    async def missing(_services: Services, _link: HostLink, _vms: list[VMRecord]) -> list[VMRecord]:
        looks.append(services.lockds.get("kvm1", ""))
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "missing", missing)
        for lockd in ("", "boot-1 10:5", "boot-1 10:5", "boot-1 11:9", "boot-1 11:9", "boot-2 10:5"):
            services.lockds["kvm1"] = lockd
            await guard.look(link)
    assert looks == ["", "boot-1 10:5", "boot-1 11:9", "boot-2 10:5"]
    [told] = await services.store.events()
    assert told.kind == "lease" and told.text.startswith("virtlockd on kvm1 was restarted"), "not for a reboot"


async def test_a_lease_left_behind_is_told_from_a_copy(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is held on a host whose QEMUs do not have it: its lock files are replaced, and nobody else's."""
    uuid = (await services.store.vm("web1")).uuid
    spec = Spec(uuid, "web1", 1, 512, (Disk("main", f"/s/vm-web1-{uuid}/disk.qcow2"), Disk("main", "/s/common.qcow2")))
    await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1"]))
    await services.store.change(VMRecord, uuid, spec=spec, power=PowerState.STOPPED, host="", may_run_on={})
    own, common = (f"/s/lockspace/{sha256(disk.path.encode()).hexdigest()}" for disk in spec.disks)
    kvm1.files |= {f"/s/lockspace/{uuid}": b"old", own: b"", common: b""}
    kvm1.domains.clear()
    held, running = [uuid], ["/proc/7"]

    async def ask(fact: Fact[Any]) -> Any:
        return frozenset(held) if "/proc/locks" in fact.command[2] else list(running)

    monkeypatch.setattr(kvm1, "ask", ask, raising=False)
    vm = await services.store.vm("web1")
    assert await leaked.replace_lease(services, vm) == [], "a QEMU has it: it is a copy"
    running.clear()
    assert await leaked.replace_lease(services, vm) == ["kvm1"]
    assert kvm1.files == {f"/s/lockspace/{uuid}": b"", common: b""}
    assert "was left behind by virtlockd on kvm1" in (await services.store.events())[-1].text


async def test_a_key_that_was_taken_is_made_again_before_anything_is_paused(services: Services, kvm1: FakeHost) -> None:
    uuid = (await services.store.vm("web1")).uuid
    spec = Spec(uuid, "web1", 1, 512, (Disk("main", "/s/web1.qcow2"),))
    await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1"]))
    await services.store.change(VMRecord, uuid, spec=spec)
    kvm1.failing["create_volume"] = LibvirtError("no space left")
    job = await job_of(services)
    with pytest.raises(LibvirtError):
        await leases.renew(services, job)
    assert "suspend" not in kvm1.done
    await leases.renew(services, job)
    assert kvm1.done[-2:] == ["suspend", "resume"] and f"/s/lockspace/{uuid}" in kvm1.files


async def test_what_we_paused_is_let_go_on_again_and_again(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another cause than a lock is not called one, and it goes on as soon as it can."""
    monkeypatch.setattr(leases, "SECOND_LOOK_S", 0.0)
    kvm1.failing["resume"] = LibvirtError("Unable to open resource: No such file")
    job = await job_of(services, paused="kvm1")
    kvm1.shows(PowerState.PAUSED)
    await leases.renew(services, job)
    assert (await services.store.vm("web1")).power is PowerState.RUNNING
    monkeypatch.setattr(leases, "RESUME_FOR_S", -1.0)
    kvm1.shows(PowerState.PAUSED)
    kvm1.failing["resume"] = LibvirtError("Unable to open resource: No such file")
    with pytest.raises(MissingLease, match="its lease cannot be taken"):
        await leases.renew(services, job)
    assert "another host" not in (await services.store.events())[-1].text


async def test_an_adopted_vms_lease_is_its_owners_business(
    services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(_fact: Fact[Any]) -> frozenset[str]:
        return frozenset()

    monkeypatch.setattr(kvm1, "ask", ask, raising=False)
    await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1"]))
    ours = replace(await services.store.vm("web1"), spec=Spec("u", "web1", 1, 512, (Disk("main", "/s/web1.qcow2"),)))
    theirs = replace(ours, adopted=True)
    assert await really_missing(services, cast(HostLink, kvm1), [ours]) == [ours]
    assert await really_missing(services, cast(HostLink, kvm1), [theirs]) == []
