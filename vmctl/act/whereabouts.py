"""Where a VM really is: every host that may hold it is asked; a host that does not answer is an answer too.

What nobody has seen to be gone may still run. A lock that is free proves nothing: the server of a network file system
frees the lock of a host that was cut off, and the VM there runs on (tried with GlusterFS: both copies wrote). So only
the host's own word counts, or an admin's, who signs for it by the VM's name.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from vmctl.decide.outcome import DomainPresence
from vmctl.errors import HostError, NotFound, Refused, Usage
from vmctl.hosts.port import Link
from vmctl.hosts.qemus import processes
from vmctl.hosts.shown import DomainSeen
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services

# How a VM's `why` begins while its guest may still obey somebody: its end, then, is not its own.
ASKED = "asked to shut down"
IN_VAIN = ", in vain"  # and how it ends where a stop was given up: a late end is what was wanted
FAR_S = 5.0
# Only one that is off is gone: a crashed one may keep its QEMU. What cannot be read runs no guest that could go on.
PRESENCE = {
    PowerState.STOPPED: DomainPresence.GONE,
    PowerState.RUNNING: DomainPresence.RUNNING,
    PowerState.STOPPING: DomainPresence.RUNNING,
    PowerState.PAUSED: DomainPresence.PAUSED,
    PowerState.CRASHED: DomainPresence.PAUSED,
    PowerState.STARTING: DomainPresence.PAUSED,
    PowerState.MIGRATING: DomainPresence.PAUSED,
    PowerState.UNKNOWN: DomainPresence.PAUSED,
}


@dataclass(frozen=True, slots=True)
class Observation:
    """What one host says about one VM."""

    host: str
    sight: DomainPresence
    domain: DomainSeen | None = None
    why: str = ""
    lost_qemu: str = ""  # the process of a QEMU that libvirt does not show

    def __str__(self) -> str:
        if self.sight is DomainPresence.SILENT:
            return f"{self.host}: does not answer ({self.why})"
        more = f" ({self.domain.why})" if self.domain and self.domain.why else ""
        return f"{self.host}: {self.sight}{more}"


async def ask(services: Services, host: str, uuid: str) -> Observation:
    """Read the VM's domain on one host, now."""
    link = services.links.get(host)
    if link is None or not link.online:
        return Observation(host, DomainPresence.SILENT, why=link.why if link else "it is not registered")
    try:
        return sight_of(host, await link.virt.domain(uuid))
    except HostError as err:
        return Observation(host, DomainPresence.SILENT, why=err.message)


async def ask_for_sure(services: Services, host: str, uuid: str) -> Observation:
    """`ask`, and where libvirt shows nothing, look for its QEMU: a libvirtd that was restarted may have lost it.

    A QEMU that libvirt does not show can be neither watched nor ended through it: that is no answer, and not "gone".
    """
    answer = await ask(services, host, uuid)
    if answer.sight is not DomainPresence.GONE:
        return answer
    try:
        found = await services.links[host].ask(processes(uuid))
    except (HostError, KeyError) as err:
        return Observation(host, DomainPresence.SILENT, why=f"whether its QEMU runs is not known: {err}")
    if found:
        why = f"libvirt does not show it, but its QEMU runs (process {found[0]})"
        return Observation(host, DomainPresence.SILENT, why=why, lost_qemu=found[0])
    return answer


def sight_of(host: str, domain: DomainSeen | None) -> Observation:
    """A domain as the outcome table sees it."""
    return Observation(host, DomainPresence.GONE if domain is None else PRESENCE[domain.power], domain)


def alive(domain: DomainSeen | None) -> bool:
    """Whether a host shows a QEMU for it, whatever that does."""
    return sight_of("", domain).sight is not DomainPresence.GONE


def known_as(vm: VMRecord, host: HostRecord) -> str | None:
    """The name under which the VM was on this machine, if it may still run there.

    A host that was added again may have another name, and another machine may have its old one.
    """
    for name, machine in vm.may_run_on.items():
        if machine == host.machine if machine and host.machine else name == host.name:
            return name
    return None


async def unproven(services: Services, vm: VMRecord) -> tuple[str, ...]:
    """Why the VM may still run, a sentence per host; empty when it surely runs nowhere.

    Every host is asked. Refused when one shows it.
    """
    links = dict(services.links)  # as they are now: one may leave the pool while it is asked
    # Where it may run, its process counts as well; elsewhere libvirt's word will do.
    near = {link.name for link in links.values() if known_as(vm, link.record) is not None} | {vm.host}
    asking = (ask_for_sure(services, host, vm.uuid) if host in near else ask_far(services, host, vm) for host in links)
    answers = await asyncio.gather(*asking)
    gone: set[str] = set()
    silent: dict[str, str] = {}
    for answer in answers:
        if answer.sight in (DomainPresence.RUNNING, DomainPresence.PAUSED):
            force = " --force" if answer.sight is DomainPresence.PAUSED else ""  # a paused guest hears no power button
            hint = f"vmctl stop{force} {vm.name}"
            raise Refused(f"{vm.name} already runs on {answer.host} ({answer.sight})", hint=hint)
        # By the machine, not by the host's name: it may have been added again under another one.
        name = known_as(vm, links[answer.host].record)
        if name is not None and answer.sight is DomainPresence.GONE:
            gone.add(name)
        elif name is not None:
            silent[name] = f"{name}, which does not answer: {answer.why}"
        elif answer.lost_qemu:  # wherever that is
            raise Refused(f"{vm.name} runs on {answer.host}: {answer.why}", hint=f"on {answer.host}: ps, virsh list")
    if vm.power is PowerState.STOPPED:
        return ()
    if not vm.may_run_on:
        return (f"{vm.name} may still run: where it was last is not known",) if vm.power is PowerState.UNKNOWN else ()
    left = [name for name in vm.may_run_on if name not in gone]
    left_words = [silent.get(name) or f"{name}, which was removed" for name in left]
    home = links.get(vm.host)
    if home is not None and home.name in gone and not heard_to_end(home, vm.uuid):
        # Nobody saw it end there: somebody may have moved it to a host that is silent now.
        far = [answer for answer in answers if answer.sight is DomainPresence.SILENT]
        left_words += [f"{one.host}, which does not answer: {one.why}" for one in far if one.host not in silent]
    return tuple(f"{vm.name} may still run on {words}" for words in left_words)


def heard_to_end(link: Link, uuid: str) -> bool:
    """Whether it is known to have ended on this host: libvirt said so, or the host has begun anew."""
    return uuid not in link.moved_away and (uuid in link.put_out or link.rebooted)


async def ask_far(services: Services, host: str, vm: VMRecord) -> Observation:
    """Ask a host where it was never known to run: one that hangs is not waited for as long."""
    try:
        async with asyncio.timeout(FAR_S):
            return await ask(services, host, vm.uuid)
    except TimeoutError:
        return Observation(host, DomainPresence.SILENT, why=f"libvirt did not answer within {FAR_S:g} s")


async def prove_off(services: Services, vm: VMRecord, verb: str, signed: str, who: str) -> VMRecord:
    """See that the VM runs nowhere, or take an admin's word for it; the VM, known to be stopped.

    `signed` is the VM's name where the admin says: I know that it is off. Refused names what must be true.
    """
    check_signature(vm, signed)
    doubts = await unproven(services, vm)
    if doubts and not signed:
        raise Refused(
            doubts[0],
            lines=doubts[1:],
            hint=f"vmctl host list; if you know that it is off there: vmctl {verb} {vm.name} --i-know-it-is-off",
        )
    if doubts:
        await services.record_event(
            "signed", vm, f"{who or 'somebody'} signed that {vm.name} is off; {'; '.join(doubts)}", who
        )
    if vm.power is PowerState.STOPPED:
        return vm
    # Every host is struck off by the word that was signed; a host that answered is struck off by its own.
    return await services.store.lease(vm, off_at(vm), PowerState.STOPPED, gone=vm.may_run_on)


def off_at(vm: VMRecord) -> str:
    """The host of a VM that is stopped: none, but an adopted one has its definition there."""
    return vm.host if vm.adopted else ""


def check_signature(vm: VMRecord, signed: str) -> None:
    """Who signs that a VM is off writes its name. Raises Usage."""
    if signed and signed != vm.name:
        raise Usage(f"the name that was typed is {signed!r}, not {vm.name!r}: nothing was done")


async def require_running(services: Services, vm: VMRecord) -> tuple[Link, DomainSeen]:
    """The link to the host where the VM runs, and what that shows of it now. Refused when it does not run."""
    if not vm.host or vm.power is PowerState.STOPPED:
        raise _does_not_run(vm, "")
    link = services.online(vm.host)
    try:
        seen = await link.virt.domain(vm.uuid)
    except NotFound as err:
        raise _does_not_run(vm, f": {err.message}") from err
    if seen is None:
        raise _does_not_run(vm, f": {vm.host} does not have {vm.name} any more")
    return link, seen


def _does_not_run(vm: VMRecord, why: str) -> Refused:
    if not vm.host and vm.power is PowerState.UNKNOWN:
        return Refused(
            f"where {vm.name} runs is not known: {vm.why or 'nobody shows it'}", hint=f"vmctl show {vm.name}"
        )
    return Refused(f"{vm.name} does not run{why}", hint=f"vmctl start {vm.name}")
