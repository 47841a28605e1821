"""A VM's files on shared storage: its disk, its specification beside it, its key in the lock manager's lockspace.

Everything goes through libvirt's storage pools, so that no shell and no rights beyond libvirt's are needed.
"""

from __future__ import annotations

from vmctl import specjson
from vmctl.errors import LibvirtError, Refused
from vmctl.hosts import domainxml
from vmctl.hosts.link import HostLink
from vmctl.model import Disk, Spec
from vmctl.records import Image, Storage

GIB = 1 << 30


def pool_name(storage: Storage) -> str:
    """The transient pool that we make where the host has none over that directory."""
    return f"vmctl-{storage.name}"


async def ensure(link: HostLink, storage: Storage) -> None:
    """Make sure that the host has pools over the storage and its lockspace."""
    await link.virt.ensure_pool(pool_name(storage), storage.path)
    if storage.lockspace:
        await link.virt.ensure_pool(f"{pool_name(storage)}-lockspace", storage.lockspace)


async def forget(link: HostLink, storage: Storage) -> None:
    """Take our pools away again; what others made stays."""
    await link.virt.drop_pool(pool_name(storage))
    await link.virt.drop_pool(f"{pool_name(storage)}-lockspace")


async def make(link: HostLink, storage: Storage, image: Image, name: str, size_bytes: int, full: bool) -> Disk:
    """A disk on the image: copy-on-write, or a full copy. Refused when it would be smaller than the image."""
    await ensure(link, storage)
    if size_bytes and size_bytes < image.size_bytes:
        smallest = f"{image.size_bytes / GIB:.2f}"
        raise Refused(f"a disk of {size_bytes / GIB:.2f} GiB is smaller than its image ({smallest} GiB)")
    size = size_bytes or image.size_bytes
    volume = f"{name}.qcow2"
    if full:
        xml = domainxml.volume(volume, "qcow2", image.size_bytes)
        path = await link.virt.copy_volume(storage.path, xml, image.path)
        if size > image.size_bytes:
            await link.virt.resize_volume(storage.path, volume, size)
    else:
        xml = domainxml.volume(volume, "qcow2", size, (image.path, image.format))
        path = await link.virt.create_volume(storage.path, xml)
    return Disk(storage.name, path)


async def write_files(link: HostLink, storage: Storage, spec: Spec) -> None:
    """Keep the specification beside the disk, and make the VM's key in the lockspace."""
    await ensure(link, storage)
    text = specjson.dump(spec).encode()
    volume = domainxml.volume(f"{spec.name}.json", "raw", len(text))
    try:
        await link.virt.create_volume(storage.path, volume)
    except LibvirtError:  # somebody left one
        await link.virt.delete_volume(storage.path, f"{spec.name}.json")
        await link.virt.create_volume(storage.path, volume)
    await link.virt.upload(storage.path, f"{spec.name}.json", [text])
    await make_key(link, storage, spec.uuid)


async def make_key(link: HostLink, storage: Storage, uuid: str) -> None:
    """Make sure that the lockspace has the VM's key."""
    if storage.lockspace and not await link.virt.has_volume(storage.lockspace, uuid):
        await link.virt.create_volume(storage.lockspace, domainxml.volume(uuid, "raw", 0))


async def remove(link: HostLink, storage: Storage, spec: Spec) -> None:
    """Delete what `make` and `write_files` made."""
    await ensure(link, storage)
    for disk in spec.disks:
        await link.virt.delete_volume(storage.path, disk.path.rsplit("/", 1)[-1])
    await link.virt.delete_volume(storage.path, f"{spec.name}.json")
    if storage.lockspace:
        await link.virt.delete_volume(storage.lockspace, spec.uuid)
