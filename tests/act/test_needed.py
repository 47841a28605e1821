"""What somebody else needs, or what only a link leads to, is not deleted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

import pytest

from tests.act.crash import new_job, to_its_end
from tests.act.hosts import UUID, FakeHost
from vmctl.act import delete, storage
from vmctl.act.reconcile import reconcile
from vmctl.hosts import domainxml
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import DomainSeen, Shown
from vmctl.model.records import Image, Storage, VMRecord
from vmctl.model.vms import Disk, PowerState, Spec
from vmctl.services import Services

THEIRS, FOLDER = "22222222-2222-3333-4444-555555555555", f"/s/vm-web1-{UUID}"
OWN, TINY = f"{FOLDER}/disk.qcow2", "/s/image-tiny-00/disk.qcow2"


@pytest.fixture(autouse=True)
async def shared(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> FakeHost:
    """A storage with an image on it and the disk of web1, which is stopped."""
    kvm1.files |= {TINY: b"image", OWN: b"disk"}
    await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1", "kvm2"]))
    await services.store.put(Image("tiny", "main", TINY, 1.0, size_bytes=1 << 20))
    spec = replace((await services.store.vm(UUID)).spec, disks=(Disk("main", OWN),))
    await services.store.change(VMRecord, UUID, spec=spec, power=PowerState.STOPPED, host="", may_run_on={})
    return kvm1


async def delete_web1(services: Services) -> str:
    return await to_its_end(services, delete.delete, await new_job(services, "delete", "web1", vm=UUID))


async def remove_tiny(services: Services) -> str:
    return await to_its_end(
        services, storage.image_remove, await new_job(services, "image remove", "tiny", name="tiny")
    )


async def adopted(services: Services, host: FakeHost, disk: str) -> None:
    """Somebody defined a VM there, and nothing is known yet of what lies below its disk."""
    xml = domainxml.build(Spec(THEIRS, "theirs", 1, 64, (Disk("main", disk),)), domainxml.Site("kvm"))
    host.domains[THEIRS] = DomainSeen(THEIRS, "theirs", PowerState.STOPPED, persistent=True)
    host.kept[THEIRS] = Shown(kept=xml)
    await reconcile(services, cast(HostLink, host))
    await services.store.change(VMRecord, THEIRS, adopted=True, files=[])


async def test_what_is_behind_a_link_stays(services: Services, kvm1: FakeHost) -> None:
    """Somebody moved the folder and left a link: to another VM's folder, as it happens."""
    kvm1.links = {FOLDER}
    said = await delete_web1(services)
    assert f"{FOLDER} is a link" in said and OWN in kvm1.files
    assert await services.store.find_vm("web1") is not None
    kvm1.links = {"/s/image-tiny-00"}
    assert "is a link" in await remove_tiny(services) and TINY in kvm1.files
    assert await services.store.find(Image, "tiny") is not None


@pytest.mark.parametrize("answers", [True, False])
async def test_a_vm_that_was_just_found_is_asked_for_what_lies_below(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, answers: bool
) -> None:
    await adopted(services, kvm2, "/s/theirs.qcow2")
    kvm2.below["/s/theirs.qcow2"] = [OWN, TINY]
    if not answers:
        kvm2.silent()
    for said in (await delete_web1(services), await remove_tiny(services)):
        assert "theirs" in said and (answers or "below the disks of theirs is not known" in said), said
    assert {OWN, TINY} <= kvm1.files.keys()


async def test_what_lies_below_a_volume_of_a_pool_stays(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    xml = domainxml.build(Spec(THEIRS, "theirs", 1, 64, (Disk("main", "/x"),)), domainxml.Site("kvm"))
    xml = re.sub("<metadata>.*</metadata>", "", xml)
    xml = xml.replace('<disk type="file"', '<disk type="volume"').replace('file="/x"', 'pool="p" volume="theirs.qcow2"')
    kvm2.domains[THEIRS] = DomainSeen(THEIRS, "theirs", PowerState.STOPPED, persistent=True)
    kvm2.kept[THEIRS] = Shown(kept=xml)
    kvm2.below["/pools/p/theirs.qcow2"] = [OWN]
    for _ in range(2):  # adopted, then read whole
        await reconcile(services, cast(HostLink, kvm2))
    assert "theirs needs" in await delete_web1(services) and OWN in kvm1.files


async def test_a_file_that_another_vm_calls_by_another_name_stays(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    await adopted(services, kvm2, "/srv/link.qcow2")
    kvm2.files, kvm2.same = kvm1.files, {"/srv/link.qcow2": OWN}
    assert "theirs needs" in await delete_web1(services) and OWN in kvm1.files
