"""A VM's files on shared storage: its disk, its specification beside it, its key in the lock manager's lockspace.

Everything goes through libvirt's storage pools, so that no shell and no rights beyond libvirt's are needed. The names
hold what was drawn at random (the VM's UUID, an image's token), so VMs, images and strangers never share one, and
nothing lies in wait under it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import PurePosixPath

from vmctl.act.made import Made
from vmctl.errors import HostError, LibvirtError, Refused
from vmctl.formats import specjson
from vmctl.hosts import domainxml
from vmctl.hosts.port import Link
from vmctl.hosts.shown import DAMAGED
from vmctl.model.records import Image, Storage, VMRecord
from vmctl.model.vms import Disk, Spec
from vmctl.services import Services

log = logging.getLogger("vmctl.disks")
MIB = 1 << 20
MOST_SPEC = 1 << 20  # bytes of a specification's file that are looked at


def pool_name(storage: Storage) -> str:
    """The transient pool that we make where the host has none over that directory."""
    return f"vmctl-{storage.name}"


def disk_name(name: str, uuid: str) -> str:
    """The file of a new VM's disk, in a folder of the VM's own: a damaged file there harms no other VM."""
    return f"vm-{name}-{uuid}/disk.qcow2"


def name_in(storage: Storage, path: str) -> str:
    """How a file is called below a storage's directory; empty for one that lies elsewhere."""
    file = PurePosixPath(path)
    return str(file.relative_to(storage.path)) if file.is_relative_to(storage.path) and ".." not in file.parts else ""


def beside(spec: Spec) -> str:
    """The file of its specification, beside its first disk; empty for a VM without disks."""
    if not spec.disks:
        return ""
    path = PurePosixPath(spec.disks[0].path)
    own = f"{path.parent.name}/" if spec.uuid in path.parent.name else ""
    return f"{own}{path.stem}.json"


async def ensure(link: Link, storage: Storage) -> None:
    """Make sure that the host has a pool over the lockspace, if it can; over files of ours there is one when needed."""
    if storage.lockspace:
        try:
            await link.virt.ensure_pool(f"{pool_name(storage)}-lockspace", storage.lockspace)
        except LibvirtError as err:
            log.warning("%s", err.message)


async def forget(link: Link, storage: Storage) -> None:
    """Take our pools away again; what others made stays."""
    await link.virt.drop_pool(pool_name(storage))
    await link.virt.drop_pool(f"{pool_name(storage)}-lockspace")
    await link.virt.drop_pools_below(storage.path)


def check_size(image: Image, size_bytes: int) -> None:
    """A disk may not be smaller than its image. Raises Refused."""
    if size_bytes and size_bytes < image.size_bytes:
        smallest = f"its image {image.name} ({image.size_bytes / MIB:.0f} MiB)"
        hint = f"--disk {-(-image.size_bytes // MIB)}M, or leave --disk out"
        raise Refused(f"a disk of {size_bytes / MIB:.0f} MiB is smaller than {smallest}", hint=hint)


async def make(link: Link, storage: Storage, image: Image, spec: Spec, size_bytes: int, full: bool, made: Made) -> Disk:
    """The VM's disk on the image: copy-on-write, or a full copy. Refused when it would be smaller than the image."""
    await ensure(link, storage)
    check_size(image, size_bytes)
    size = size_bytes or image.size_bytes
    volume = disk_name(spec.name, spec.uuid)
    async with made.making("making the disk", volume):
        if full:
            xml = domainxml.volume(volume, "qcow2", image.size_bytes)
            path = await link.virt.copy_volume(storage.path, xml, image.path)
        else:
            xml = domainxml.volume(volume, "qcow2", size, (image.path, image.format))
            path = await link.virt.create_volume(storage.path, xml)
    if full and size > image.size_bytes:
        await link.virt.resize_volume(storage.path, volume, size)
    return Disk(storage.name, path)


async def write_files(link: Link, storage: Storage, spec: Spec, made: Made) -> None:
    """Keep the specification beside the disk, and make the VM's key in the lockspace."""
    text, name = specjson.dump(spec).encode(), beside(spec)
    async with made.making("writing its specification", name):
        await link.virt.create_volume(storage.path, domainxml.volume(name, "raw", len(text)))
    await link.virt.upload(storage.path, name, [text])
    await make_key(link, storage, spec.uuid)


async def make_key(link: Link, storage: Storage, uuid: str) -> None:
    """Make sure that the lockspace has the VM's key."""
    if storage.lockspace and not await link.virt.has_volume(storage.lockspace, uuid):
        await link.virt.create_volume(storage.lockspace, domainxml.volume(uuid, "raw", 0))


async def look_for_key(link: Link, storage: Storage, uuid: str) -> None:
    """Make the VM's key again where somebody took it; a lockspace that cannot be listed is no reason not to start.

    Whether the key is there is then seen by virtlockd: it refuses a start without it.
    """
    try:
        await make_key(link, storage, uuid)
    except LibvirtError as err:
        log.warning("the key of %s is not looked for: %s", uuid, err.message)


async def remove_key(link: Link, storage: Storage, uuid: str) -> None:
    """Take the VM's key out of the lockspace; its name is the VM's UUID, so it is nobody else's."""
    if storage.lockspace:
        await link.virt.delete_volume(storage.lockspace, uuid)


async def remove_locks(link: Link, storage: Storage, uuid: str, paths: Iterable[str]) -> None:
    """Take away the key of a VM that is off, and the lock files of disks that are its own (virtlockd's, by hash)."""
    await remove_key(link, storage, uuid)
    for path in paths if storage.lockspace else ():
        await link.virt.delete_volume(storage.lockspace, hashlib.sha256(path.encode()).hexdigest())


async def storage_of(services: Services, vm: VMRecord) -> Storage | None:
    """The storage that holds the VM's lease."""
    return await services.store.find(Storage, vm.lease_storage) if vm.lease_storage else None


async def delete_file(link: Link, storage: Storage, name: str) -> None:
    """Delete a file of ours, also one that is damaged; gone already is done.

    libvirt cannot even delete a file that it cannot read. One that lies in a folder of ours is then removed past it,
    where our user may do that.
    """
    try:
        await link.virt.delete_volume(storage.path, name)
    except LibvirtError as err:
        if err.code_number != DAMAGED or "/" not in name:
            raise
        path = f"{storage.path.rstrip('/')}/{name}"
        script = 'rm -f -- "$1" && { rmdir -- "${1%/*}" 2>/dev/null || :; }'
        if (await link.ssh.run(["sh", "-c", script, "sh", path], check=False)).status:
            raise LibvirtError(err.message, hint=f"on {link.name}: rm -r {path.rpartition('/')[0]}") from err


def names(storage: Storage, spec: Spec) -> list[str]:
    """The VM's own disks on a storage, as they are called below its directory."""
    found = [name_in(storage, disk.path) for disk in spec.disks if disk.storage == storage.name]
    return [file for file in found if file and ("/" not in file or spec.uuid in file.split("/")[0])]


async def remove(link: Link, storage: Storage, spec: Spec) -> list[str]:
    """Delete the VM's disks, its specification and its key; what of it lies elsewhere or is not its own is left.

    Returns the paths that were left.
    """
    await ensure(link, storage)
    own = names(storage, spec)
    for file in own:
        await delete_file(link, storage, file)
    left = [disk.path for disk in spec.disks if name_in(storage, disk.path) not in own]
    name = beside(spec)
    if name and (spec.uuid in name or await _is_its_own(link, storage, name, spec.uuid)):
        await delete_file(link, storage, name)
    await remove_locks(link, storage, spec.uuid, [disk.path for disk in spec.disks if disk.path not in left])
    return left


async def _is_its_own(link: Link, storage: Storage, name: str, uuid: str) -> bool:
    """Whether the file is this VM's specification: earlier versions gave it a name that others may have, too."""
    try:
        if not await link.virt.has_volume(storage.path, name):
            return False
        text = await link.virt.download(storage.path, name, MOST_SPEC)
        return bool(json.loads(text).get("uuid") == uuid)
    except (HostError, ValueError, AttributeError) as err:
        log.info("%s/%s is left: %s", storage.path, name, err)
        return False
