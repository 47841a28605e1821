"""Making VMs and images: what fails leaves nothing behind, and takes away nothing that it did not make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.act.crash import Life, deaths, new_job, to_its_end
from tests.act.hosts import UUID, FakeHost
from vmctl.act import create, delete, power, storage
from vmctl.commands import catalogue
from vmctl.commands.vms import Create
from vmctl.errors import LibvirtError, NoAnswer, NotFound, NotSent, Refused, Unreachable
from vmctl.model.plans import Placement
from vmctl.model.records import Image, Storage, Task, VMRecord
from vmctl.model.vms import Disk, PowerState
from vmctl.services import Services
from vmctl.tasks import AnyJob, Job

MIB = 1 << 20
STRANGERS = {"/s/book.json": b"a book", "/s/image-foo.qcow2": b"a VM's disk", "/s/book.qcow2": b"a stranger's disk"}


@pytest.fixture(autouse=True)
def _placed(monkeypatch: pytest.MonkeyPatch, hurry: None) -> None:
    async def kvm1(*_: Any) -> Placement:
        return Placement("book", "kvm1", (), "kvm1: told so")

    monkeypatch.setattr(power, "choose", kvm1)


@pytest.fixture
async def shared(services: Services, kvm1: FakeHost) -> FakeHost:
    """A storage with one image on it, and what others keep there."""
    kvm1.files |= STRANGERS | {"/s/image-tiny-00.qcow2": b"image"}
    await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1"]))
    await services.store.put(Image("tiny", "main", "/s/image-tiny-00.qcow2", 1.0, size_bytes=MIB))
    return kvm1


@pytest.fixture
def picture(tmp_path: Path) -> Iterator[str]:
    """An image's file."""
    path = tmp_path / "twin.raw"
    path.write_bytes(bytes(510) + b"\x55\xaa" + b"x" * 3584)
    yield str(path)


async def book(services: Services, **more: Any) -> AnyJob:
    args = {"name": "book", "image": "tiny", "mem_mib": 128, "needs": {}, "host": "kvm1"} | more
    return await new_job(services, "create", "book", **args)


def consistent(files: dict[str, bytes], vms: list[VMRecord], images: list[Image]) -> None:
    """Each file is a stranger's or the registry's, and the registry has no file that is not there."""
    expected = {path for image in images for path in (image.path, image.kernel, image.initrd) if path}
    for vm in vms:
        expected |= {path for disk in vm.spec.disks for path in (disk.path, disk.path.replace(".qcow2", ".json"))}
        expected |= {f"/s/lockspace/{vm.uuid}"} if vm.spec.disks else set()
    assert set(files) == expected | set(STRANGERS)
    assert {path: files[path] for path in STRANGERS} == STRANGERS


async def agree(services: Services, host: FakeHost) -> None:
    consistent(host.files, await services.store.all(VMRecord), await services.store.all(Image))


async def test_a_vm_is_made_beside_strangers_of_its_name(services: Services, shared: FakeHost) -> None:
    assert await to_its_end(services, create.create, await book(services)) == "done"
    vm = await services.store.vm("book")
    assert (vm.power, vm.host, vm.wanted, vm.may_run_on) == (
        PowerState.RUNNING,
        "kvm1",
        "running",
        {"kvm1": "machine-kvm1"},
    )
    await agree(services, shared)


@pytest.mark.parametrize("call", ["create_volume", "upload", "create"])
@pytest.mark.parametrize("error", [LibvirtError("it exists already"), NotSent("no connection"), Unreachable("gone")])
async def test_a_create_that_fails_takes_away_what_it_made(
    services: Services, shared: FakeHost, call: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.failing[call] = error  # type: ignore[assignment]
    assert await to_its_end(services, create.create, await book(services)) == error.message  # type: ignore[attr-defined]
    assert [vm.name for vm in await services.store.all(VMRecord)] == ["web1"]
    await agree(services, shared)


@pytest.mark.parametrize("call", ["create_volume", "created", "upload"])
async def test_a_file_whose_making_was_not_answered_is_taken_away_and_may_still_come(
    services: Services, shared: FakeHost, call: str
) -> None:
    """The host may do it later: who forgot the VM then would leave a file that nobody knows. It goes by a delete."""
    shared.failing[call] = NoAnswer("no word")
    assert await to_its_end(services, create.create, await book(services)) == "no word"
    assert not [path for path in shared.files if "vm-book" in path]
    left = await services.store.vm("book")
    assert left.half and left.why == "half made, and more may come: no word" and left.power is PowerState.STOPPED
    kept = await services.store.add(Task(0, "delete", "book", 1.0, args={"vm": left.uuid}))
    job: AnyJob = Job(await services.store.get(Task, kept), catalogue.tasks()["delete"], services.store)
    await delete.delete(services, job)
    assert [vm.name for vm in await services.store.all(VMRecord)] == ["web1"]
    assert "may still make files in" in (await services.store.events())[-1].text


async def test_a_create_whose_start_was_not_answered_and_did_not_happen_is_undone(
    services: Services, shared: FakeHost
) -> None:
    shared.failing["create"] = NoAnswer("no word")
    assert await to_its_end(services, create.create, await book(services)) == "book was not started on kvm1: no word"
    assert [vm.name for vm in await services.store.all(VMRecord)] == ["web1"]
    await agree(services, shared)


async def test_a_vm_whose_start_is_uncertain_keeps_its_disk(services: Services, shared: FakeHost) -> None:
    real = shared.create

    async def silent(xml: str) -> None:
        await real(xml)
        shared.silent()
        raise NoAnswer("no word")

    shared.create = silent  # type: ignore[method-assign]
    said = await to_its_end(services, create.create, await book(services))
    assert said == "whether book was started on kvm1 is not known"
    vm = await services.store.vm("book")
    assert (vm.power, vm.last_host) == (PowerState.UNKNOWN, "kvm1")
    await agree(services, shared)


async def test_what_cannot_be_taken_away_stays_registered(services: Services, shared: FakeHost) -> None:
    shared.failing |= {"create": LibvirtError("no"), "delete_volume": LibvirtError("the storage is gone")}
    job = await book(services)
    assert await to_its_end(services, create.create, job) == "book was not started on kvm1: no"
    vm = await services.store.vm("book")
    assert (vm.power, vm.why) == (PowerState.STOPPED, "half made: book was not started on kvm1: no")
    assert "vmctl delete book" in str(job.log)
    assert await to_its_end(services, delete.delete, await new_job(services, "delete", "book", vm=vm.uuid)) == "done"
    await agree(services, shared)


async def test_a_name_that_is_taken_is_refused_before_anything_is_decided(services: Services, shared: FakeHost) -> None:
    said = await to_its_end(services, create.create, await book(services, name="web1"))
    assert said == "there is already a VM 'web1'"
    assert await services.store.decisions(UUID) == []


@pytest.mark.parametrize("no_start", [False, True])
async def test_a_controller_that_dies_in_a_create(
    services: Services, shared: FakeHost, life: Life, no_start: bool
) -> None:
    async def begin() -> AnyJob:
        if await services.store.find_vm("book") is not None:
            shared.domains.clear()
            await to_its_end(services, delete.delete, await new_job(services, "delete", "book", vm="book"))
        return await book(services, no_start=no_start)

    async for step, said in deaths(life, services, create.create, begin):
        assert said in ("done", "book was not created: the controller ended first"), step
        vm = await services.store.find_vm("book")
        assert (vm is not None) == (said == "done"), step
        runs = [domain.name for domain in shared.domains.values()]
        assert runs == (["book"] if vm is not None and not no_start else []), step
        assert vm is None or vm.task is None, step
        await agree(services, shared)
    await agree(services, shared)


async def test_a_controller_that_dies_in_a_delete(services: Services, shared: FakeHost, life: Life) -> None:
    async def begin() -> AnyJob:
        if await services.store.find_vm("book") is None:
            await to_its_end(services, create.create, await book(services, no_start=True))
        return await new_job(services, "delete", "book", vm=(await services.store.vm("book")).uuid)

    async for step, said in deaths(life, services, delete.delete, begin):
        assert said == "done", step
        assert await services.store.find_vm("book") is None, step
        await agree(services, shared)


# -- images


async def add(services: Services, picture: str) -> AnyJob:
    return await new_job(services, "image add", "twin", name="twin", file=picture)


async def test_an_image_never_takes_a_vms_name(services: Services, shared: FakeHost, picture: str) -> None:
    job = await new_job(services, "image add", "foo", name="foo", file=picture)
    assert await to_its_end(services, storage.image_add, job) == "done"
    await agree(services, shared)


@pytest.mark.parametrize("call", ["create_volume", "upload", "created"])
@pytest.mark.parametrize("error", [LibvirtError("it exists already"), NoAnswer("no word")])
async def test_an_upload_that_fails_takes_away_what_it_made(
    services: Services, shared: FakeHost, picture: str, call: str, error: LibvirtError | NoAnswer
) -> None:
    if call == "created" and isinstance(error, LibvirtError):
        return  # a host that says no has not made it
    shared.failing[call] = error
    assert await to_its_end(services, storage.image_add, await add(services, picture)) == error.message
    assert await services.store.find(Image, "twin") is None
    await agree(services, shared)


async def test_a_storage_without_room_is_told_as_full(services: Services, shared: FakeHost, picture: str) -> None:
    shared.free = 100
    said = await to_its_end(services, storage.image_add, await add(services, picture))
    assert said == "storage main is full: twin.raw needs 4096 bytes, 100 bytes are free"
    await agree(services, shared)
    shared.free, shared.failing["upload"] = 1 << 30, LibvirtError("cannot write: No space left on device")
    said = await to_its_end(services, storage.image_add, await add(services, picture))
    assert said == "storage main is full: twin.raw needs 4096 bytes, 0 bytes are free"
    await agree(services, shared)


async def test_what_does_not_read_back_is_not_registered(services: Services, shared: FakeHost, picture: str) -> None:
    """A write that nobody said had failed: all zeros."""
    shared.loses_writes = True
    said = await to_its_end(services, storage.image_add, await add(services, picture))
    assert "does not read back from kvm1 as it was written" in said
    assert await services.store.find(Image, "twin") is None
    await agree(services, shared)


async def test_what_is_no_image_makes_nothing(
    services: Services, shared: FakeHost, tmp_path: Path, picture: str
) -> None:
    (tmp_path / "page.qcow2").write_text("<html>404 Not Found</html>")
    job = await new_job(services, "image add", "page", name="page", file=str(tmp_path / "page.qcow2"))
    assert "is a web page, no disk image" in await to_its_end(services, storage.image_add, job)
    job = await new_job(services, "image add", "twin", name="twin", file=picture, initrd=picture)
    assert await to_its_end(services, storage.image_add, job) == "an initrd is nothing without its kernel"
    await agree(services, shared)


async def test_of_two_images_of_one_name_one_is_registered_with_its_file(
    services: Services, shared: FakeHost, picture: str
) -> None:
    jobs = [await add(services, picture) for _ in range(2)]
    said = await asyncio.gather(*(to_its_end(services, storage.image_add, job) for job in jobs))
    assert sorted(said) == ["done", "there is already an image 'twin'"]
    await agree(services, shared)


async def test_a_controller_that_dies_in_an_upload(
    services: Services, shared: FakeHost, life: Life, picture: str
) -> None:
    async def begin() -> AnyJob:
        if await services.store.find(Image, "twin") is not None:
            await to_its_end(
                services, storage.image_remove, await new_job(services, "image remove", "twin", name="twin")
            )
        return await add(services, picture)

    async for step, said in deaths(life, services, storage.image_add, begin):
        assert said in ("done", "image twin was not added: the controller ended first"), step
        assert (await services.store.find(Image, "twin") is not None) == (said == "done"), step
        await agree(services, shared)


async def test_a_controller_that_dies_in_the_removal_of_an_image(
    services: Services, shared: FakeHost, life: Life, picture: str
) -> None:
    async def begin() -> AnyJob:
        if await services.store.find(Image, "twin") is None:
            assert await to_its_end(services, storage.image_add, await add(services, picture)) == "done"
        return await new_job(services, "image remove", "twin", name="twin")

    async for step, said in deaths(life, services, storage.image_remove, begin):
        assert said == "done", step
        assert await services.store.find(Image, "twin") is None, step
        await agree(services, shared)


async def test_an_image_whose_file_cannot_be_deleted_stays_registered(services: Services, shared: FakeHost) -> None:
    shared.failing["delete_volume"] = LibvirtError("read-only")
    assert (
        await to_its_end(services, storage.image_remove, await new_job(services, "image remove", "t", name="tiny"))
        == "read-only"
    )
    await agree(services, shared)


async def test_the_cause_is_told_though_an_image_cannot_be_registered_again(
    services: Services, shared: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its storage was forgotten while the host that was to delete its file did not answer."""
    shared.failing["delete_volume"] = NoAnswer("kvm1 does not answer")

    async def forgotten(_image: Image, **_: Any) -> None:
        raise NotFound("there is no storage 'main'")

    job = await new_job(services, "image remove", "tiny", name="tiny")
    monkeypatch.setattr(services.store, "add_image", forgotten)
    with pytest.raises(NoAnswer, match="kvm1 does not answer") as raised:
        await storage.image_remove(services, job)
    (line,) = raised.value.lines
    assert line.startswith("image tiny is registered no more: there is no storage 'main'; its files stay: /")


async def test_no_vm_is_made_from_an_image_that_goes(services: Services, shared: FakeHost) -> None:
    spec, _, _ = await create.make_spec(services, Create("late", "tiny", 128))
    await services.store.take_image("tiny")
    with pytest.raises(NotFound, match="no image 'tiny'"):
        await services.store.add_vm(VMRecord(spec, 1.0), made=True)


async def test_an_image_that_a_disk_is_built_on_stays(services: Services, shared: FakeHost) -> None:
    await to_its_end(services, create.create, await book(services, no_start=True))
    with pytest.raises(Refused, match="disks of book are built on image tiny") as caught:
        await services.store.take_image("tiny")
    assert caught.value.hint == "vmctl delete book"


# -- disks of older versions


async def test_a_strangers_file_that_has_an_older_disks_name_is_left(services: Services, shared: FakeHost) -> None:
    """Earlier versions wrote NAME.json beside NAME.qcow2: only one that holds the VM's own UUID is its own."""
    vm = await services.store.vm("web1")
    spec = vm.spec.__class__(UUID, "book", 1, 128, (Disk("main", "/s/mine.qcow2"),))
    shared.files |= {"/s/mine.qcow2": b"disk", "/s/mine.json": b'{"uuid": "another"}'}
    await services.store.change(VMRecord, UUID, spec=spec, power=PowerState.STOPPED, host="", may_run_on={})
    assert await to_its_end(services, delete.delete, await new_job(services, "delete", "book", vm=UUID)) == "done"
    assert "/s/mine.qcow2" not in shared.files and "/s/mine.json" in shared.files


# -- what is not its own

OTHER = "33333333-2222-3333-4444-555555555555"
DISK = f"/s/vm-book-{OTHER}/disk.qcow2"


async def test_a_file_that_lies_where_its_disk_goes_stays(
    services: Services, shared: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it came there: it is not written over, and does not go with what was made."""
    monkeypatch.setattr(type(services.ids), "uuid", lambda _self: OTHER)
    shared.files[DISK] = b"somebody's"
    assert "exists already" in await to_its_end(services, create.create, await book(services))
    assert shared.files[DISK] == b"somebody's"


async def test_what_only_a_link_leads_to_is_not_undone(
    services: Services, shared: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody moved its folder while its start failed: nothing is taken away, and the VM stays registered."""
    monkeypatch.setattr(type(services.ids), "uuid", lambda _self: OTHER)
    shared.failing["create"], shared.links = LibvirtError("no"), {DISK.rpartition("/")[0]}
    assert await to_its_end(services, create.create, await book(services)) == "book was not started on kvm1: no"
    assert DISK in shared.files and (await services.store.vm("book")).half


async def test_a_disk_in_the_folder_of_another_is_left(services: Services, shared: FakeHost) -> None:
    disks = Disk("main", f"/s/vm-web1-{UUID}/disk.qcow2"), Disk("main", DISK)
    spec = (await services.store.vm("web1")).spec.__class__(UUID, "web1", 1, 128, disks)
    shared.files |= {disk.path: b"data" for disk in disks}
    await services.store.change(VMRecord, UUID, spec=spec, power=PowerState.STOPPED, host="", may_run_on={})
    assert await to_its_end(services, delete.delete, await new_job(services, "delete", "web1", vm=UUID)) == "done"
    assert disks[0].path not in shared.files and DISK in shared.files
