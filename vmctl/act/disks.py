"""A VM's files on shared storage: its disk, its specification beside it, its key in the lock manager's lockspace.

The names hold what was drawn at random (the VM's UUID, an image's token), so VMs, images and strangers never share one,
and nothing lies in wait under it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import PurePosixPath

from vmctl.act.made import Made
from vmctl.act.mounted import refuse_unmounted
from vmctl.errors import HostError, LibvirtError, Refused
from vmctl.formats import specjson
from vmctl.hosts.port import Link
from vmctl.model.records import Image, Storage, VMRecord
from vmctl.model.vms import Disk, Spec
from vmctl.services import Services
from vmctl.storage import OnHost, kind_of, on

log = logging.getLogger("vmctl.disks")
MIB = 1 << 20
MOST_SPEC = 1 << 20  # bytes of a specification's file that are looked at


def new_disk(storage: Storage, name: str, uuid: str) -> Disk:
    """The disk of a new VM, in a folder of the VM's own: a damaged file there harms no other VM."""
    kind = kind_of(storage)
    return Disk(storage.name, kind.path(storage, f"vm-{name}-{uuid}/disk.{kind.disk_format}"), kind.disk_format)


def beside(spec: Spec) -> str:
    """The file of its specification, beside its first disk; empty for a VM without disks."""
    if not spec.disks:
        return ""
    path = PurePosixPath(spec.disks[0].path)
    # Earlier versions put disks of all VMs into one folder.
    own = f"{path.parent.name}/" if spec.uuid in path.parent.name else ""
    return f"{own}{path.stem}.json"


def check_size(image: Image, size_bytes: int) -> None:
    """A disk may not be smaller than its image. Raises Refused."""
    if size_bytes and size_bytes < image.size_bytes:
        smallest = f"its image {image.name} ({image.size_bytes / MIB:.0f} MiB)"
        hint = f"--disk {-(-image.size_bytes // MIB)}M, or leave --disk out"
        raise Refused(f"a disk of {size_bytes / MIB:.0f} MiB is smaller than {smallest}", hint=hint)


async def make(link: Link, storage: Storage, image: Image, spec: Spec, size_bytes: int, full: bool, made: Made) -> Disk:
    """The VM's disk on the image: copy-on-write, or a full copy. Refused when it would be smaller than the image."""
    there = on(link, storage)
    await there.open()
    check_size(image, size_bytes)
    size = size_bytes or image.size_bytes
    disk = new_disk(storage, spec.name, spec.uuid)
    name = kind_of(storage).name(storage, disk.path)
    async with made.making("making the disk", name, link):
        if full:
            path = await there.copy(name, disk.format, image.size_bytes, image.path)
        else:
            path = await there.make(name, disk.format, size, (image.path, image.format))
    # A full copy has its image's size; a copy-on-write disk is made in its own size at once.
    if full and size > image.size_bytes:
        await there.grow(name, size)
    return replace(disk, path=path)


async def write_files(link: Link, storage: Storage, spec: Spec, made: Made) -> None:
    """Keep the specification beside the disk, and make the VM's key for its lease."""
    text, name, there = specjson.dump(spec).encode(), beside(spec), on(link, storage)
    async with made.making("writing its specification", name, link):
        await there.make(name, "raw", len(text))
    await there.write(name, [text])
    await there.make_key(spec.uuid)


async def look_for_key(link: Link, storage: Storage, uuid: str) -> None:
    """Make the VM's key again where somebody took it; a lockspace that cannot be listed is no reason not to start.

    Whether the key is there is then seen by virtlockd: it refuses a start without it.
    """
    try:
        await on(link, storage).make_key(uuid)
    except LibvirtError as err:
        log.warning("the key of %s is not looked for: %s", uuid, err.message)


async def refuse_without(services: Services, link: Link, vm: VMRecord) -> None:
    """Refuse a host that does not have the storage of a VM of ours mounted. Raises NotMounted, HostError."""
    storage = await storage_of(services, vm)
    if storage is not None and not vm.adopted:
        await refuse_unmounted(services, link, storage)


async def storage_of(services: Services, vm: VMRecord) -> Storage | None:
    """The storage that holds the VM's lease."""
    return await services.store.find(Storage, vm.lease_storage) if vm.lease_storage else None


def names(storage: Storage, spec: Spec) -> list[str]:
    """The VM's own disks on a storage, as they are called below its directory."""
    name = kind_of(storage).name
    found = [name(storage, disk.path) for disk in spec.disks if disk.storage == storage.name]
    return [file for file in found if file and ("/" not in file or spec.uuid in file.split("/")[0])]


async def remove(link: Link, storage: Storage, spec: Spec) -> list[str]:
    """Delete the VM's disks, its specification and its key; what of it lies elsewhere or is not its own is left.

    Returns the paths that were left.
    """
    there = on(link, storage)
    await there.open()
    own = names(storage, spec)
    for file in own:
        await there.delete(file)
    left = [disk.path for disk in spec.disks if kind_of(storage).name(storage, disk.path) not in own]
    name = beside(spec)
    if name and (spec.uuid in name or await _is_its_own(there, name, spec.uuid)):
        await there.delete(name)
    await there.remove_key(spec.uuid, [disk.path for disk in spec.disks if disk.path not in left])
    return left


async def _is_its_own(there: OnHost, name: str, uuid: str) -> bool:
    """Whether the file is this VM's specification: earlier versions gave it a name that others may have, too."""
    try:
        if not await there.has(name):
            return False
        return bool(json.loads(await there.read(name, MOST_SPEC)).get("uuid") == uuid)
    except (HostError, ValueError, AttributeError) as err:
        log.info("%s is left: %s", name, err)
        return False
