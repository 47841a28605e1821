"""Storages and images. A storage is shared when every host read back what another one wrote, and not before."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vmctl.act import disks
from vmctl.act.made import Made
from vmctl.errors import HostError, NotFound, Refused, Usage, VmctlError
from vmctl.hosts import domainxml
from vmctl.hosts.link import HostLink
from vmctl.model import bad_name
from vmctl.records import HostRecord, Image, Storage, VMRecord
from vmctl.tasks import Job
from vmctl.world import World

CHUNK = 1 << 20


async def prove(storage: Storage, links: list[HostLink]) -> dict[str, str]:
    """Write a random file from each host and read it on all others: host -> what is wrong there, or empty."""
    verdict = {link.name: "" for link in links}
    token = secrets.token_hex(16).encode()
    name = f".vmctl-probe-{secrets.token_hex(6)}"
    writer: HostLink | None = None
    for link in links:
        try:
            await disks.ensure(link, storage)
            if writer is None:
                await link.virt.create_volume(storage.path, domainxml.volume(name, "raw", len(token)))
                await link.virt.upload(storage.path, name, [token])
                writer = link
            elif await link.virt.download(storage.path, name, len(token)) != token:
                verdict[link.name] = f"reads something else than {writer.name} wrote"
            else:  # and the other way round: what this host writes, the first must read
                await link.virt.upload(storage.path, name, [token[::-1]])
                if await writer.virt.download(storage.path, name, len(token)) != token[::-1]:
                    verdict[link.name] = f"{writer.name} does not see what it writes"
                await writer.virt.upload(storage.path, name, [token])
        except VmctlError as err:
            verdict[link.name] = err.message
    if writer is not None:
        await writer.virt.delete_volume(storage.path, name)
    return verdict


async def add(world: World, job: Job) -> dict[str, Any]:
    """Task: register a shared directory, proven from every host that answers."""
    name, path = job.args["name"], job.args["path"].rstrip("/") or "/"
    if (problem := bad_name(name)) is not None:
        raise Usage(problem)
    if not path.startswith("/"):
        raise Usage(f"{path!r} is not an absolute path", hint="give the directory's path as the hosts see it")
    if await world.store.find(Storage, name) is not None:
        raise Refused(f"there is already a storage {name!r}", hint="vmctl storage list")
    lockspace = job.args.get("lockspace") or await _lockspace(world)
    storage = Storage(name, path, time.time(), lockspace)
    job.show(text="writing and reading back from every host")
    return await _prove_and_keep(world, storage)


async def _lockspace(world: World) -> str:
    """The lock manager's directory, as the doctor learnt it at `host add`."""
    found = {str(h.about["lockspace"]) for h in await world.store.all(HostRecord) if h.about.get("lockspace")}
    if len(found) > 1:
        raise Refused(f"the hosts keep their locks in different places: {', '.join(sorted(found))}")
    return found.pop() if found else ""


async def check(world: World, job: Job) -> dict[str, Any]:
    """Task: prove a storage again, from every host that answers."""
    return await _prove_and_keep(world, await world.store.get(Storage, job.args["name"]))


async def _prove_and_keep(world: World, storage: Storage) -> dict[str, Any]:
    links = [link for _, link in sorted(world.links.items()) if link.online]
    if not links:
        raise NotFound("there is no host that answers", hint="vmctl host add NAME...")
    verdict = await prove(storage, links)
    good = [name for name, wrong in verdict.items() if not wrong]
    lines = tuple(f"{name}: {wrong}" for name, wrong in verdict.items() if wrong)
    if not good:
        raise Refused(f"no host can use {storage.path}", lines=lines)
    silent = [name for name in storage.hosts if name not in verdict]  # a host that is away keeps its old proof
    storage = replace(storage, hosts=sorted({*good, *silent}))
    await world.store.put(storage)
    capacity, free = await world.any_online(good).virt.pool_free(storage.path)
    return {
        "storage": storage.name,
        "path": storage.path,
        "hosts": storage.hosts,
        "problems": list(lines),
        "capacity_bytes": capacity,
        "free_bytes": free,
    }


async def remove(world: World, job: Job) -> dict[str, Any]:
    """Task: forget a storage; its files stay."""
    storage = await world.store.get(Storage, job.args["name"])
    users = [vm.name for vm in await world.store.all(VMRecord) if any(d.storage == storage.name for d in vm.spec.disks)]
    users += [f"image {i.name}" for i in await world.store.all(Image) if i.storage == storage.name]
    if users:
        raise Refused(f"storage {storage.name} is in use by {', '.join(users[:5])}")
    for link in world.links.values():
        if link.online:
            await disks.forget(link, storage)
    await world.store.remove(Storage, storage.name)
    return {"storage": storage.name}


# -- images


def read_chunks(path: Path, job: Job) -> Iterator[bytes]:
    """A file in pieces, with progress."""
    total, done = max(1, path.stat().st_size), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
            done += len(chunk)
            job.progress = {"percent": round(100 * done / total, 1), "text": f"uploading {path.name}"}


async def image_add(world: World, job: Job) -> dict[str, Any]:
    """Task: upload a disk image (and a kernel and initrd, where the guest is booted directly) to a storage."""
    name = job.args["name"]
    if job.journal.get("storage"):
        return await _finish_image(world, job)
    if (problem := bad_name(name)) is not None:
        raise Usage(problem)
    if await world.store.find(Image, name) is not None:
        raise Refused(f"there is already an image {name!r}", hint="vmctl image list")
    storage = await _storage(world, job.args.get("storage") or "")
    link = world.any_online(storage.hosts)
    await disks.ensure(link, storage)
    format_, size = await asyncio.to_thread(inspect, Path(job.args["file"]))
    token = secrets.token_hex(8)
    await job.note("uploading", storage=storage.name)
    made, paths = Made(job, storage), {}
    try:
        for part, suffix in (("file", format_), ("kernel", "kernel"), ("initrd", "initrd")):
            if source := job.args.get(part):
                paths[part] = await _upload(link, storage, Path(source), f"image-{name}-{token}.{suffix}", job, made)
        image = Image(
            name,
            storage.name,
            paths["file"],
            time.time(),
            format_,
            size,
            paths.get("kernel", ""),
            paths.get("initrd", ""),
            job.args.get("cmdline") or "",
        )
        await world.store.insert(image)
    except VmctlError:
        await _undo_image(world, job, storage)
        raise
    await world.tell("image", name, f"image {name} was added to {storage.name}", job.task.who)
    return _added(image)


def _added(image: Image) -> dict[str, Any]:
    return {"image": image.name, "path": image.path, "format": image.format, "size_bytes": image.size_bytes}


async def _undo_image(world: World, job: Job, storage: Storage) -> None:
    """Take away what was uploaded, and nothing else."""
    made = Made(job, storage)
    if not made.names:
        return
    try:
        link = world.any_online(storage.hosts)
        await disks.ensure(link, storage)
        await made.undo(link)
    except VmctlError as left:
        names = ", ".join(f"{storage.path}/{name}" for name in made.names)
        job.say(f"left on {storage.name}: {names}: {left.message}")


async def _finish_image(world: World, job: Job) -> dict[str, Any]:
    """A controller died in an upload: an image that is registered is done, anything else is undone."""
    storage = await world.store.get(Storage, job.journal["storage"])
    image = await world.store.find(Image, job.args["name"])
    if image is not None and image.path.rpartition("/")[2] in Made(job, storage).names:
        return _added(image)
    await world.wait_any_online(storage.hosts)
    await _undo_image(world, job, storage)
    raise Refused(f"image {job.args['name']} was not added: the controller ended first", hint="give the command again")


async def _storage(world: World, name: str) -> Storage:
    if name:
        return await world.store.get(Storage, name)
    found = await world.store.all(Storage)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound("there is no storage yet", hint="vmctl storage add NAME --path DIR")
    raise Usage("there are several storages: say which", hint=f"--storage {'|'.join(s.name for s in found)}")


async def _upload(link: HostLink, storage: Storage, source: Path, volume: str, job: Job, made: Made) -> str:
    size = (await asyncio.to_thread(source.stat)).st_size
    async with made.making(f"uploading {source.name}", volume):
        path = await link.virt.create_volume(storage.path, domainxml.volume(volume, "raw", size))
    await link.virt.upload(storage.path, volume, read_chunks(source, job))
    return path


def inspect(path: Path) -> tuple[str, int]:
    """An image file's (format, virtual size in bytes), from its own header. Refused when it leans on other files."""
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    with path.open("rb") as file:
        head = file.read(104)
    if head[:4] != b"QFI\xfb":
        return "raw", path.stat().st_size
    if int.from_bytes(head[8:16], "big"):
        raise Refused(f"{path} needs a backing file", hint=f"qemu-img convert -O qcow2 {path} flat.qcow2")
    if int.from_bytes(head[4:8], "big") >= 3 and int.from_bytes(head[72:80], "big") & 4:
        raise Refused(f"{path} keeps its data in another file", hint=f"qemu-img convert -O qcow2 {path} flat.qcow2")
    return "qcow2", int.from_bytes(head[24:32], "big")


async def image_remove(world: World, job: Job) -> dict[str, Any]:
    """Task: delete an image that no VM's disk is built on.

    It is forgotten first, in one step with looking for its users: no VM can be made from it any more. What it was is in
    the journal for whoever takes over, and it is registered again where its files cannot be deleted.
    """
    kept: dict[str, Any] = job.journal.get("image") or {}
    image = Image(**kept) if kept else await world.store.get(Image, job.args["name"])
    await job.note("forgetting it", image=asdict(image))
    if await world.store.find(Image, image.name) == image:
        await world.store.take_image(image.name)
    try:
        storage = await world.store.get(Storage, image.storage)
        link = await world.wait_any_online(storage.hosts)
        await disks.ensure(link, storage)
        for path in filter(None, (image.path, image.kernel, image.initrd)):
            await link.virt.delete_volume(storage.path, path.rsplit("/", 1)[-1])
    except HostError:
        await world.store.insert(image)
        raise
    await world.tell("image", image.name, f"image {image.name} was deleted", job.task.who)
    return {"image": image.name}
