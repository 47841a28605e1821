"""Files beside a VM's disk that nobody told us of: perhaps a newer layer of it, with all that was written since.

An external snapshot puts its layer beside the disk and sends no event. If the VM's QEMU ends before it was read whole
again, only the file itself tells of it. Starting from the disk would lose what is in the layer, and make it worthless.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from vmctl.act import disks
from vmctl.errors import Refused
from vmctl.hosts.facts import Fact
from vmctl.hosts.link import HostLink
from vmctl.model import Spec
from vmctl.records import VMRecord
from vmctl.world import World

CLOCKS_S = 5.0  # by which a host's clock may differ
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


async def refuse_newer_layers(world: World, link: HostLink, vm: VMRecord, who: str) -> None:
    """Refuse to start a VM beside whose disk a file was changed since the VM was last read whole."""
    newer = [one for one in await beside(link, vm.spec) if one.changed_at > vm.read_at - CLOCKS_S]
    if not newer:
        return
    path = newer[0].path
    what = f"{path} lies beside its disk {vm.spec.disks[0].path}, and was changed since {vm.name} was last seen"
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
