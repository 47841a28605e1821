"""Storages and images. A storage is shared when every host read back what another one wrote, and not before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vmctl.act.made import Made
from vmctl.act.mounted import host_with, refuse_unmounted
from vmctl.act.needed import refuse_if_needed, refuse_links
from vmctl.act.proof import Proof, State, is_full, prove
from vmctl.commands.storages import AddImage, AddStorage, CheckStorage, RemoveImage, RemoveStorage
from vmctl.errors import CommandFailed, HostError, LibvirtError, NoAnswer, NotFound, Refused, Usage, VmctlError
from vmctl.formats import imagefile
from vmctl.hosts import doctor, mounts
from vmctl.hosts.port import Link
from vmctl.model.records import ClusterValue, HostRecord, Image, Storage
from vmctl.services import Services
from vmctl.storage import kind_of, on
from vmctl.store.rules import check_new_storage, is_same, missing, proof_of
from vmctl.tasks import AnyJob, Job
from vmctl.tasks.journals import AddingStorage, Journal, Making, RemovingImage, RemovingStorage
from vmctl.text import bad_name

Uploading = Job[AddImage, Making]
ROOM_S = 2.0  # how long a host is waited for that is asked how much room there is


async def add(services: Services, job: Job[AddStorage, AddingStorage]) -> dict[str, Any]:
    """Task: register a shared directory, proven from every host that answers."""
    name, path = job.args.name, clean_path(job.args.path)
    if (problem := bad_name(name)) is not None:
        raise Usage(problem)
    known = await services.store.find(Storage, name)
    if known is not None and known.added_at == job.journal.added_at:  # by a predecessor that could not write its end
        return await _prove_and_keep(services, known, new=False)
    if known is not None:
        raise Refused(f"there is already a storage {name!r}", hint="vmctl storage list")
    storage = Storage(name, path, services.clock.now())
    check_new_storage(storage, await services.store.all(Storage))  # asked again when it is registered
    storage = replace(storage, lockspace=job.args.lockspace or await _lockspace(services))
    await job.note("writing and reading back from every host", added_at=storage.added_at)
    return await _prove_and_keep(services, storage, new=True)


def clean_path(text: str) -> str:
    """A directory as it is compared and kept: absolute, with single slashes. Raises Usage."""
    if not text.startswith("/") or "\0" in text or "\n" in text:
        raise Usage(f"{text!r} is not an absolute path", hint="give the directory's path as the hosts see it")
    if {".", ".."} & set(text.split("/")):
        raise Usage(f"{text!r} has . or .. in it", hint=f"--path {posixpath.normpath(text)}, if you mean that")
    return "/" + "/".join(part for part in text.split("/") if part)


async def _lockspace(services: Services) -> str:
    """The lock manager's directory, as the doctor learnt it at `host add`."""
    found = {str(h.about["lockspace"]) for h in await services.store.all(HostRecord) if h.about.get("lockspace")}
    if len(found) > 1:
        raise Refused(f"the hosts keep their locks in different places: {', '.join(sorted(found))}")
    return found.pop() if found else ""


async def check(services: Services, job: Job[CheckStorage, Journal]) -> dict[str, Any]:
    """Task: prove a storage again, from every host that answers."""
    return await _prove_and_keep(services, await services.store.get(Storage, job.args.name), new=False)


async def _prove_and_keep(services: Services, storage: Storage, *, new: bool) -> dict[str, Any]:
    """Only what was seen to be wrong takes a proof away; a new storage is registered when nothing is."""
    links = [link for _, link in sorted(services.links.items()) if link.online]
    if not links:
        raise NotFound("there is no host that answers", hint="vmctl host add NAME...")
    proof = await prove(storage, links)
    good, wrong = proof.of(State.GOOD), proof.of(State.WRONG)
    if new:
        await _refuse_new(services, storage, proof)
    elif not good and not storage.hosts:
        raise Refused(f"no host can use {storage.path}", lines=proof.lines)
    # a host that is away, or from which nothing could be learnt, keeps its old proof
    lost = {*wrong, *proof.of(State.ABSENT)}
    if new:
        storage = replace(storage, hosts=sorted(good))
        await services.store.add_storage(storage)
    else:
        # In one step with reading it: a `host add` at the same time adds a host to the same list.
        storage = await services.store.revise(Storage, storage.name, lambda kept: shared_by(kept, storage, good, lost))
    if good:
        await _remember(services, storage, proof)
    return {
        "storage": storage.name,
        "path": storage.path,
        "hosts": storage.hosts,
        "problems": list(proof.lines),
        "capacity_bytes": proof.capacity,
        "free_bytes": proof.free,
    }


def shared_by(kept: Storage | None, proven: Storage, good: Iterable[str], lost: Iterable[str] = ()) -> Storage:
    """The storage with hosts more that were proven to share it, and without those that were seen not to.

    Raises NotFound where somebody forgot it meanwhile, also where another one has its name now.
    """
    if kept is None or not is_same(kept, proven):
        raise missing("storage", proven.name)
    return replace(kept, hosts=sorted({*good, *(host for host in kept.hosts if host not in set(lost))}))


async def _refuse_new(services: Services, storage: Storage, proof: Proof) -> None:
    """Refuse what is not one directory wherever it is there, and what has another path besides."""
    if proof.of(State.WRONG):
        raise Refused(
            f"{storage.path} is not one directory that all hosts share; nothing was registered", lines=proof.lines
        )
    if not proof.of(State.GOOD):
        raise Refused(f"no host can use {storage.path}; nothing was registered", lines=proof.lines)
    name, mount = next(iter(proof.mounts.items()))
    # libvirt shows disks under the path that it was given. Under two paths one file would count as two.
    if mount.real and mount.real != storage.path:
        raise Refused(f"{storage.path} is a link to {mount.real} on {name}", hint=f"--path {mount.real}")


async def _remember(services: Services, storage: Storage, proof: Proof) -> None:
    """What it was proven to do, for `storage show`."""
    good, now = proof.of(State.GOOD), services.clock.now()
    mount = proof.mounts[good[0]]
    seen = {"capacity": proof.capacity, "free": proof.free, "mount": str(mount), "kind": mount.kind}
    seen |= await _locks(services, storage, good) or {}

    def learnt(before: dict[str, Any]) -> dict[str, Any]:
        hosts = {name: at for name, at in before.get("hosts", {}).items() if name in storage.hosts}
        return seen | {"hosts": hosts | dict.fromkeys(good, now)}

    await learn(services, storage.name, learnt)


async def learn(services: Services, name: str, learnt: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Write down what was learnt of a storage besides what is known of it, which `learnt` is given."""

    def known(kept: ClusterValue | None) -> ClusterValue:
        before: dict[str, Any] = json.loads(kept.value) if kept is not None else {}
        return ClusterValue(proof_of(name), json.dumps(before | learnt(before)))

    await services.store.revise(ClusterValue, proof_of(name), known)


async def _locks(services: Services, storage: Storage, hosts: list[str]) -> dict[str, Any] | None:
    """Whether a lease held on one host is refused on another; None where that cannot be tried."""
    if len(hosts) < 2 or not storage.lockspace:
        return None
    first, second = (services.online(name) for name in hosts[:2])
    check = await doctor.guard("lock", doctor.prove_lock, storage.lockspace, first, second)
    return {"locks": {"verdict": check.verdict, "text": check.text, "at": services.clock.now()}}


async def proven(services: Services, name: str) -> dict[str, Any]:
    """What a storage was proven to do, and when; empty where that was before it was written down."""
    kept = await services.store.find(ClusterValue, proof_of(name))
    found: dict[str, Any] = json.loads(kept.value) if kept is not None else {}
    return found


async def room(services: Services, storage: Storage) -> dict[str, int]:
    """How large the storage is now and how much of it is free, in bytes; empty where no host tells within a moment."""
    for name in sorted(storage.hosts):
        link = services.links.get(name)
        if link is None or not link.online or storage.name in services.unmounted.get(name, ()):
            continue
        with contextlib.suppress(HostError, TimeoutError):
            async with asyncio.timeout(ROOM_S):
                found = await link.ask(mounts.space(storage.path))
            return {"capacity": found.capacity, "free": found.free}
    return {}


async def remove(services: Services, job: Job[RemoveStorage, RemovingStorage]) -> dict[str, Any]:
    """Task: forget a storage; its files stay.

    Once it is forgotten, it is done: of a host that does not let go of its pools, that is told.
    """
    kept: dict[str, Any] = job.journal.storage
    storage = Storage(**kept) if kept else await services.store.get(Storage, job.args.name)
    await job.note("forgetting it", storage=asdict(storage))
    # Forgotten first, and refused there while something is on it. Closing the pools on hosts undoes nothing that
    # somebody needs.
    now = await services.store.find(Storage, storage.name)
    if now is not None and is_same(now, storage):  # else a predecessor forgot it, and this is another one
        await services.store.take_storage(storage.name)
    for link in list(services.links.values()):
        if link.online:
            await forget_on(link, storage, job)
    return {"storage": storage.name}


async def forget_on(link: Link, storage: Storage, job: AnyJob) -> None:
    """Take our pools over the storage away from a host; where that fails, it is said and stops nothing."""
    try:
        await on(link, storage).close()
    except HostError as err:
        job.say(f"{link.name}: whether our pools over {storage.path} are gone is not known: {err.message}")


# -- images


def with_progress(path: Path, job: Uploading) -> Iterator[bytes | int]:
    """A file in pieces, holes as holes; the job shows how far it is."""
    total, done = max(1, path.stat().st_size), 0
    for piece in imagefile.pieces(path):
        yield piece
        done += piece if isinstance(piece, int) else len(piece)
        job.progress = {"percent": round(100 * done / total, 1), "text": f"uploading {path.name}"}


async def image_add(services: Services, job: Uploading) -> dict[str, Any]:
    """Task: upload a disk image (and a kernel and initrd, where the guest is booted directly) to a storage."""
    name = job.args.name
    if job.journal.storage:
        return await _finish_image(services, job)
    if (problem := bad_name(name)) is not None:
        raise Usage(problem)
    if await services.store.find(Image, name) is not None:
        raise Refused(f"there is already an image {name!r}", hint="vmctl image list")
    storage = await chosen_storage(services, job.args.storage)
    link = await host_with(services, storage)
    await on(link, storage).open()
    if job.args.initrd and not job.args.kernel:
        raise Usage("an initrd is nothing without its kernel", hint="--kernel FILE --initrd FILE")
    image_file = await services.threads.run(imagefile.inspect, Path(job.args.file))
    format_, size = image_file.format, image_file.size_bytes
    token = services.ids.token()
    # Before the first file is made: a successor must know where to look for what it has to take away.
    await job.note("uploading", storage=storage.name)
    made, paths = Made(job, storage), {}
    try:
        for part, suffix in (("file", f"disk.{format_}"), ("kernel", "kernel"), ("initrd", "initrd")):
            if source := getattr(job.args, part):
                paths[part] = await _upload(
                    services, storage, Path(source), f"image-{name}-{token}/{suffix}", job, made
                )
        image = Image(
            name,
            storage.name,
            paths["file"],
            services.clock.now(),
            format_,
            size,
            paths.get("kernel", ""),
            paths.get("initrd", ""),
            job.args.cmdline,
            job.args.project,
            await _taken(services, job, size),
        )
        await services.store.add_image(image)
    except VmctlError as err:
        if isinstance(err, NoAnswer):  # what was asked for may still be done, and then belongs to nobody
            _tell_late(job, storage, made)
        await _undo_image(services, job, storage)
        raise
    await services.record_event("image", name, f"image {name} was added to {storage.name}", job.task.who, image.project)
    return _added(image)


async def _taken(services: Services, job: Uploading, size_bytes: int) -> int:
    """What its files may come to: a disk that is sparse now may fill."""
    sources = [Path(source) for source in (job.args.file, job.args.kernel, job.args.initrd) if source]
    sizes = await services.threads.run(lambda: [source.stat().st_size for source in sources])
    return max(size_bytes, sizes[0]) + sum(sizes[1:])


def _added(image: Image) -> dict[str, Any]:
    return {"image": image.name, "path": image.path, "format": image.format, "size_bytes": image.size_bytes}


def _tell_late(job: Uploading, storage: Storage, made: Made) -> None:
    names = ", ".join(f"{storage.path}/{name}" for name in made.names)
    job.say(f"{job.journal.maker} gave no answer, and may still make {names}")


async def _undo_image(services: Services, job: Uploading, storage: Storage) -> None:
    """Take away what was uploaded, and nothing else."""
    made = Made(job, storage)
    if not made.names:
        return
    try:
        link = await made.remover(services)
        if made.may_come(link):
            _tell_late(job, storage, made)
        await on(link, storage).open()
        await made.undo(services, link)
    except VmctlError as left:
        names = ", ".join(f"{storage.path}/{name}" for name in made.names)
        job.say(f"left on {storage.name}: {names}: {left.message}")


async def _finish_image(services: Services, job: Uploading) -> dict[str, Any]:
    """A controller died in an upload: an image that is registered is done, anything else is undone."""
    storage = await services.store.get(Storage, job.journal.storage)
    image = await services.store.find(Image, job.args.name)
    # An image of that name may be another one's, added meanwhile. Only one on our own files is ours.
    if image is not None and kind_of(storage).name(storage, image.path) in Made(job, storage).names:
        return _added(image)
    await services.wait_any_online(storage.hosts)
    await _undo_image(services, job, storage)
    raise Refused(f"image {job.args.name} was not added: the controller ended first", hint="give the command again")


async def chosen_storage(services: Services, name: str) -> Storage:
    """The storage of that name; the only one, where none is named. Raises NotFound, Usage."""
    if name:
        return await services.store.get(Storage, name)
    found = await services.store.all(Storage)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound("there is no storage yet", hint="vmctl storage add NAME --path DIR")
    raise Usage("there are several storages: say which", hint=f"--storage {'|'.join(s.name for s in found)}")


async def _upload(services: Services, storage: Storage, source: Path, volume: str, job: Uploading, made: Made) -> str:
    """Put a file on the storage as it is, and read it back. Raises Refused where there is no room for it."""
    link = await host_with(services, storage)
    size = (await services.threads.run(source.stat)).st_size
    # Holes are not written, so only the extents count as needed.
    need = await services.threads.run(lambda: sum(length for _, length in imagefile.extents(source)))
    try:
        async with made.making(f"uploading {source.name}", volume, link):
            path = await on(link, storage).make(volume, "raw", size)
        await _check_room(link, storage, source, need)
        await on(link, storage).write(volume, with_progress(source, job), sparse=True)
    except LibvirtError as err:
        if not is_full(err.message):
            raise
        raise _full(storage, source, need, 0) from err
    await _read_back(services, link, storage, source, volume)
    return path


async def _check_room(link: Link, storage: Storage, source: Path, need: int) -> None:
    free = (await link.ask(mounts.space(storage.path))).free
    if free < need:
        raise _full(storage, source, need, free)


def _full(storage: Storage, source: Path, need: int, free: int) -> Refused:
    return Refused(
        f"storage {storage.name} is full: {source.name} needs {need} bytes, {free} bytes are free",
        hint=f"make room in {storage.path}",
    )


async def _read_back(services: Services, link: Link, storage: Storage, source: Path, volume: str) -> None:
    """What was written is read on another host, where there is one: what only this one's cache holds is not there."""
    others = [
        one for name, one in sorted(services.links.items()) if one.online and name in storage.hosts and one is not link
    ]
    reader = others[0] if others else link
    # Samples, not the whole file: a full read would take as long as the upload.
    samples = imagefile.samples(source)
    while (sample := await services.threads.run(next, samples, None)) is not None:
        at, data = sample
        if await on(reader, storage).read(volume, len(data), at) == data:
            continue
        free = (await link.ask(mounts.space(storage.path))).free
        # A full disk may only be noticed when caches are written back: told as full, not as a broken storage.
        if free < len(data):
            raise _full(storage, source, at + len(data), free)
        raise CommandFailed(
            f"{source.name} on {storage.name} does not read back from {reader.name} as it was written (byte {at})",
            hint=f"vmctl storage check {storage.name}",
        )


async def image_remove(services: Services, job: Job[RemoveImage, RemovingImage]) -> dict[str, Any]:
    """Task: delete an image that no VM's disk is built on.

    It is forgotten first, in one step with looking for its users: no VM can be made from it any more. What it was is in
    the journal for whoever takes over, and it is registered again where its files cannot be deleted.
    """
    kept: dict[str, Any] = job.journal.image
    image = Image(**kept) if kept else await services.store.get(Image, job.args.name)
    await job.note("forgetting it", image=asdict(image))
    # Compared whole: a successor finds it forgotten already, or another image that has taken its name since.
    if await services.store.find(Image, image.name) == image:
        await services.store.take_image(image.name)
    try:
        storage = await services.store.get(Storage, image.storage)
        link = await host_with(services, storage)
        paths = [path for path in (image.kernel, image.initrd, image.path) if path]
        await refuse_if_needed(services, set(paths))
        await refuse_links(link, storage, [kind_of(storage).name(storage, path) for path in paths])
        await on(link, storage).open()
        for path in paths:
            await on(link, storage).delete(kind_of(storage).name(storage, path))
        await refuse_unmounted(services, link, storage)  # else what was deleted may only be out of sight
    except (HostError, Refused) as err:
        await _keep_image(services, image, err)
        raise
    await services.record_event("image", image.name, f"image {image.name} was deleted", job.task.who, image.project)
    return {"image": image.name}


async def _keep_image(services: Services, image: Image, err: VmctlError) -> None:
    """Register it again, as its files are there; where that cannot be, the error that kept them says so, too."""
    try:
        await services.store.add_image(image, again=True)
    except (NotFound, Refused) as gone:  # its storage was forgotten, or another image has its name
        files = ", ".join(path for path in (image.path, image.kernel, image.initrd) if path)
        err.lines = (*err.lines, f"image {image.name} is registered no more: {gone.message}; its files stay: {files}")
