"""Uploads that are taken away: because somebody says so, because what came is no image, or because nobody goes on.

Only files that the upload names are removed, by names that nobody else can have drawn. It is forgotten when they are
gone, and not before: until then somebody looks after them again and again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

from vmctl.act.mounted import host_with, refuse_unmounted
from vmctl.act.needed import refuse_if_needed, refuse_links
from vmctl.commands.uploads import DropUpload
from vmctl.errors import HostError, Refused, Unreachable
from vmctl.hosts.port import Link
from vmctl.model.records import Storage
from vmctl.model.uploads import Upload, UploadState
from vmctl.services import Services
from vmctl.services.walls import wall
from vmctl.storage import kind_of, on
from vmctl.store.rules import missing
from vmctl.tasks import Job
from vmctl.tasks.journals import Journal

log = logging.getLogger("vmctl.uploads")
HOUR_S = 3600.0


async def drop(services: Services, job: Job[DropUpload, Journal]) -> dict[str, Any]:
    """Task: take an upload away. One that a predecessor took away is done."""
    key = job.args.upload
    found = await services.store.find(Upload, key)
    if found is None:
        return {"upload": key}
    await job.note("taking it away")
    await take_away(services, await let_go(services, key), "it was dropped", job.task.who)
    return {"upload": key}


async def let_go(services: Services, key: str) -> Upload:
    """From now on it takes nothing, and becomes no image. Raises NotFound."""
    return await services.store.revise(Upload, key, lambda kept: replace(there(kept, key), state=UploadState.GOING))


def there(kept: Upload | None, key: str) -> Upload:
    """An upload that is to be changed. Raises NotFound where it is gone."""
    if kept is None:
        raise missing("upload", key)
    return kept


async def take_away(services: Services, upload: Upload, why: str, who: str = "") -> None:
    """Remove the files of an upload that was let go, then forget it. Raises HostError, Refused: it stays."""
    assert upload.state is UploadState.GOING
    storage = await services.store.get(Storage, upload.storage)
    if upload.made:
        link = await _remover(services, storage, upload)
        await refuse_if_needed(services, {kind_of(storage).path(storage, volume) for volume in upload.made})
        await refuse_links(link, storage, upload.made)
        await on(link, storage).open()
        for volume in upload.made:
            await on(link, storage).delete(volume)
        await refuse_unmounted(services, link, storage)  # else it may only be out of sight
    text = f"upload {upload.id} of {upload.name} was taken away: {why}"
    told = services.event("image", upload.name, text, who, upload.project)
    await services.store.remove(Upload, upload.id, told=[told])


async def _remover(services: Services, storage: Storage, upload: Upload) -> Link:
    """The host that made the files, where that answers: what it was asked before is done by then."""
    try:
        maker = await services.wait_any_online([upload.maker])
        await refuse_unmounted(services, maker, storage)
        return maker
    except (Refused, HostError) as err:
        if upload.unsure and upload.maker in services.links:
            text = f"{upload.maker} may still make files of upload {upload.id}, and does not answer"
            raise Unreachable(text, hint=f"vmctl host check {upload.maker}") from err
        return await host_with(services, storage)


async def take_abandoned(services: Services) -> None:
    """Take away what nobody goes on with, and what could not be taken away before."""
    patience_s = services.settings.images.abandoned_after_h * HOUR_S
    for upload in await services.store.all(Upload):
        with wall(log, f"upload {upload.id} of {upload.name}"):
            if upload.state is UploadState.GOING:
                await take_away(services, upload, "what was left of it is gone now")
            elif services.clock.now() - upload.changed_at > patience_s:
                gone = await services.store.revise(Upload, upload.id, partial(_abandoned, upload))
                if gone.state is UploadState.GOING:
                    hours = services.settings.images.abandoned_after_h
                    await take_away(services, gone, f"nobody went on with it for {hours:g} h")


def _abandoned(seen: Upload, kept: Upload | None) -> Upload:
    """Let go of it, unless somebody went on meanwhile."""
    kept = there(kept, seen.id)
    return replace(kept, state=UploadState.GOING) if kept.changed_at == seen.changed_at else kept
