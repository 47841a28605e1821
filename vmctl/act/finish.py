"""The end of an upload: what is on the disk is checked, by another host where there is one, and becomes an image."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vmctl.act.dropped import let_go, take_away, there
from vmctl.act.mounted import host_with
from vmctl.commands.uploads import FinishUpload
from vmctl.errors import CommandFailed, Refused, VmctlError
from vmctl.formats import imagefile
from vmctl.formats.imagefile import ImageFile
from vmctl.hosts import ondisk
from vmctl.hosts.ondisk import OnDisk
from vmctl.hosts.port import Link
from vmctl.model.records import Image, Storage
from vmctl.model.uploads import MOST_PIECE, Upload, refuse_if_not_open
from vmctl.services import Services
from vmctl.storage import kind_of, on
from vmctl.store.rules import there_is
from vmctl.tasks import Job
from vmctl.tasks.journals import Finishing

AnyFinish = Job[Any, Finishing]


class _Unfit(Exception):
    """What came is no image that can be used: it goes."""

    def __init__(self, why: Refused) -> None:
        self.why = why


async def finish(services: Services, job: Job[FinishUpload, Finishing]) -> dict[str, Any]:
    """Task: check an upload and make an image of it."""
    return await complete(services, job, job.args.upload)


async def complete(services: Services, job: AnyFinish, key: str) -> dict[str, Any]:
    """The same for whatever task has an upload that is whole.

    What is not what was said, or no image, is taken away. In any other trouble the upload stays, and can be finished
    again. Raises Refused, NotFound, HostError.
    """
    if (done := await registered(services, job)) is not None:
        return done
    upload = await _ready(services, key)
    try:
        image = await _judged(services, job, upload)
    except _Unfit as unfit:
        await _take_unfit(services, job, upload, unfit.why)
        raise unfit.why from unfit
    await job.note("registering it", image=asdict(image))
    text = f"image {image.name} was added to {image.storage}"
    told = services.event("image", image.name, text, job.task.who, image.project)
    await services.store.finish_upload(key, image, told=[told])
    return _told(image, job)


async def registered(services: Services, job: AnyFinish) -> dict[str, Any] | None:
    """The end of a task whose image is there: by a predecessor, or by us where the registry's answer was lost."""
    if not job.journal.image:
        return None
    image = Image(**job.journal.image)
    return _told(image, job) if await services.store.find(Image, image.name) == image else None


def _told(image: Image, job: AnyFinish) -> dict[str, Any]:
    return {
        "image": image.name,
        "path": image.path,
        "format": image.format,
        "size_bytes": image.size_bytes,
        "sha256": job.journal.hashes,
        "checked": job.journal.checked,
    }


async def _ready(services: Services, key: str) -> Upload:
    """An upload that is whole, as it is now. Its time begins anew. Raises NotFound, Refused."""
    upload = await services.store.get(Upload, key)
    refuse_if_not_open(upload)
    if not upload.whole or upload.pending:
        lacking = {part: upload.sizes[part] - at for part, at in upload.next.items() if at < upload.sizes[part]}
        left = ", ".join(f"{count} bytes of its {part}" for part, count in lacking.items())
        raise Refused(f"upload {key} is not whole: it lacks {left}", hint="send what is left, then finish it")
    if await services.store.find(Image, upload.name) is not None:
        raise there_is(Image, upload.name)
    now = services.clock.now()
    return await services.store.revise(Upload, key, lambda kept: replace(there(kept, key), changed_at=now))


async def _take_unfit(services: Services, job: AnyFinish, upload: Upload, why: Refused) -> None:
    try:
        await take_away(services, await let_go(services, upload.id), why.message, job.task.who)
    except VmctlError as left:
        job.say(f"its files are still there, and are taken away later: {left.message}")


async def _judged(services: Services, job: AnyFinish, upload: Upload) -> Image:
    """What it is, as its disk has it. Raises _Unfit, HostError, NotMounted."""
    storage = await services.store.get(Storage, upload.storage)
    # Not the one that wrote it, where another one answers: what only a cache holds is not there.
    reader = await host_with(services, storage, last=upload.maker)
    await on(reader, storage).open()
    hashes, checked = dict[str, str](), list[str]()
    for part in upload.sizes:
        job.check_cancelled()
        job.stage(f"reading its {part} on {reader.name}")
        found = await _on_disk(services, job, reader, storage, upload, part)
        _compare(upload, part, found)
        hashes[part] = found.sha256
        checked += [part] if part in upload.hashes else []
    job.check_cancelled()
    job.stage(f"looking into it on {reader.name}")
    what = await _inspected(reader, storage, upload)
    job.keep(hashes=hashes, checked=checked)
    if "file" not in checked:
        job.say(f"no checksum was told, so nobody compared it: what is there has SHA-256 {hashes['file']}")
    paths = {part: kind_of(storage).path(storage, upload.volume(part)) for part in upload.sizes}
    return Image(
        upload.name,
        storage.name,
        paths["file"],
        services.clock.now(),
        what.format,
        what.size_bytes,
        paths.get("kernel", ""),
        paths.get("initrd", ""),
        upload.cmdline,
        upload.project,
        taken_bytes=max(what.size_bytes, upload.sizes["file"]) + sum(upload.sizes.values()) - upload.sizes["file"],
    )


async def _on_disk(
    services: Services, job: AnyFinish, reader: Link, storage: Storage, upload: Upload, part: str
) -> OnDisk:
    size, volume = upload.sizes[part], upload.volume(part)
    asked = ondisk.checksum(kind_of(storage).path(storage, volume))
    ran = await reader.ssh.run(asked.command, timeout_s=ondisk.patience_s(size))
    if (found := asked.read(ran.out, reader.name)) is not None:
        return found
    # Our user may not read what libvirt made there; libvirt may.
    summed, at = hashlib.sha256(), 0
    while data := await on(reader, storage).read(volume, MOST_PIECE, at):
        job.check_cancelled()
        await services.threads.run(summed.update, data)
        at += len(data)
        job.show(percent=round(100 * at / max(1, size), 1), text=f"reading its {part} on {reader.name}")
    return OnDisk(at, summed.hexdigest())


def _compare(upload: Upload, part: str, found: OnDisk) -> None:
    """Raises _Unfit where it is not what was said; CommandFailed where it is not what was written."""
    if found.size_bytes != upload.sizes[part]:
        text = f"the {part} of {upload.name} has {found.size_bytes} bytes on its disk, not {upload.sizes[part]}"
        raise CommandFailed(text, hint=f"vmctl storage check {upload.storage}")
    if (wanted := upload.hashes.get(part)) is not None and found.sha256 != wanted:
        text = f"the {part} of {upload.name} is not what was said: its SHA-256 is {found.sha256}, not {wanted}"
        raise _Unfit(Refused(text, hint="sha256sum FILE, where it comes from; then upload it again"))


async def _inspected(reader: Link, storage: Storage, upload: Upload) -> ImageFile:
    """What the disk image is, all its tables read. Raises _Unfit, HostError."""
    volume, asking = upload.volume("file"), imagefile.inspecting(Path(upload.name), upload.sizes["file"])
    try:
        at, length = next(asking)
        while True:
            data = await on(reader, storage).read(volume, length, at)
            at, length = asking.send(data)
    except StopIteration as end:
        found: ImageFile = end.value
    except Refused as err:
        raise _Unfit(err) from err
    wanted = {"iso": "raw"}.get(upload.kind, upload.kind)
    if wanted and found.format != wanted:
        raise _Unfit(Refused(f"{upload.name} is {found.format}, and was said to be {upload.kind}"))
    return found
