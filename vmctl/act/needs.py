"""What a start needs of a host, beside what the rules of placement know: one list for create, start and every move."""

from __future__ import annotations

import shlex

from vmctl.errors import Refused, VmctlError
from vmctl.hosts.definition import Definition
from vmctl.hosts.facts import Fact
from vmctl.hosts.port import Link
from vmctl.world import World

TPM_STATES = "/var/lib/libvirt/swtpm"
# Prints the files that are surely not there: a user who may not look into a folder says nothing of it.
LOOK = """for f; do
  test -e "$f" && continue
  test "$(id -u)" = 0 || test -x "$(dirname -- "$f")" || continue
  echo "$f"
done; :"""


# Prints what stands in a file's place and is none: QEMU would wait for ever for a pipe's other end.
ODD = 'for f; do ! test -e "$f" || test -f "$f" || test -b "$f" || echo "$f"; done; :'


def missing(paths: tuple[str, ...]) -> Fact[tuple[str, ...]]:
    """Ask which of these files are surely not there."""
    return Fact(("sh", "-c", LOOK, "sh", *paths), lambda text: tuple(text.splitlines()))


async def lacking(world: World, link: Link, needs: Definition, uuid: str) -> list[str]:
    """What the host lacks for a start of this domain, in words; empty when it has all. Raises HostError."""
    host, words = link.name, []
    bridges = world.loads.bridges(host)
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
    twin = next((d for d in link.domains.values() if d.name == needs.name and d.uuid != uuid), None)
    if twin is not None:
        words.append(f"{host} has another domain of that name ({twin.uuid})")
    if needs.paths:
        words += [f"{path} is not there on {host}" for path in await link.ask(missing(needs.paths))]
        odd = Fact(("sh", "-c", ODD, "sh", *needs.paths), str.splitlines)
        words += [f"{path} on {host} is neither a file nor a disk" for path in await link.ask(odd)]
    return words


async def tpm_in_the_way(link: Link, needs: Definition, uuid: str) -> list[str]:
    """What of a TPM on the target of a live migration would be lost by it, in words.

    libvirt makes the state anew there. Where it is there already (left behind, or on shared storage), the migration
    fails, and libvirt then deletes what may be the only state (seen with libvirt 9.0 and swtpm 0.7). Raises HostError.
    """
    state = f"{TPM_STATES}/{uuid}"
    if not needs.tpm or state in await link.ask(missing((state,))):
        return []
    return [f"{link.name} has a state of its TPM already, which a migration would delete: {state}"]


async def refuse_lacking(world: World, link: Link, needs: Definition, uuid: str, what: str) -> None:
    """Refuse what cannot work, before anything is touched."""
    words = await lacking(world, link, needs, uuid)
    if words:
        raise Refused(f"{what}: {words[0]}", lines=tuple(words[1:]), hint=_look_at(link.name, needs, words[0]))


def _look_at(host: str, needs: Definition, lack: str) -> str:
    """The command that shows more of what a host lacks."""
    if path := next((path for path in needs.paths if lack.startswith(path)), ""):
        return f"on {host}: ls -l {shlex.quote(path)}"
    if "another domain of that name" in lack:
        return f"on {host}: virsh dominfo {shlex.quote(needs.name)}"
    return f"vmctl host check {host}"


async def lacking_or_why(world: World, link: Link, needs: Definition, uuid: str) -> list[str]:
    """`lacking`; where that cannot be asked, why not."""
    try:
        return await lacking(world, link, needs, uuid)
    except VmctlError as err:
        return [err.message]
