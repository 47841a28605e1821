"""What others reported of such clusters: what ends with a host, lies below a disk, or is not written down."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any, cast

import pytest

import vmctl.store.patience as stores
from tests.act.crash import new_job, to_its_end
from tests.act.hosts import UUID, FakeHost
from tests.act.test_restart import look
from vmctl.act import create, delete, migrate, power, storage
from vmctl.act.reconcile import reconcile
from vmctl.errors import HostKeyChanged, LibvirtError, RegistryUnusable
from vmctl.hosts import domainxml
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import About, DomainSeen, Shown
from vmctl.model.plans import Placement
from vmctl.model.records import Image, Storage, VMRecord
from vmctl.model.vms import Disk, PowerState, Spec
from vmctl.services import Services
from vmctl.store.sql import SqlStore

RUNNING, STOPPED = PowerState.RUNNING, PowerState.STOPPED
THEIRS, OWN = "22222222-2222-3333-4444-555555555555", f"/s/vm-web1-{UUID}/disk.qcow2"
TINY = "/s/image-tiny-00/disk.qcow2"


@pytest.fixture
async def shared(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> FakeHost:
    """A storage with an image on it and the disk of web1, which is stopped."""
    kvm1.files |= {TINY: b"image", OWN: b"disk"}
    await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1", "kvm2"]))
    await services.store.put(Image("tiny", "main", TINY, 1.0, size_bytes=1 << 20))
    return kvm1


@pytest.fixture
async def off(services: Services, shared: FakeHost) -> None:
    spec = replace((await services.store.vm(UUID)).spec, disks=(Disk("main", OWN),))
    await services.store.change(VMRecord, UUID, spec=spec, power=STOPPED, host="", may_run_on={})


async def theirs_on(services: Services, host: FakeHost, below: str, runs: bool = True) -> None:
    """A VM that somebody else made runs there, its disk is a clone of `below`."""
    xml = domainxml.build(Spec(THEIRS, "theirs", 1, 64, (Disk("main", "/s/theirs.qcow2"),)), domainxml.Site("kvm"))
    xml = re.sub("<metadata>.*</metadata>", "", xml)
    chain = f"<backingStore type='file'><format type='qcow2'/><source file='{below}'/><backingStore/></backingStore>"
    live = re.sub(r'(<source file="/s/theirs.qcow2" />)', rf"\1{chain}", xml)
    assert chain in live
    host.domains[THEIRS] = DomainSeen(THEIRS, "theirs", RUNNING if runs else STOPPED, persistent=True)
    host.kept[THEIRS] = Shown(live=live if runs else "", kept=xml)
    host.below["/s/theirs.qcow2"] = [below]
    await reconcile(services, cast(HostLink, host))
    await reconcile(services, cast(HostLink, host))


async def test_what_a_hosts_orderly_reboot_ends_is_still_wanted(services: Services, kvm1: FakeHost) -> None:
    """apache/cloudstack#4211: systemd ends the guests while the host still answers."""
    await services.store.change(VMRecord, UUID, wanted="running")
    kvm1.shows(RUNNING)
    await look(services, kvm1)
    kvm1.shows(None)
    await look(services, kvm1)
    kvm1.silent()
    kvm1.since = kvm1.lost_since = time.time() - 60
    await look(services, kvm1)
    kvm1.online, kvm1.boot_id = True, "boot-2"
    await look(services, kvm1)
    vm = await services.store.vm(UUID)
    assert (vm.power, vm.wanted) == (STOPPED, "running")


async def test_a_vm_that_was_moved_past_us_to_a_silent_host_is_not_deleted(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    """apache/cloudstack#3741."""
    kvm2.silent()
    kvm1.shows(RUNNING)
    await look(services, kvm1)
    kvm1.shows(None)
    kvm1.moved_away.add(UUID)  # as libvirt's event says
    await look(services, kvm1)
    assert await to_its_end(services, delete.delete, await new_job(services, "delete", "web1", vm=UUID)) != "done"


@pytest.mark.parametrize("runs", [True, False])
async def test_an_image_below_somebody_elses_disk_stays(services: Services, shared: FakeHost, runs: bool) -> None:
    """harvester/harvester#902. A VM that was never seen running: its definition names no chain, its disk does."""
    await theirs_on(services, shared, TINY, runs)
    said = await to_its_end(
        services, storage.image_remove, await new_job(services, "image remove", "tiny", name="tiny")
    )
    assert "theirs" in said and TINY in shared.files


async def test_a_disk_below_somebody_elses_disk_stays(services: Services, shared: FakeHost, off: None) -> None:
    """kimchi-project/kimchi#1276, the other way round."""
    await theirs_on(services, shared, OWN)
    said = await to_its_end(services, delete.delete, await new_job(services, "delete", "web1", vm=UUID))
    assert "theirs" in said and OWN in shared.files


async def test_a_disk_that_a_host_without_the_mount_does_not_show_is_not_called_deleted(
    services: Services, shared: FakeHost, off: None, kvm2: FakeHost
) -> None:
    """OpenNebula/one#774: the storage is not mounted on kvm1, which is asked first."""
    kvm2.files, shared.files = dict(shared.files), {}
    shared.lost = {"/s/lockspace"}
    said = await to_its_end(services, delete.delete, await new_job(services, "delete", "web1", vm=UUID))
    assert said != "done" or OWN not in kvm2.files


async def test_an_image_that_is_half_deleted_is_not_registered_with_a_disk_that_is_gone(
    services: Services, shared: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.store.put(Image("tiny", "main", TINY, 1.0, size_bytes=1 << 20, kernel="/s/image-tiny-00/kernel"))
    real = shared.delete_volume

    async def delete_volume(pool: str, name: str) -> None:
        if name.endswith("kernel"):
            raise LibvirtError("no")
        await real(pool, name)

    monkeypatch.setattr(shared, "delete_volume", delete_volume)
    await to_its_end(services, storage.image_remove, await new_job(services, "image remove", "tiny", name="tiny"))
    assert await services.store.find(Image, "tiny") is None or TINY in shared.files


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch, hurry: None) -> None:
    """OpenNebula/one#6592: the registry takes nothing just when a start is to be written down, for too long."""
    real, said = SqlStore._lease, list[str]()
    monkeypatch.setattr(stores, "PATIENCE_S", -1.0)

    async def lease(self: SqlStore, vm: VMRecord, host: str, state: PowerState, **more: Any) -> VMRecord:
        if state is RUNNING and not said:
            said.append(host)
            raise RegistryUnusable("its file system is full")
        return await real(self, vm, host, state, **more)

    monkeypatch.setattr(SqlStore, "_lease", lease)


def placed(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    async def there(*_: Any) -> Placement:
        return Placement("it", host, (), f"{host}: told so")

    monkeypatch.setattr(power, "choose", there)


async def test_a_start_that_could_not_be_written_down_is_not_undone(
    services: Services, shared: FakeHost, busy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed(monkeypatch, "kvm1")
    args = {"name": "book", "image": "tiny", "mem_mib": 128, "needs": {}, "host": "kvm1"}
    await to_its_end(services, create.create, await new_job(services, "create", "book", **args))
    vm = await services.store.vm("book")
    assert vm.uuid in shared.domains and vm.spec.disks[0].path in shared.files


async def test_a_cold_move_that_could_not_be_written_down_starts_no_second_copy(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, busy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed(monkeypatch, "kvm2")
    spec = Spec(UUID, "web1", 1, 512, (Disk("main", "/s/web1.qcow2"),))
    await services.store.put(Storage("main", "/s", 1.0, "", ["kvm1", "kvm2"]))
    await services.store.change(VMRecord, UUID, spec=spec, wanted="running")
    kvm1.spec = spec
    kvm1.shows(RUNNING)
    await to_its_end(
        services, migrate.migrate, await new_job(services, "migrate", "web1", vm=UUID, cold=True, to="kvm2")
    )
    assert (list(kvm1.domains), list(kvm2.domains)) == ([], [UUID])
    assert (await services.store.vm(UUID)).power is not STOPPED


async def test_a_qemu_that_libvirt_lost_sight_of_is_not_gone(
    services: Services, shared: FakeHost, kvm2: FakeHost
) -> None:
    """autotest/tp-libvirt PR 784: libvirtd was restarted, the VM disappears and its process goes on."""
    spec = replace((await services.store.vm(UUID)).spec, disks=(Disk("main", OWN),))
    await services.store.change(VMRecord, UUID, spec=spec)
    shared.shows(None)
    shared.qemus = ["4711"]
    await look(services, shared)
    vm = await services.store.vm(UUID)
    assert vm.power is PowerState.UNKNOWN and "its QEMU runs (process 4711)" in vm.why
    assert [event.kind for event in await services.store.events()] == ["alarm"]
    for kind, handler in (("start", power.start), ("delete", delete.delete)):
        said = await to_its_end(services, handler, await new_job(services, kind, "web1", vm=UUID))
        assert "its QEMU runs" in said and OWN in shared.files
    shared.qemus = []
    await look(services, shared)
    assert (await services.store.vm(UUID)).power is STOPPED


async def test_a_host_that_is_another_machine_is_not_trusted() -> None:
    """openshift/assisted-installer#189: machines made from one template, with one SSH key."""
    link = HostLink.__new__(HostLink)
    link.name, link.record = "kvm1", FakeHost("kvm1").record
    about = About("9.0.0", "7.2.0", "kvm", "", (), 1, 1, "machine-kvm1")
    link._check_machine(about)
    with pytest.raises(HostKeyChanged, match="kvm1 is another machine"):
        link._check_machine(replace(about, host_uuid="another"))
