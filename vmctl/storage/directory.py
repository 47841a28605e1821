"""A directory on a file system that the hosts share: files are made through libvirt, by no right beyond its own."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import PurePosixPath

from vmctl.errors import LibvirtError
from vmctl.hosts import domainxml
from vmctl.hosts.domainxml import Source, in_file
from vmctl.hosts.port import Link
from vmctl.hosts.shown import DAMAGED
from vmctl.model.records import Storage
from vmctl.model.vms import Disk

log = logging.getLogger("vmctl.storage")
# libvirt cannot even delete a file that it cannot read.
REMOVE = 'rm -f -- "$1" && { rmdir -- "${1%/*}" 2>/dev/null || :; }'


class DirectoryOnHost:
    """The directory as one host has it mounted."""

    def __init__(self, link: Link, storage: Storage) -> None:
        self._link, self._storage = link, storage

    @property
    def _pool(self) -> str:
        """The transient pool that we make where the host has none over that directory."""
        return f"vmctl-{self._storage.name}"

    async def open(self) -> None:
        """A pool over the lockspace; over files of ours there is one whenever it is needed."""
        if self._storage.lockspace:
            try:
                await self._link.virt.ensure_pool(f"{self._pool}-lockspace", self._storage.lockspace)
            except LibvirtError as err:
                log.warning("%s", err.message)

    async def close(self) -> None:
        """Take our pools away; what others made stays."""
        await self._link.virt.drop_pool(self._pool)
        await self._link.virt.drop_pool(f"{self._pool}-lockspace")
        await self._link.virt.drop_pools_below(self._storage.path)

    async def make(self, name: str, format_: str, size_bytes: int, base: tuple[str, str] | None = None) -> str:
        """As a volume of a pool over its folder."""
        volume = domainxml.volume(name, format_, size_bytes, base)
        return await self._link.virt.create_volume(self._storage.path, volume)

    async def copy(self, name: str, format_: str, size_bytes: int, source: str) -> str:
        """The host copies: nothing passes through the controller."""
        volume = domainxml.volume(name, format_, size_bytes)
        return await self._link.virt.copy_volume(self._storage.path, volume, source)

    async def grow(self, name: str, size_bytes: int) -> None:
        """Grow the volume."""
        await self._link.virt.resize_volume(self._storage.path, name, size_bytes)

    async def has(self, name: str) -> bool:
        """Whether the pool shows it."""
        return await self._link.virt.has_volume(self._storage.path, name)

    async def delete(self, name: str) -> None:
        """Through the pool. A damaged one in a folder of ours is removed past it, where our user may do that."""
        try:
            await self._link.virt.delete_volume(self._storage.path, name)
        except LibvirtError as err:
            if err.code_number != DAMAGED or "/" not in name:
                raise
            path = f"{self._storage.path.rstrip('/')}/{name}"
            if (await self._link.ssh.run(["sh", "-c", REMOVE, "sh", path], check=False)).status:
                raise LibvirtError(err.message, hint=f"on {self._link.name}: rm -r {path.rpartition('/')[0]}") from err

    async def write(self, name: str, pieces: Iterable[bytes | int], *, sparse: bool = False, offset: int = 0) -> None:
        """Through a stream of libvirt."""
        await self._link.virt.upload(self._storage.path, name, pieces, sparse=sparse, offset=offset)

    async def read(self, name: str, most: int, offset: int = 0) -> bytes:
        """Through a stream of libvirt."""
        return await self._link.virt.download(self._storage.path, name, most, offset)

    async def make_key(self, uuid: str) -> None:
        """An empty file in the lockspace."""
        space = self._storage.lockspace
        if space and not await self._link.virt.has_volume(space, uuid):
            await self._link.virt.create_volume(space, domainxml.volume(uuid, "raw", 0))

    async def remove_key(self, uuid: str, disks: Iterable[str] = ()) -> None:
        """Its name is the VM's UUID, so it is nobody else's; virtlockd calls a disk's lock file by its path's hash."""
        if space := self._storage.lockspace:
            for file in (uuid, *(hashlib.sha256(path.encode()).hexdigest() for path in disks)):
                await self._link.virt.delete_volume(space, file)


class Directory:
    """Files in a directory that has the same path on all its hosts."""

    disk_format = "qcow2"

    def on(self, link: Link, storage: Storage) -> DirectoryOnHost:
        """The directory as one host has it mounted."""
        return DirectoryOnHost(link, storage)

    def path(self, storage: Storage, name: str) -> str:
        """Below the directory."""
        return f"{storage.path.rstrip('/')}/{name}"

    def name(self, storage: Storage, path: str) -> str:
        """Below the directory; empty for one that lies elsewhere."""
        file = PurePosixPath(path)
        below = file.is_relative_to(storage.path) and ".." not in file.parts
        return str(file.relative_to(storage.path)) if below else ""

    def source(self, disk: Disk) -> Source:
        """A file."""
        return in_file(disk)
