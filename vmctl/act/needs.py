"""What a start needs of a host, beside what the rules of placement know: one list for create, start and every move."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from vmctl.errors import Refused, VmctlError
from vmctl.hosts.definition import Definition
from vmctl.hosts.paths import GONE, ODD, Unusable, unusable
from vmctl.hosts.port import Link
from vmctl.services import Services

TPM_STATES = "/var/lib/libvirt/swtpm"


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a host lacks for a start, and the command that shows more of it."""

    words: str
    look: str


async def lacking(services: Services, link: Link, needs: Definition, uuid: str) -> list[Lack]:
    """What the host lacks for a start of this domain; empty when it has all. Raises HostError."""
    host, words = link.name, []
    bridges = services.loads.bridges(host)
    # None: the host has not told its bridges yet. What is not known refuses nothing.
    if bridges is not None:
        words += [f"{host} has no bridge {name}" for name in needs.bridges if name not in bridges]
    if needs.networks:
        there = await link.virt.networks()
        words += [f"{host} has no active libvirt network {name}" for name in needs.networks if name not in there]
    if link.about is not None:
        if needs.machine and needs.machine.startswith("pc-") and needs.machine not in link.about.machines:
            words.append(f"machine type {needs.machine} is not known to QEMU {link.about.qemu} on {host}")
        if needs.accel and needs.accel != link.about.accel:
            words.append(f"it runs under {needs.accel}, {host} offers {link.about.accel}")
        if needs.top_cpu >= link.about.cpus:
            words.append(f"it is pinned to CPU {needs.top_cpu}, {host} has CPUs 0 to {link.about.cpus - 1}")
    lacks = [Lack(one, f"vmctl host check {host}") for one in words]
    # libvirt takes no two domains of one name on a host, whatever their UUIDs are.
    twin = next((d for d in link.domains.values() if d.name == needs.name and d.uuid != uuid), None)
    if twin is not None:
        look = f"on {host}: virsh dominfo {shlex.quote(needs.name)}"
        lacks.append(Lack(f"{host} has another domain of that name ({twin.uuid})", look))
    return lacks + (await _paths(link, needs) if needs.paths else [])


async def _paths(link: Link, needs: Definition) -> list[Lack]:
    """Files and disks that cannot be opened there."""
    asked = await link.ask(unusable(needs.paths))
    found = sorted(asked, key=lambda one: one.what == ODD)
    said = {GONE: "is not there on {}", ODD: "on {} is neither a file nor a disk"}
    return [
        Lack(f"{one.path} {said[one.what].format(link.name)}", f"on {link.name}: ls -l {shlex.quote(one.path)}")
        for one in found
    ]


async def tpm_in_the_way(link: Link, needs: Definition, uuid: str) -> list[str]:
    """What of a TPM on the target of a live migration would be lost by it, in words.

    libvirt makes the state anew there. Where it is there already (left behind, or on shared storage), the migration
    fails, and libvirt then deletes what may be the only state (seen with libvirt 9.0 and swtpm 0.7). Raises HostError.
    """
    state = f"{TPM_STATES}/{uuid}"
    if not needs.tpm or Unusable(GONE, state) in await link.ask(unusable((state,))):
        return []
    return [f"{link.name} has a state of its TPM already, which a migration would delete: {state}"]


async def refuse_lacking(services: Services, link: Link, needs: Definition, uuid: str, what: str) -> None:
    """Refuse what cannot work, before anything is touched."""
    lacks = await lacking(services, link, needs, uuid)
    if lacks:
        raise Refused(f"{what}: {lacks[0].words}", lines=tuple(one.words for one in lacks[1:]), hint=lacks[0].look)


async def lacking_or_why(services: Services, link: Link, needs: Definition, uuid: str) -> list[str]:
    """What is `lacking`, in words; where that cannot be asked, why not."""
    try:
        return [one.words for one in await lacking(services, link, needs, uuid)]
    except VmctlError as err:
        return [err.message]
