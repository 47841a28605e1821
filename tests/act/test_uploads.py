"""Uploads: the host is silent, the name is taken, the reply is lost, the controller dies in the middle."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.act.crash import Died, Life, deaths, new_job, to_its_end
from tests.act.hosts import FakeHost
from vmctl.act import uploads
from vmctl.act.dropped import drop, take_abandoned
from vmctl.act.finish import finish
from vmctl.act.uploads import Wanted
from vmctl.errors import CommandFailed, HostError, LibvirtError, NoAnswer, NotFound, Refused, Unreachable
from vmctl.formats.imagefile import HEAD, QCOW
from vmctl.model.access import Project
from vmctl.model.records import HostRecord, Image, Storage
from vmctl.model.uploads import MOST_PIECE, Upload, UploadState
from vmctl.services import Services
from vmctl.tasks import AnyJob

DISK = os.urandom(3 * HEAD // 512 * 512)  # three pieces
KERNEL = os.urandom(1000)
HALF = HEAD + 4096
STRANGER = "/s/image-tiny-of-somebody/disk"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wanted(data: bytes = DISK, **more: object) -> Wanted:
    one = Wanted("tiny", {"file": len(data)}, {"file": sha256(data)}, "", "", "main", "default", "anna")
    return replace(one, **more)  # type: ignore[arg-type]


@pytest.fixture
async def shared(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> AsyncIterator[FakeHost]:
    """A storage of two hosts with a stranger's file on it. In the end that is there, whatever else happened."""
    kvm1.files[STRANGER] = b"theirs"
    await services.store.put(Storage("main", "/s", 1.0, "/s/lockspace", ["kvm1", "kvm2"]))
    yield kvm1
    assert kvm1.files[STRANGER] == b"theirs"


def ours(host: FakeHost) -> set[str]:
    return {path for path in host.files if path != STRANGER}


async def begun(services: Services, one: Wanted | None = None) -> Upload:
    return await uploads.begin(services, one or wanted(), services.ids.token())


async def fill(services: Services, key: str, data: bytes = DISK, part: str = "file", size: int = HALF) -> None:
    """Send what is left of a part, as a client does."""
    while (at := (await services.store.get(Upload, key)).next[part]) < len(data):
        await uploads.write(services, key, part, at, data[at : at + size])


async def finished(services: Services, key: str) -> str:
    return await to_its_end(services, finish, await new_job(services, "image finish", "tiny", upload=key))


async def dropped(services: Services, key: str) -> str:
    return await to_its_end(services, drop, await new_job(services, "image drop", "tiny", upload=key))


async def test_pieces_become_an_image(services: Services, shared: FakeHost) -> None:
    sizes, hashes = {"file": len(DISK), "kernel": len(KERNEL)}, {"file": sha256(DISK)}
    upload = await begun(services, wanted(sizes=sizes, hashes=hashes, cmdline="quiet"))
    await fill(services, upload.id)
    assert "is not whole: it lacks" in await finished(services, upload.id)
    await fill(services, upload.id, KERNEL, "kernel")
    assert await finished(services, upload.id) == "done"
    image = await services.store.get(Image, "tiny")
    assert (shared.files[image.path], shared.files[image.kernel]) == (DISK, KERNEL)
    assert (image.format, image.size_bytes, image.cmdline) == ("raw", len(DISK), "quiet")
    assert await services.store.all(Upload) == []
    [event] = [one for one in await services.store.events() if one.kind == "image"]
    assert event.text == "image tiny was added to main"
    assert "checksum" in shared.done or "checksum" in services.links["kvm2"].done  # type: ignore[attr-defined]


async def test_it_is_read_by_another_host_than_the_one_that_wrote_it(services: Services, shared: FakeHost) -> None:
    upload = await begun(services)
    await fill(services, upload.id)
    await finished(services, upload.id)
    assert upload.maker == "kvm1" and "checksum" not in shared.done


async def test_a_piece_sent_again_does_no_harm_and_one_of_two_is_told_the_offset(
    services: Services, shared: FakeHost
) -> None:
    upload = await begun(services)
    await uploads.write(services, upload.id, "file", 0, DISK[:HALF])
    again = await uploads.write(services, upload.id, "file", 0, DISK[:HALF])
    assert again.done == {"file": HALF}
    with pytest.raises(Refused, match=f"goes on at byte {HALF}"):
        await uploads.write(services, upload.id, "file", HALF + 512, b"x" * 512)
    both = await asyncio.gather(
        *(uploads.write(services, upload.id, "file", HALF, letter * 512) for letter in (b"a", b"b")),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Upload) for one in both) == 1, both
    assert sum(isinstance(one, Refused) for one in both) == 1, both
    won = next(letter for letter, one in zip((b"a", b"b"), both, strict=True) if isinstance(one, Upload))
    [path] = ours(shared)
    assert shared.files[path][HALF : HALF + 512] == won * 512


async def test_a_write_that_is_late_changes_nothing(services: Services, shared: FakeHost, kvm2: FakeHost) -> None:
    """The first host gives no answer and writes later; the second one wrote meanwhile, and all was counted."""
    upload = await begun(services)
    shared.failing["uploaded"] = NoAnswer("no answer")
    after = await uploads.write(services, upload.id, "file", 0, DISK[:HALF])
    assert after.done == {"file": HALF} and "upload" in kvm2.done
    for host in (shared, kvm2):
        host.failing["upload"] = NoAnswer("no answer")
    with pytest.raises(NoAnswer):
        await uploads.write(services, upload.id, "file", HALF, DISK[HALF:])
    with pytest.raises(Refused, match="were sent before, and are not counted yet"):
        await uploads.write(services, upload.id, "file", HALF, b"another file's bytes")
    await fill(services, upload.id, size=MOST_PIECE)
    assert await finished(services, upload.id) == "done"


async def test_what_the_disk_does_not_take_is_not_counted(services: Services, shared: FakeHost) -> None:
    upload = await begun(services)
    shared.failing["sync"] = CommandFailed("kvm1: `sync` exited 1: sync: error syncing: No space left on device")
    with pytest.raises(Refused, match="storage main is full"):
        await uploads.write(services, upload.id, "file", 0, DISK[:HALF])
    assert (await services.store.get(Upload, upload.id)).done == {}
    await fill(services, upload.id)
    assert await finished(services, upload.id) == "done", "there is room again"


async def test_a_storage_without_room_takes_none_of_it(services: Services, shared: FakeHost) -> None:
    shared.free = len(DISK) - 1
    with pytest.raises(Refused, match="storage main is full"):
        await begun(services)
    assert ours(shared) == set() and await services.store.all(Upload) == []
    assert (await begun(services, wanted(kind="raw"))).state is UploadState.OPEN, "it may be all holes"


async def test_what_was_never_written_is_zeros(services: Services, shared: FakeHost) -> None:
    data = bytes(HALF) + os.urandom(HALF)
    upload = await begun(services, wanted(data))
    await uploads.write(services, upload.id, "file", 0, data[:HALF])
    assert "upload" not in shared.done
    await fill(services, upload.id, data)
    assert await finished(services, upload.id) == "done"


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (QCOW + b"\0\0\0\3" + b"\0" * 7 + b"\x40" + bytes(96), "needs a backing file"),
        (b"<!DOCTYPE html>" + b" " * 600, "is a web page"),
        (b"KDMV" + bytes(600), "is a VMDK"),
    ],
)
async def test_what_no_host_may_see_reaches_none(services: Services, shared: FakeHost, head: bytes, why: str) -> None:
    """libvirt opens what a header says lies below: a file on the host, or a pipe that nobody writes to."""
    data = head.ljust(HEAD, head[-1:])
    upload = await begun(services, wanted(data))
    with pytest.raises(Refused, match="at least its first"):
        await uploads.write(services, upload.id, "file", 0, data[:3])
    with pytest.raises(Refused, match=why):
        await uploads.write(services, upload.id, "file", 0, data)
    assert "upload" not in shared.done and (await services.store.get(Upload, upload.id)).pending == {}


async def test_a_kernel_that_is_a_disk_reaches_none_either(services: Services, shared: FakeHost) -> None:
    upload = await begun(services, wanted(sizes={"file": len(DISK), "kernel": 100}))
    with pytest.raises(Refused, match="kernel is a disk image"):
        await uploads.write(services, upload.id, "kernel", 0, QCOW + bytes(96))
    assert "upload" not in shared.done


@pytest.mark.parametrize("kind", ["qcow2", "iso"])
async def test_what_is_something_else_than_was_said(services: Services, shared: FakeHost, kind: str) -> None:
    upload = await begun(services, wanted(kind=kind))
    with pytest.raises(Refused, match=r"was said to be qcow2|is no ISO 9660"):
        await uploads.write(services, upload.id, "file", 0, DISK[:HALF])


async def test_an_iso_is_taken(services: Services, shared: FakeHost) -> None:
    iso = bytes(32 << 10) + b"\x01CD001\x01" + os.urandom(6 * 2048 - 7)
    upload = await begun(services, wanted(iso, kind="iso"))
    await fill(services, upload.id, iso)
    assert await finished(services, upload.id) == "done"
    assert (await services.store.get(Image, "tiny")).format == "raw"


async def test_a_wrong_checksum_takes_it_all_away(services: Services, shared: FakeHost) -> None:
    upload = await begun(services, wanted(hashes={"file": "0" * 64}))
    await fill(services, upload.id)
    said = await finished(services, upload.id)
    assert "is not what was said" in said and sha256(DISK) in said
    assert ours(shared) == set() and await services.store.all(Upload) == []


async def test_without_a_checksum_it_is_said_that_nobody_compared(services: Services, shared: FakeHost) -> None:
    upload = await begun(services, wanted(hashes={}))
    await fill(services, upload.id)
    job = await new_job(services, "image finish", "tiny", upload=upload.id)
    result = await finish(services, job)
    assert (result["checked"], result["sha256"]) == ([], {"file": sha256(DISK)})
    assert "nobody compared it" in job.log[-1][1]


async def test_files_that_only_libvirt_may_read_are_read_through_it(services: Services, shared: FakeHost) -> None:
    for host in services.links.values():
        host.closed = True  # type: ignore[attr-defined]
    upload = await begun(services)
    await fill(services, upload.id)
    assert await finished(services, upload.id) == "done"


async def test_a_host_that_loses_writes_is_noticed(services: Services, shared: FakeHost) -> None:
    shared.loses_writes = True
    upload = await begun(services)
    await fill(services, upload.id)
    assert "is not what was said" in await finished(services, upload.id)


async def test_a_name_that_was_taken_meanwhile(services: Services, shared: FakeHost) -> None:
    upload = await begun(services)
    await fill(services, upload.id)
    theirs = Image("tiny", "main", STRANGER, 1.0)
    await services.store.add_image(theirs)
    assert "already an image" in await finished(services, upload.id)
    assert await services.store.get(Image, "tiny") == theirs
    assert (await services.store.get(Upload, upload.id)).made, "its files have an owner"
    await services.store.take_image("tiny")
    assert await finished(services, upload.id) == "done"
    with pytest.raises(Refused, match="already an image"):
        await begun(services)


async def test_its_storage_and_project_stay_while_it_is_under_way(services: Services, shared: FakeHost) -> None:
    await services.store.insert(Project("blue", 1.0))
    upload = await begun(services, wanted(project="blue"))
    with pytest.raises(Refused):
        await services.store.take_storage("main")
    with pytest.raises(Refused):
        await services.store.remove_project("blue")
    assert await dropped(services, upload.id) == "done"
    await services.store.remove_project("blue")
    with pytest.raises(NotFound, match="project 'blue'"):
        await begun(services, wanted(project="blue"))
    assert ours(shared) == set()


# -- what a host says, or does not


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("create_volume", LibvirtError("no")),
        ("create_volume", NoAnswer("no answer")),
        ("create_volume", Unreachable("gone")),
        ("created", NoAnswer("no answer")),
        ("created", Unreachable("gone")),
    ],
)
async def test_files_that_cannot_be_made_leave_nothing(
    services: Services, shared: FakeHost, call: str, error: HostError
) -> None:
    shared.failing[call] = error
    with pytest.raises(type(error)):
        await begun(services)
    assert ours(shared) == set() and await services.store.all(Upload) == []


async def test_a_file_that_a_host_did_not_make_is_not_deleted(services: Services, shared: FakeHost) -> None:
    """Somebody has one of that name, however unlikely that is."""
    path = "/s/image-tiny-0123456789abcdef/disk"
    shared.files[path] = b"theirs"
    with pytest.raises(LibvirtError, match="exists already"):
        await uploads.begin(services, wanted(), "0123456789abcdef")
    assert shared.files[path] == b"theirs" and await services.store.all(Upload) == []


async def test_a_maker_that_is_silent_may_still_make_files(
    services: Services, shared: FakeHost, kvm2: FakeHost
) -> None:
    """Its upload is not forgotten before it answered, as its files would belong to nobody."""
    shared.failing["created"] = NoAnswer("no answer")
    real, path = shared.create_volume, list[str]()

    async def and_silent(pool_path: str, xml: str) -> str:
        try:
            return await real(pool_path, xml)
        finally:
            path.extend(ours(shared))
            kvm2.files = shared.files = {STRANGER: b"theirs"}  # not there yet
            shared.silent()

    shared.create_volume = and_silent  # type: ignore[method-assign]
    with pytest.raises(NoAnswer):
        await begun(services)
    [left] = await services.store.all(Upload)
    assert left.state is UploadState.GOING
    await take_abandoned(services)
    assert await services.store.all(Upload) == [left]
    shared.files[path[0]] = b""  # now it is
    shared.online = True
    await take_abandoned(services)
    assert ours(shared) == set() and await services.store.all(Upload) == []


async def test_another_host_goes_on_where_the_maker_is_silent(
    services: Services, shared: FakeHost, kvm2: FakeHost
) -> None:
    upload = await begun(services)
    await uploads.write(services, upload.id, "file", 0, DISK[:HALF])
    shared.silent()
    await fill(services, upload.id)
    assert await finished(services, upload.id) == "done" and "checksum" in kvm2.done


async def test_where_all_hosts_are_silent_nothing_is_lost(services: Services, shared: FakeHost, kvm2: FakeHost) -> None:
    upload = await begun(services)
    await fill(services, upload.id)
    for host in (shared, kvm2):
        host.silent()
    assert "no host answers" in await finished(services, upload.id)
    assert await dropped(services, upload.id) != "done"
    left = await services.store.get(Upload, upload.id)
    assert left.state is UploadState.GOING and len(ours(shared)) == 1
    shared.online = True
    await take_abandoned(services)
    assert ours(shared) == set() and await services.store.all(Upload) == []


async def test_nothing_behind_a_link_is_deleted(services: Services, shared: FakeHost) -> None:
    upload = await begun(services)
    shared.links = {f"/s/{upload.folder}"}
    assert "is a link" in await dropped(services, upload.id)
    assert len(ours(shared)) == 1 and (await services.store.get(Upload, upload.id)).state is UploadState.GOING


async def test_one_that_is_going_takes_nothing_and_becomes_nothing(services: Services, shared: FakeHost) -> None:
    upload = await begun(services)
    await fill(services, upload.id)
    shared.failing["delete_volume"] = LibvirtError("in use")
    assert await dropped(services, upload.id) == "in use"
    with pytest.raises(Refused, match="is being taken away"):
        await uploads.write(services, upload.id, "file", 0, DISK[:HALF])
    assert "is being taken away" in await finished(services, upload.id)
    assert await services.store.find(Image, "tiny") is None


# -- what nobody goes on with


class Clock:
    """The time, as a test sets it."""

    def __init__(self, now: float) -> None:
        self.at = now

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


async def test_what_nobody_goes_on_with_is_taken_away(services: Services, shared: FakeHost) -> None:
    clock = Clock(1000.0)
    services.parts = replace(services.parts, clock=clock)
    upload = await begun(services)
    clock.at += 23 * 3600.0
    await take_abandoned(services)
    await uploads.write(services, upload.id, "file", 0, DISK[:HALF])
    clock.at += 23 * 3600.0
    await take_abandoned(services)
    assert (await services.store.get(Upload, upload.id)).state is UploadState.OPEN
    clock.at += 2 * 3600.0
    await take_abandoned(services)
    assert await services.store.all(Upload) == [] and ours(shared) == set()
    assert "nobody went on with it for 24 h" in (await services.store.events())[-1].text


# -- the controller dies


async def test_a_controller_that_dies_while_it_begins(services: Services, shared: FakeHost, life: Life) -> None:
    sizes = {"file": len(DISK), "kernel": 10}
    steps = 0
    for step in range(20):
        life.left = step
        try:
            upload = await begun(services, wanted(sizes=sizes))
        except Died:
            steps += 1
        else:
            life.left = None
            assert await dropped(services, upload.id) == "done"
            break
        life.left = None
        for left in await services.store.all(Upload):
            assert {f"/s/{volume}" for volume in left.made} >= ours(shared), "a file that belongs to nobody"
            assert await dropped(services, left.id) == "done"
        assert ours(shared) == set() and await services.store.all(Upload) == []
    assert steps >= 5


async def test_a_controller_that_dies_in_a_piece(services: Services, shared: FakeHost, life: Life) -> None:
    """The next one is sent the same piece again."""
    upload = await begun(services)
    for step in range(20):
        life.left = step
        try:
            await uploads.write(services, upload.id, "file", 0, DISK[:HALF])
        except Died:
            continue
        finally:
            life.left = None
        break
    assert step == 3, "named, written, counted"
    await fill(services, upload.id)
    assert await finished(services, upload.id) == "done"


async def test_a_controller_that_dies_while_it_finishes(services: Services, shared: FakeHost, life: Life) -> None:
    """The image is there or the upload is, and never both or neither."""

    async def ready() -> AnyJob:
        for image in await services.store.all(Image):
            await services.store.take_image(image.name)
        for path in ours(shared):
            del shared.files[path]
        for left in await services.store.all(Upload):
            await services.store.remove(Upload, left.id)
        upload = await begun(services)
        await fill(services, upload.id)
        return await new_job(services, "image finish", "tiny", upload=upload.id)

    steps = 0
    async for step, outcome in deaths(life, services, finish, ready):
        steps += 1
        assert outcome == "done", step
        image = await services.store.get(Image, "tiny")
        assert ours(shared) == {image.path} and await services.store.all(Upload) == []
    assert steps >= 4


async def test_a_controller_that_dies_while_it_drops(services: Services, shared: FakeHost, life: Life) -> None:
    async def ready() -> AnyJob:
        upload = await begun(services)
        await uploads.write(services, upload.id, "file", 0, DISK[:HALF])
        return await new_job(services, "image drop", "tiny", upload=upload.id)

    async for step, outcome in deaths(life, services, drop, ready):
        assert outcome == "done" and ours(shared) == set() and await services.store.all(Upload) == [], step


async def test_a_host_that_left_does_not_keep_an_upload(services: Services, shared: FakeHost, kvm2: FakeHost) -> None:
    upload = await begun(services)
    await services.store.change(Upload, upload.id, unsure=True)
    await services.store.remove(HostRecord, "kvm1")
    del services.links["kvm1"]
    assert await dropped(services, upload.id) == "done" and ours(kvm2) == set()
