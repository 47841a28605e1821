"""Files beside a VM's disk that nobody told us of: perhaps a newer layer of it, with all that was written since.

An external snapshot puts its layer beside the disk, or anywhere, and sends no event. If the VM's QEMU ends before it
was read whole again, only the file itself tells of it. Starting from the disk would lose what is in the layer, and make
it worthless. So files beside the disk are looked at before each start; after an end that was none of ours, every file
on its storage that was changed since, and is built on its disk.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import PurePosixPath

from vmctl.act import disks
from vmctl.errors import Refused
from vmctl.hosts.chains import chains
from vmctl.hosts.facts import Fact
from vmctl.hosts.port import Link
from vmctl.model.records import Storage, VMRecord
from vmctl.model.vms import Spec
from vmctl.services import Services

CLOCKS_S = 5.0  # by which a host's clock may differ
AT_ONCE = 50  # files that one command looks into
LOCAL = "/var/lib/libvirt/images"  # where libvirt and people put files that only their host has
# No qcow2 file is smaller. The last line is find's own word: a folder that is too large is searched in part only.
CHANGED = (
    """timeout 10 find "$1" -xdev -path "$2" -prune -o -type f -size +99k -newermt "$3" -print 2>/dev/null; echo $?"""
)
TIMED_OUT = "124"
# In a folder of the VM's own every file counts; elsewhere those that have the disk's name with another ending.
LIST = 'stat -c "%Y %n" -- "$1"/"$2"* 2>/dev/null; :'


@dataclass(frozen=True, slots=True)
class Beside:
    """A file beside a disk."""

    path: str
    changed_at: float  # UTC seconds by its host


async def beside(link: Link, spec: Spec) -> list[Beside]:
    """Files beside the VM's disks that are neither its disks nor its specification. Raises HostError."""
    known = {disk.path for disk in spec.disks}
    found: list[Beside] = []
    for disk in spec.disks:
        path = PurePosixPath(disk.path)
        stem = "" if spec.uuid in path.parent.name else f"{path.stem}."
        lines = await link.ask(Fact(("sh", "-c", LIST, "sh", str(path.parent), stem), str.splitlines))
        for line in lines:
            at, _, name = line.partition(" ")
            if name not in known and PurePosixPath(name).name != PurePosixPath(disks.beside(spec)).name:
                found.append(Beside(name, float(at)))
    return found


async def built_on(services: Services, link: Link, vm: VMRecord) -> tuple[str, str]:
    """(host, path) of a file that is built on the VM's disk and was changed since it was last read; empty: none found.

    Looked for on every storage, and among the files of the host on which it ended. Of what the registry knows to be
    another VM's nothing is read. Raises HostError, and Refused where there is too much to be looked through.
    """
    known = {path for other in await services.store.all(VMRecord) for path in (*other.files, *_paths(other))}
    places = [(link, storage.path, storage.lockspace or "-") for storage in await services.store.all(Storage)]
    if vm.ended and (ended := services.links.get(str(vm.ended[0]))) is not None and ended.online:
        places.append((ended, LOCAL, "-"))
    since, own = f"@{max(0.0, vm.read_at - CLOCKS_S):.0f}", set(_paths(vm))
    looks = (
        where.ask(Fact(("sh", "-c", CHANGED, "sh", top, but, since), str.splitlines)) for where, top, but in places
    )
    for (where, top, _), found in zip(places, await asyncio.gather(*looks), strict=True):
        *files, code = found or [""]
        if code == TIMED_OUT:
            raise Refused(
                f"{vm.name} was not started: whether a file in {top} is a newer layer of its disk is not known, "
                "as there are too many to look through",
                hint=f"if nobody made a snapshot of it: vmctl start {vm.name} --as-registered",
            )
        if path := await _first_on(where, [path for path in files if path not in known], own):
            return where.name, path
    return "", ""


async def _first_on(link: Link, files: list[str], own: set[str]) -> str:
    """The first of these files that is built on one of ours."""
    for first in range(0, len(files), AT_ONCE):
        some = files[first : first + AT_ONCE]
        # Many at once first, and one by one only where one of them is: most storages have none.
        if own & await _chains(link, some):
            for path in some:
                if own & await _chains(link, [path]):
                    return path
    return ""


async def _chains(link: Link, files: list[str]) -> frozenset[str]:
    found: frozenset[str] = await link.ask(chains(files))
    return found


def _paths(vm: VMRecord) -> list[str]:
    return [disk.path for disk in vm.spec.disks]


async def refuse_newer_layers(services: Services, link: Link, vm: VMRecord, who: str) -> None:
    """Refuse to start a VM whose disk has a newer layer, as far as files tell. Raises Refused, HostError."""
    newer = [one for one in await beside(link, vm.spec) if one.changed_at > vm.read_at - CLOCKS_S]
    if newer:
        host, path, how = link.name, newer[0].path, "lies beside"
    # The long search only after an end that nobody asked for, or where it was never read: else it was read whole as
    # it was stopped.
    elif vm.ended or (vm.wanted == "running" and not vm.read_at):
        how = "is built on"
        try:
            host, path = await built_on(services, link, vm)
        except Refused as err:
            await _tell(services, vm, err.message, who)
            raise
        if not path:
            return
    else:
        return
    what = f"{path} {how} its disk {vm.spec.disks[0].path}, and was changed since {vm.name} was last seen"
    await _tell(services, vm, f"{vm.name} was not started: {what}", who)
    raise Refused(
        f"{vm.name} was not started: {what}",
        lines=(
            f"if it is a newer layer: on {host}: qemu-img commit {path} && rm {path}",
            f"if it is not: vmctl start {vm.name} --as-registered",
        ),
        hint=f"on {host}: qemu-img info {path}",
    )


async def _tell(services: Services, vm: VMRecord, text: str, who: str) -> None:
    if who == "autostart":  # nobody else would hear of it
        await services.record_event("differs", vm, text)
