"""Images that come in pieces: straight into their volumes, which are the only place where anything of them is kept.

How far one is stands in the registry, so that any controller goes on with it. A piece is named there by its bytes, then
written, then had on the disk, then counted: whatever is lost in between, the same piece sent again mends it, and no
late write changes what is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from vmctl.act.dropped import let_go, take_away, there
from vmctl.act.mounted import host_with
from vmctl.act.proof import is_full
from vmctl.act.storage import chosen_storage
from vmctl.errors import HostError, LibvirtError, NoAnswer, Refused, Unreachable, VmctlError
from vmctl.formats import imagefile
from vmctl.hosts import mounts, ondisk
from vmctl.hosts.port import Link
from vmctl.model.records import Image, Storage
from vmctl.model.uploads import Piece, Upload, UploadState, begun, counted, is_counted, refuse_if_not_open
from vmctl.services import Services
from vmctl.storage import kind_of, on

log = logging.getLogger("vmctl.uploads")
PIECE_S = 60.0  # how long a host is waited for that writes one
MOST_OPEN = 50  # uploads of one project at once


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to upload: part -> bytes, part -> SHA-256 where he told it."""

    name: str
    sizes: dict[str, int]
    hashes: dict[str, str]
    kind: str
    cmdline: str
    storage: str
    project: str
    who: str


async def begin(services: Services, wanted: Wanted, key: str) -> Upload:
    """Make the files of an upload, empty. Raises Refused, NotFound, HostError; then what was made is taken away."""
    await _refuse_new(services, wanted)
    storage = await chosen_storage(services, wanted.storage)
    link = await host_with(services, storage)
    await _refuse_full(link, storage, wanted)
    await on(link, storage).open()
    now = services.clock.now()
    upload = Upload(key, wanted.name, storage.name, now, now, wanted.sizes, wanted.hashes, maker=link.name, unsure=True)
    upload = replace(
        upload,
        kind=wanted.kind,
        cmdline=wanted.cmdline,
        project=wanted.project,
        who=wanted.who,
        made=[upload.volume(part) for part in wanted.sizes],
    )
    # Before the first file is made: whoever looks after uploads finds all that may be there.
    await services.store.add_upload(upload)
    try:
        await _make(services, storage, link, upload)
        return await services.store.revise(Upload, key, lambda kept: _opened(there(kept, key)))
    except VmctlError as err:
        log.info("upload %s of %s was not begun: %s", key, wanted.name, err.message)
        with contextlib.suppress(VmctlError):  # else it is taken away later
            await take_away(services, await let_go(services, key), "its files could not be made")
        raise


async def _refuse_new(services: Services, wanted: Wanted) -> None:
    if await services.store.find(Image, wanted.name) is not None:
        raise Refused(f"there is already an image {wanted.name!r}", hint="vmctl image list")
    most_gib, total = services.settings.images.most_gib, sum(wanted.sizes.values())
    if total > most_gib * (1 << 30):
        text = f"{total} bytes are more than an image may have here: {most_gib:g} GiB"
        raise Refused(text, hint="the controller's admin sets most_gib in [images] of vmctl.toml")
    others = [one for one in await services.store.all(Upload) if one.project == wanted.project]
    if len(others) >= MOST_OPEN:
        text = f"{len(others)} uploads of project {wanted.project} are under way"
        raise Refused(text, hint="vmctl image uploads; vmctl image drop UPLOAD")


async def _refuse_full(link: Link, storage: Storage, wanted: Wanted) -> None:
    """A raw file may be all holes, so of one that is said to be raw nobody knows how much room it needs."""
    free, total = (await link.ask(mounts.space(storage.path))).free, sum(wanted.sizes.values())
    if wanted.kind != "raw" and free < total:
        text = f"storage {storage.name} is full: {wanted.name} needs {total} bytes, {free} bytes are free"
        raise Refused(text, hint=f"make room in {storage.name}; a raw file that is mostly holes: --format raw")


async def _make(services: Services, storage: Storage, link: Link, upload: Upload) -> None:
    """Make its files. What a host surely did not make is not ours: it may be somebody's."""
    for number, (part, size) in enumerate(upload.sizes.items()):
        try:
            await on(link, storage).make(upload.volume(part), "raw", size)
        except LibvirtError:
            await _disown(services, upload.id, upload.made[:number])
            raise


async def _disown(services: Services, key: str, made: list[str]) -> None:
    """Only these are its files."""
    await services.store.revise(Upload, key, lambda kept: replace(there(kept, key), made=made, unsure=False))


def _opened(upload: Upload) -> Upload:
    if upload.state is UploadState.GOING:
        refuse_if_not_open(upload)
    return replace(upload, state=UploadState.OPEN, unsure=False)


async def write(services: Services, key: str, part: str, offset: int, data: bytes) -> Upload:
    """Have a piece on the disk, and count it.

    Raises NotFound; Refused, which names the offset that holds, for a piece that is not the next one, and for what no
    host may see; HostError, after which the same piece is sent again.
    """
    digest = await services.threads.run(lambda: hashlib.sha256(data).hexdigest())
    piece, store = Piece(part, offset, len(data), digest), services.store
    upload = await store.get(Upload, key)
    if is_counted(upload, piece):
        refuse_if_not_open(upload)
        return upload
    if offset == 0:
        _check_head(upload, piece, data)
    upload = await store.revise(Upload, key, lambda kept: begun(there(kept, key), piece))
    await _write(services, await store.get(Storage, upload.storage), upload, piece, data)
    now = services.clock.now()
    return await store.revise(Upload, key, lambda kept: counted(there(kept, key), piece, now))


def _check_head(upload: Upload, piece: Piece, data: bytes) -> None:
    """Judge a file by its first bytes while they are only here: libvirt opens what a header says lies below."""
    size = upload.sizes.get(piece.part, 0)
    if piece.size_bytes < (least := min(imagefile.HEAD, size)):
        raise Refused(f"the first piece of a file has at least its first {least} bytes, not {piece.size_bytes}")
    if piece.part != "file":
        imagefile.refuse_disk(Path(piece.part), data)
        return
    imagefile.check_head(Path(upload.name), data, size)
    is_qcow2 = data[:4] == imagefile.QCOW
    if upload.kind and is_qcow2 != (upload.kind == "qcow2"):
        raise Refused(f"{upload.name} is {'' if is_qcow2 else 'not '}qcow2, and was said to be {upload.kind}")
    if upload.kind == "iso" and not imagefile.is_iso(data):
        raise Refused(f"{upload.name} is no ISO 9660 file system")


async def _write(services: Services, storage: Storage, upload: Upload, piece: Piece, data: bytes) -> None:
    """Through its maker, or else any other host: the bytes of a place are always the same, whoever writes them late."""
    first: HostError | None = None
    for link in _writers(services, storage, upload.maker):
        try:
            async with asyncio.timeout(PIECE_S):
                await _write_through(link, storage, upload.volume(piece.part), piece.offset, data)
            return
        except TimeoutError:
            err: HostError = NoAnswer(f"{link.name} did not write it within {PIECE_S:g} s", hint="send it again")
        except HostError as failed:
            if is_full(failed.message):
                text = f"storage {storage.name} is full: byte {piece.offset} of {upload.name} has no room"
                raise Refused(text, hint=f"make room in {storage.name}, then go on") from failed
            err = failed
        first = first or err
    raise first or Unreachable(f"no host that answers has storage {storage.name}", hint="vmctl host list")


async def _write_through(link: Link, storage: Storage, volume: str, offset: int, data: bytes) -> None:
    if data != bytes(len(data)):  # what was never written is zeros, and takes no room
        await on(link, storage).write(volume, [data], offset=offset)
    await link.ask(ondisk.synced(kind_of(storage).path(storage, volume)))


def _writers(services: Services, storage: Storage, maker: str) -> list[Link]:
    links = [link for name, link in sorted(services.links.items()) if link.online and name in storage.hosts]
    return sorted(links, key=lambda link: link.name != maker)
