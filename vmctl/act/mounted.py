"""Is a storage really there on a host? Unmounted, it leaves an empty directory that takes all and shows nothing.

What was proven at `storage add` may be over since: a host that was rebooted without its mount would upload images to
its own disk, and find deleted what is only not shown. So whoever makes or removes files asks first.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from vmctl.act.needs import missing
from vmctl.errors import HostError, Refused
from vmctl.hosts.link import HostLink
from vmctl.records import Image, Storage, VMRecord
from vmctl.world import World

WAIT_S = 1.0  # for a host that is just coming
ENOUGH = 5  # registered files that are looked for, where the lockspace does not tell


async def marks(world: World, storage: Storage) -> tuple[str, ...]:
    """Paths that are there when the storage is: its lockspace, or some files that the registry knows on it."""
    if storage.lockspace and PurePosixPath(storage.lockspace).is_relative_to(storage.path):
        return (storage.lockspace,)
    files = [image.path for image in await world.store.all(Image) if image.storage == storage.name]
    disks = [disk for vm in await world.store.all(VMRecord) for disk in vm.spec.disks if disk.storage == storage.name]
    return tuple([*files, *(disk.path for disk in disks)][:ENOUGH])


async def refuse_unmounted(world: World, link: HostLink, storage: Storage) -> None:
    """Refuse to use the storage through a host that does not have it. Raises Refused, HostError."""
    paths = await marks(world, storage)
    gone: tuple[str, ...] = await link.ask(missing(paths)) if paths else ()
    if paths and len(gone) == len(paths):
        raise Refused(
            f"storage {storage.name} is not mounted on {link.name}: {paths[0]} is not there",
            hint=f"on {link.name}: mount {storage.path}; then vmctl storage check {storage.name}",
        )


async def host_with(world: World, storage: Storage) -> HostLink:
    """A host that answers and really has the storage. Refused names what is wrong with the first that has not."""
    await world.wait_any_online(storage.hosts, WAIT_S)
    first: Refused | HostError | None = None
    for name in sorted(storage.hosts):
        link = world.links.get(name)
        if link is None or not link.online:
            continue
        try:
            await refuse_unmounted(world, link, storage)
            return link
        except (Refused, HostError) as err:
            first = first or err
    raise first or Refused(f"no host that answers has storage {storage.name}", hint="vmctl host list")
