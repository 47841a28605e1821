"""Files beside a VM's disk that nobody told us of: perhaps a newer layer of it, with all that was written since.

An external snapshot puts its layer beside the disk, or anywhere, and sends no event. If the VM's QEMU ends before it
was read whole again, only the file itself tells of it. Starting from the disk would lose what is in the layer, and make
it worthless. So files beside the disk are looked at before each start; after an end that was none of ours, every file
on its storage that was changed since, and is built on its disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from vmctl.act import disks
from vmctl.errors import Refused
from vmctl.hosts.chains import chains
from vmctl.hosts.facts import Fact
from vmctl.hosts.link import HostLink
from vmctl.model import Spec
from vmctl.records import Storage, VMRecord
from vmctl.world import World

CLOCKS_S = 5.0  # by which a host's clock may differ
MOST_FILES = 100  # the newest ones that are looked into
CHANGED = """timeout 20 find "$1" -xdev -path "$2" -prune -o -type f -newermt "$3" -printf '%T@ %p\\n' 2>/dev/null |
  sort -rn | head -n "$4" | cut -d ' ' -f 2-"""
# In a folder of the VM's own every file counts; elsewhere those that have the disk's name with another ending.
LIST = 'stat -c "%Y %n" -- "$1"/"$2"* 2>/dev/null; :'


@dataclass(frozen=True, slots=True)
class Beside:
    """A file beside a disk."""

    path: str
    changed_at: float  # UTC seconds by its host


async def beside(link: HostLink, spec: Spec) -> list[Beside]:
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


async def built_on(world: World, link: HostLink, vm: VMRecord) -> str:
    """A file on the VM's storages that is built on its disk and was changed since it was last read; empty: none.

    Of what the registry knows to be another VM's or an image's nothing is read.
    """
    known = {path for other in await world.store.all(VMRecord) for path in (*other.files, *_paths(other))}
    own = set(_paths(vm))
    for storage in await world.store.all(Storage):
        if storage.name not in {disk.storage for disk in vm.spec.disks}:
            continue
        since = f"@{max(0.0, vm.read_at - CLOCKS_S):.0f}"
        command = ("sh", "-c", CHANGED, "sh", storage.path, storage.lockspace or "-", since, str(MOST_FILES))
        for path in await link.ask(Fact(command, str.splitlines)):
            below: frozenset[str] = await link.ask(chains([path])) if path not in known | own else frozenset()
            if own & below:
                return path
    return ""


def _paths(vm: VMRecord) -> list[str]:
    return [disk.path for disk in vm.spec.disks]


async def refuse_newer_layers(world: World, link: HostLink, vm: VMRecord, who: str) -> None:
    """Refuse to start a VM whose disk has a newer layer, as far as files tell. Raises Refused, HostError."""
    newer = [one for one in await beside(link, vm.spec) if one.changed_at > vm.read_at - CLOCKS_S]
    if newer:
        path, how = newer[0].path, "lies beside"
    elif (vm.ended or (vm.wanted == "running" and not vm.read_at)) and (path := await built_on(world, link, vm)):
        how = "is built on"
    else:
        return
    what = f"{path} {how} its disk {vm.spec.disks[0].path}, and was changed since {vm.name} was last seen"
    if who == "autostart":  # nobody else would hear of it
        await world.tell("differs", vm.name, f"{vm.name} was not started: {what}")
    raise Refused(
        f"{vm.name} was not started: {what}",
        lines=(
            f"if it is a newer layer: on {link.name}: qemu-img commit {path} && rm {path}",
            f"if it is not: vmctl start {vm.name} --as-registered",
        ),
        hint=f"on {link.name}: qemu-img info {path}",
    )
