"""What every kind of storage can do. VMs, images and proofs stand on this alone.

A file of ours has a name below its storage, FOLDER/FILE, with a folder of its own for each VM and each image: what is
damaged in one harms no other. Files of earlier versions have a name without a folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from vmctl.hosts.domainxml import Source
from vmctl.hosts.port import Link
from vmctl.model.records import Storage
from vmctl.model.vms import Disk


class OnHost(Protocol):
    """One storage as one of its hosts has it. All methods raise HostError: LibvirtError, NotSent, NoAnswer."""

    async def open(self) -> None:
        """Get the host ready to use it. What lacks is told by the call that needs it."""

    async def close(self) -> None:
        """Take away again what `open` made on the host; all files stay."""

    async def make(self, name: str, format_: str, size_bytes: int, base: tuple[str, str] | None = None) -> str:
        """Make a file; returns its path. LibvirtError where it exists.

        With `base`, (path, format) of an image, a copy-on-write disk on it.
        """

    async def copy(self, name: str, format_: str, size_bytes: int, source: str) -> str:
        """Make a full copy of the file at a path; returns the copy's path."""

    async def grow(self, name: str, size_bytes: int) -> None:
        """Make a disk larger."""

    async def has(self, name: str) -> bool:
        """Whether there is such a file."""

    async def delete(self, name: str) -> None:
        """Remove a file, also one that is damaged, and its folder when it was the last one there; gone is done."""

    async def write(self, name: str, pieces: Iterable[bytes | int], *, sparse: bool = False, offset: int = 0) -> None:
        """Write bytes into a file from `offset` on, and with `sparse` lengths of holes, too."""

    async def read(self, name: str, most: int, offset: int = 0) -> bytes:
        """At most `most` bytes of a file, from `offset`."""

    async def make_key(self, uuid: str) -> None:
        """Make sure that there is what a VM's lease is taken on."""

    async def remove_key(self, uuid: str, disks: Iterable[str] = ()) -> None:
        """Take a VM's key away, and the lock files of the disks at these paths; only of a VM that is off."""


class StorageKind(Protocol):
    """One kind of storage."""

    disk_format: str  # of new disks

    def on(self, link: Link, storage: Storage) -> OnHost:
        """A storage as one host has it."""

    def path(self, storage: Storage, name: str) -> str:
        """Where a file lies, as QEMU and the hosts call it."""

    def name(self, storage: Storage, path: str) -> str:
        """The inverse; empty for what lies elsewhere."""

    def source(self, disk: Disk) -> Source:
        """How a domain's XML names a disk."""
