"""Is a storage really there on a host? Unmounted, it leaves an empty directory that takes all and shows nothing.

What was proven at `storage add` may be over since: a host that was rebooted without its mount would upload images to
its own disk, and find deleted what is only not shown. So whoever makes or removes files asks first.
"""

from __future__ import annotations

import logging
from pathlib import PurePosixPath

from vmctl.errors import HostError, NotMounted, Refused
from vmctl.hosts.paths import GONE, unusable
from vmctl.hosts.port import Link
from vmctl.model.records import Image, Storage, VMRecord
from vmctl.services import Services
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.storage")
EVERY_S, AGAIN_S = 60.0, 8.0  # how often a host is asked for its storages; for one that it lost
WAIT_S = 1.0  # for a host that is just coming
ENOUGH = 5  # registered files that are looked for, where the lockspace does not tell


async def marks(services: Services, storage: Storage) -> tuple[str, ...]:
    """Paths that are there when the storage is: its lockspace, or some files that the registry knows on it."""
    if storage.lockspace and PurePosixPath(storage.lockspace).is_relative_to(storage.path):
        return (storage.lockspace,)
    files = [image.path for image in await services.store.all(Image) if image.storage == storage.name]
    disks = [
        disk for vm in await services.store.all(VMRecord) for disk in vm.spec.disks if disk.storage == storage.name
    ]
    return tuple([*files, *(disk.path for disk in disks)][:ENOUGH])


async def refuse_unmounted(services: Services, link: Link, storage: Storage) -> None:
    """Refuse to use the storage through a host that does not have it. Raises NotMounted, HostError.

    What is found is kept in `services.unmounted`: such a host gets no VMs of this storage until it has it again.
    """
    paths = await marks(services, storage)
    asked = await link.ask(unusable(paths)) if paths else ()
    gone = [one.path for one in asked if one.what == GONE]
    lost = services.unmounted.setdefault(link.name, set())
    # One file that is there proves the mount. One that is missing may only have been deleted.
    if not paths or len(gone) < len(paths):
        lost.discard(storage.name)
        return
    lost.add(storage.name)
    raise NotMounted(
        f"storage {storage.name} is not mounted on {link.name}: {paths[0]} is not there",
        hint=f"on {link.name}: mount {storage.path}; then vmctl storage check {storage.name}",
    )


class Mounts:
    """Looks after what hosts have mounted: at each new connection, and from time to time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looked: dict[str, tuple[float, float]] = {}  # host -> since when it was online, and when; monotonic
        self._told: set[tuple[str, str]] = set()  # (host, storage) that it lost

    async def look(self, link: Link) -> None:
        """Ask a host for its storages when that is due; tell what it lost, and what it has again."""
        services, now = self._services, self._services.clock.monotonic()
        since, looked_at = self._looked.get(link.name, (-1.0, 0.0))
        rest_s = AGAIN_S if services.unmounted.get(link.name) else EVERY_S
        due = link.since != since or now - looked_at >= rest_s
        if not link.online or not due:
            return
        self._looked[link.name] = link.since, now
        for storage in await services.store.all(Storage):
            if link.name in storage.hosts:
                with wall(log, f"{link.name}: storage {storage.name}"):
                    await self._look_at(link, storage)

    async def _look_at(self, link: Link, storage: Storage) -> None:
        one = link.name, storage.name
        try:
            await refuse_unmounted(self._services, link, storage)
        except NotMounted as err:
            if one not in self._told:
                self._told.add(one)
                await self._services.record_event("storage", link.name, f"{err.message}; {err.hint}")
        except HostError as err:
            log.info("%s: whether it has storage %s is not known: %s", link.name, storage.name, err.message)
        else:
            if one in self._told:
                self._told.discard(one)
                await self._services.record_event("storage", link.name, f"{link.name} has storage {storage.name} again")


async def host_with(services: Services, storage: Storage, *, last: str = "") -> Link:
    """A host that answers and really has the storage; `last`: one that is taken where there is no other.

    Refused names what is wrong with the first that has not.
    """
    await services.wait_any_online(storage.hosts, WAIT_S)
    first: Refused | HostError | None = None
    for name in sorted(storage.hosts, key=lambda name: (name == last, name)):
        link = services.links.get(name)
        if link is None or not link.online:
            continue
        try:
            await refuse_unmounted(services, link, storage)
            return link
        except (Refused, HostError) as err:
            first = first or err
    raise first or Refused(f"no host that answers has storage {storage.name}", hint="vmctl host list")
