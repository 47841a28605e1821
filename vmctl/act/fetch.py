"""An image that is fetched from another server: an upload whose pieces the controller gets itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from vmctl.act.dropped import let_go, take_away
from vmctl.act.finish import complete, registered
from vmctl.act.uploads import Wanted, begin, write
from vmctl.commands.uploads import FetchImage
from vmctl.errors import NotFound, RegistryUnusable, Unreachable, VmctlError
from vmctl.model.uploads import MOST_PIECE
from vmctl.services import Services
from vmctl.services.web import Download
from vmctl.tasks import Job
from vmctl.tasks.journals import Fetching

HEAD_S = 60.0  # until the file begins: a server that takes longer is given up
PIECE_S = 600.0  # ... and one that takes longer for a piece
LOOK_S = 0.5  # how soon a cancel is heard
T = TypeVar("T")
Fetch = Job[FetchImage, Fetching]


async def fetch(services: Services, job: Fetch) -> dict[str, Any]:
    """Task: fetch a disk image, check it, make an image of it. A successor begins anew."""
    if (done := await registered(services, job)) is not None:
        return done
    if job.journal.upload:
        await _drop(services, job, "its controller ended first")
    download = Download(job.args.url, services.settings.images.allow_urls)
    try:
        await _waited(services, job, download, HEAD_S, download.begin)
        return await _kept(services, job, download)
    except RegistryUnusable:
        raise  # it may be registered: looked at when this is begun again
    except VmctlError as err:
        try:
            await _drop(services, job, err.message)
        except VmctlError as left:
            job.say(f"what came of it is still there, and is taken away later: {left.message}")
        raise
    finally:
        download.end()


async def _waited(
    services: Services, job: Fetch, download: Download, most_s: float, work: Callable[..., T], *args: Any
) -> T:
    """What a thread gets from the server. Who cancels need not wait for it, however slow it is."""
    waiting = asyncio.ensure_future(services.threads.wait(work, *args))
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # heard, also where nobody waits on
    begun_at: float | None = None  # for a thread it may have to wait, too
    while not (await asyncio.wait({waiting}, timeout=LOOK_S))[0]:
        job.check_cancelled()
        now = services.clock.monotonic()
        begun_at = now if begun_at is None and download.busy else begun_at
        if begun_at is not None and now - begun_at > most_s:
            raise Unreachable(f"{download.at.server} is too slow: no answer within {most_s:g} s")
    return waiting.result()


async def _kept(services: Services, job: Fetch, download: Download) -> dict[str, Any]:
    asked, size = job.args, download.size_bytes
    if str(download.at) != asked.url:
        job.say(f"it was sent on to {download.at}")
    key = services.ids.token()
    await job.note("fetching", upload=key)
    hashes = {"file": asked.sha256} if asked.sha256 else {}
    wanted = Wanted(asked.name, {"file": size}, hashes, asked.kind, "", asked.storage, asked.project, job.task.who)
    await begin(services, wanted, key)
    at = 0
    while at < size:
        piece = await _piece(services, job, download, min(MOST_PIECE, size - at))
        await write(services, key, "file", at, piece)
        at += len(piece)
        job.show(percent=round(100 * at / size, 1), text=f"fetching from {download.at.server}")
    return await complete(services, job, key)


async def _piece(services: Services, job: Fetch, download: Download, size: int) -> bytes:
    """The next bytes, so many. Raises Unreachable, Cancelled."""
    data, begun_at = bytearray(), services.clock.monotonic()
    while len(data) < size:
        job.check_cancelled()
        if services.clock.monotonic() - begun_at > PIECE_S:
            raise Unreachable(f"{download.at.server} sends too slowly: {len(data)} bytes in {PIECE_S:g} s")
        if not (some := await _waited(services, job, download, PIECE_S, download.some, size - len(data))):
            text = f"{download.at.server} ended before the file was whole"
            raise Unreachable(text, hint="give the command again")
        data += some
    return bytes(data)


async def _drop(services: Services, job: Fetch, why: str) -> None:
    """Take its upload away; one that is not there any more, or was never begun, is no trouble."""
    if job.journal.upload:
        with contextlib.suppress(NotFound):
            await take_away(services, await let_go(services, job.journal.upload), why, job.task.who)
