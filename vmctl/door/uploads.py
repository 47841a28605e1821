"""Uploads of images: begun and fed at once, shown and listed. Finishing and dropping one are tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmctl.act import uploads
from vmctl.commands.uploads import BeginUpload, FetchImage, ListUploads, ShowUpload, WritePiece
from vmctl.door import limits, sent
from vmctl.door.parts import ControllerParts
from vmctl.errors import Usage
from vmctl.model import urls
from vmctl.model.access import Use
from vmctl.model.rights import Principal
from vmctl.model.uploads import Upload

HOUR_S = 3600.0


async def begin(parts: ControllerParts, asked: BeginUpload, who: Principal) -> sent.Upload:
    """Make its files, empty, and say where its first piece goes."""
    sizes = {"file": asked.size_bytes, "kernel": asked.kernel_bytes, "initrd": asked.initrd_bytes}
    hashes = {"file": asked.sha256, "kernel": asked.kernel_sha256, "initrd": asked.initrd_sha256}
    wanted = uploads.Wanted(
        asked.name,
        {part: size for part, size in sizes.items() if size},
        {part: found for part, found in hashes.items() if found and sizes[part]},
        asked.kind,
        asked.cmdline,
        asked.storage,
        asked.project,
        who.name,
    )
    return _shown(parts, await uploads.begin(parts.services, wanted, parts.services.ids.token()))


async def write_piece(parts: ControllerParts, asked: WritePiece, who: Principal) -> sent.Upload:
    """Have a piece on the disk, and only then say so."""
    if asked.read is None:
        raise Usage("a piece is bytes, and there are none")
    with parts.pieces.one_more(who.name):
        data = await asked.read()
        written = await uploads.write(parts.services, asked.upload, asked.part, asked.offset, data)
    return _shown(parts, written)


async def list_uploads(parts: ControllerParts, _asked: ListUploads) -> list[sent.Upload]:
    """All of them, the oldest first."""
    found = [one for one in await parts.services.store.all(Upload) if parts.sight.shows(one.thing)]
    return [_shown(parts, one) for one in sorted(found, key=lambda one: one.created_at)]


async def show_upload(parts: ControllerParts, asked: ShowUpload) -> sent.Upload:
    """One of them."""
    return _shown(parts, await parts.services.store.get(Upload, asked.upload))


async def has_room(parts: ControllerParts, asked: BeginUpload, _who: Principal) -> None:
    """Raises OverLimit, before anything is sent that would have to go again."""
    whole = asked.size_bytes + asked.kernel_bytes + asked.initrd_bytes
    await limits.check_room(parts, "", asked.project, Use(disk_bytes=whole))


async def may_fetch(parts: ControllerParts, asked: FetchImage, _who: Principal) -> None:
    """Raises Usage, Refused, before there is a task, for what is not on the allow-list; OverLimit."""
    await limits.check_room(parts, "", asked.project, Use(disk_bytes=1))
    urls.entry_for(urls.asked_for(asked.url), parts.services.settings.images.allow_urls)


def _shown(parts: ControllerParts, upload: Upload) -> sent.Upload:
    """An upload as clients see it: nothing of where its files lie."""
    patience_s = parts.services.settings.images.abandoned_after_h * HOUR_S
    return sent.Upload(
        id=upload.id,
        name=upload.name,
        kind=upload.kind,
        cmdline=upload.cmdline,
        storage=upload.storage,
        project=upload.project,
        who=upload.who,
        state=str(upload.state),
        parts=[
            sent.UploadPart(part, size, upload.done.get(part, 0), upload.hashes.get(part, ""))
            for part, size in upload.sizes.items()
        ],
        pending=sent.PendingPiece(**upload.pending) if upload.pending else None,
        created_at=upload.created_at,
        changed_at=upload.changed_at,
        expires_at=upload.changed_at + patience_s,
    )


QUERIES: Mapping[type[Any], Any] = {ListUploads: list_uploads, ShowUpload: show_upload}
CHECKS: Mapping[type[Any], Any] = {BeginUpload: has_room, FetchImage: may_fetch}
AT_ONCE: Mapping[type[Any], Any] = {BeginUpload: begin, WritePiece: write_piece}
