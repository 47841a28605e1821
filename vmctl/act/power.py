"""Start, stop and what lies between: a start takes a place, a lease and the lock; a stop ends when the VM is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from vmctl.act import disks, record
from vmctl.act.whereabouts import Answer, ask, home, refuse_if_elsewhere
from vmctl.decide.outcome import Sight
from vmctl.decide.place import place
from vmctl.errors import HostError, LibvirtError, NoAnswer, NoHostFits, Refused, TimedOut, Uncertain, VmctlError
from vmctl.hosts import domainxml
from vmctl.hosts.link import HostLink
from vmctl.model import VM, Cluster, HostState, NoPlace, Placement, PowerState
from vmctl.observe import observe
from vmctl.records import Storage, VMRecord
from vmctl.tasks import Job
from vmctl.world import World

PRESS_EVERY_S = 15.0  # a guest that still boots misses the first press of its power button
FIRST_LOAD_S = 4.0
LOOK_FOR_S = 60.0  # how long an unknown outcome is looked after


def no_host(found: NoPlace) -> NoHostFits:
    """The error for a VM that fits nowhere, a line per host."""
    lines = tuple(f"{v.host}: {v.why}" for v in found.verdicts)
    return NoHostFits(found.why, lines=lines, hint="vmctl top")


async def choose(world: World, vm: VM, host: str, kind: str, who: str) -> Placement:
    """Place a VM and record why. The caller holds `world.placing`. Raises NoHostFits."""
    if host:
        world.link(host)
    cluster = await measured(world)
    found = place(vm, cluster, world.policy, only=host)
    await record.placement(world, kind, found, cluster, who)
    if isinstance(found, NoPlace):
        raise no_host(found)
    return found


async def measured(world: World) -> Cluster:
    """The cluster; for hosts that have just answered for the first time, their first load is waited for a little."""
    deadline = time.monotonic() + FIRST_LOAD_S
    while True:
        cluster = await observe(world)
        if (
            all(host.load or host.state is not HostState.ONLINE for host in cluster.hosts)
            or time.monotonic() > deadline
        ):
            return cluster
        await asyncio.sleep(0.1)


async def storage_of(world: World, vm: VMRecord) -> Storage | None:
    """The storage that holds the VM's lease."""
    return await world.store.find(Storage, vm.lease_storage) if vm.lease_storage else None


def xml_for(vm: VMRecord, link: HostLink, storage: Storage | None) -> str:
    """The domain XML to start the VM with on this host."""
    if vm.adopted:
        return vm.definition
    accel = link.about.accel if link.about else "kvm"
    return domainxml.build(vm.spec, domainxml.Site(accel, storage.lockspace if storage else ""))


async def launch(world: World, job: Job, vm: VMRecord, host: str) -> VMRecord:
    """Start a VM on the host its lease names, and read back that it runs. Returns the VM with its new lease.

    An error is no proof that it was not started (the connection may have broken in between), so the host is read.
    """
    try:
        link = world.online(host)
        xml = await _prepare(world, vm, link)
        await job.note("starting", host=host, uuid=vm.uuid)
    except VmctlError:
        await world.store.lease(vm, vm.host if vm.adopted else "", PowerState.STOPPED)
        raise
    try:
        if vm.adopted and await link.virt.domain(vm.uuid) is not None:
            await link.virt.start(vm.uuid)
        else:
            await link.virt.create(xml)
    except HostError as err:
        answer = await look_after(world, vm, host, wait_for_it=isinstance(err, NoAnswer))
        if answer.sight is Sight.GONE:
            await world.store.lease(vm, vm.host if vm.adopted else "", PowerState.STOPPED)
            raise explain_start(vm, host, err) from err
    return await world.store.lease(vm, host, PowerState.RUNNING)


async def _prepare(world: World, vm: VMRecord, link: HostLink) -> str:
    """What a start needs on the host; the XML to start with."""
    storage = await storage_of(world, vm)
    if storage is not None:
        await disks.ensure(link, storage)
        if not vm.adopted:
            await disks.make_key(link, storage, vm.uuid)
    return xml_for(vm, link, storage)


def explain_start(vm: VMRecord, host: str, err: HostError) -> HostError | Refused:
    """A start that the lock refused is a refusal: the VM or its disk is in use elsewhere."""
    text = err.message.lower()
    if "lock" in text and any(word in text for word in ("busy", "held", "acquire", "in use", "another process")):
        return Refused(
            f"{vm.name} was not started on {host}: its lock is held, so it or its disk is in use elsewhere",
            lines=(err.message,),
            hint=f"vmctl show {vm.name}",
        )
    return err


async def look_after(world: World, vm: VMRecord, host: str, *, wait_for_it: bool) -> Answer:
    """What became of a start that failed or was not answered. Raises Uncertain when the host stays silent.

    `wait_for_it`: libvirt may still do it, so "not there" is believed only when the time is over.
    """
    deadline = time.monotonic() + LOOK_FOR_S
    while True:
        answer = await ask(world, host, vm.uuid)
        over = time.monotonic() > deadline
        if answer.sight in (Sight.RUNNING, Sight.PAUSED) or (answer.sight is Sight.GONE and (over or not wait_for_it)):
            return answer
        if over:
            await world.store.lease(vm, host, PowerState.UNKNOWN)
            raise Uncertain(f"whether {vm.name} was started on {host} is not known", lines=(str(answer),))
        await asyncio.sleep(1.0)


async def start(world: World, job: Job) -> dict[str, Any]:
    """Task: start a VM where placement says, or on `host`."""
    vm = await world.store.claim(await world.store.vm(job.args["vm"]), job.id)
    if job.journal.get("uuid"):
        return await _finish_start(world, vm, job)
    await refuse_if_elsewhere(world, vm)
    async with world.placing:
        wanted = vm.host if vm.adopted else job.args.get("host", "")
        seen = VM(vm.spec, power=PowerState.STARTING, adopted=vm.adopted)
        found = await choose(world, seen, wanted, "start", job.task.who)
        vm = await world.store.lease(vm, found.host, PowerState.STARTING)
    job.say(f"placed on {found.why}")
    vm = await launch(world, job, vm, found.host)
    await world.tell("started", vm.name, f"{vm.name} runs on {found.why}")
    return {"vm": vm.name, "host": vm.host, "why": found.why}


async def _finish_start(world: World, vm: VMRecord, job: Job) -> dict[str, Any]:
    """A controller died in a start: whatever the host shows is the outcome."""
    host = job.journal["host"]
    link = world.links.get(host)
    if link is not None:
        await link.wait_online(LOOK_FOR_S)
    answer = await ask(world, host, vm.uuid)
    if answer.sight is Sight.SILENT:
        raise Uncertain(f"whether {vm.name} was started on {host} is not known", lines=(str(answer),))
    runs = answer.sight is not Sight.GONE
    await world.store.lease(vm, host if runs or vm.adopted else "", PowerState.RUNNING if runs else PowerState.STOPPED)
    if not runs:
        raise Refused(f"{vm.name} was not started: the controller ended first", hint=f"vmctl start {vm.name}")
    return {"vm": vm.name, "host": host, "why": "found running after the controller's restart"}


async def stop(world: World, job: Job) -> dict[str, Any]:
    """Task: shut a VM down through its guest, or with `force` pull the plug; done when its host shows it gone."""
    vm = await world.store.claim(await world.store.vm(job.args["vm"]), job.id)
    if vm.host and not world.link(vm.host).online:
        await world.link(vm.host).wait_online(5.0)
    if vm.power is PowerState.STOPPED or not vm.host:
        return {"vm": vm.name, "host": vm.host, "why": "it was stopped already"}
    link = world.online(vm.host)
    await job.note("stopping", host=vm.host)
    limit = float(job.args.get("timeout_s") or world.settings.timeouts.shutdown_s)
    await halt(link, vm, job, force=bool(job.args.get("force")), limit_s=limit)
    await world.store.lease(vm, vm.host if vm.adopted else "", PowerState.STOPPED)
    await world.tell("stopped", vm.name, f"{vm.name} was stopped on {link.name}")
    return {"vm": vm.name, "host": link.name}


async def halt(link: HostLink, vm: VMRecord, job: Job, *, force: bool, limit_s: float) -> None:
    """Bring a VM to a stop and see it gone. Raises TimedOut when its guest does not obey."""
    if force:
        await link.virt.destroy(vm.uuid)
    began = time.monotonic()
    pressed = -PRESS_EVERY_S
    while (seen := await link.virt.domain(vm.uuid)) is not None and seen.power is not PowerState.STOPPED:
        job.check_cancelled()
        waited = time.monotonic() - began
        if waited > limit_s:
            raise TimedOut(
                f"{vm.name} did not shut down within {limit_s:.0f} s; it still runs on {link.name}",
                hint=f"vmctl stop --force {vm.name}",
            )
        if not force and waited - pressed >= PRESS_EVERY_S:
            pressed = waited
            with contextlib.suppress(LibvirtError):  # it may go just now
                await link.virt.shutdown(vm.uuid)
        job.show(text=f"waiting for the guest to shut down, {waited:.0f} s of {limit_s:.0f} s")
        await asyncio.sleep(0.2)


async def reboot(world: World, job: Job) -> dict[str, Any]:
    """Task: shut a VM down through its guest and start it again on the same host.

    Not libvirt's own reboot: with a lock manager that one fails to take the VM's lock again and kills the VM
    (seen with libvirt 9.0: a control-error event, then "shutting down").
    """
    vm = await world.store.claim(await world.store.vm(job.args["vm"]), job.id)
    if job.journal.get("uuid"):
        return await _finish_start(world, vm, job)
    if not job.journal.get("host"):
        await home(world, vm)
        await job.note("stopping", host=vm.host)
    link = world.online(job.journal["host"])
    limit = float(job.args.get("timeout_s") or world.settings.timeouts.shutdown_s)
    await halt(link, vm, job, force=False, limit_s=limit)
    vm = await world.store.lease(vm, link.name, PowerState.STARTING)
    vm = await launch(world, job, vm, link.name)
    await world.tell("reboot", vm.name, f"{vm.name} was restarted on {link.name}")
    return {"vm": vm.name, "host": link.name}


async def poke(world: World, job: Job) -> dict[str, Any]:
    """Task: reset, pause or resume a VM that runs."""
    verb = job.task.kind
    vm = await world.store.claim(await world.store.vm(job.args["vm"]), job.id)
    link = await home(world, vm)
    await job.note(verb, host=vm.host)
    action = {
        "reset": link.virt.reset,
        "pause": link.virt.suspend,
        "resume": link.virt.resume,
    }[verb]
    await action(vm.uuid)
    seen = (await link.refresh_domains()).get(vm.uuid)
    if seen is not None:
        await world.store.lease(vm, vm.host, seen.power)
    await world.tell(verb, vm.name, f"{vm.name} on {vm.host}: {verb}")
    return {"vm": vm.name, "host": vm.host}


async def delete(world: World, job: Job) -> dict[str, Any]:
    """Task: delete a stopped VM and its disks. Refused while it runs or may run anywhere."""
    vm = await world.store.claim(await world.store.vm(job.args["vm"]), job.id)
    await refuse_if_elsewhere(world, vm)
    if vm.adopted:
        raise Refused(
            f"{vm.name} was adopted: its disks are not ours to delete",
            hint=f"on {vm.host}: virsh undefine {vm.name}; then vmctl forgets it by itself",
        )
    storage = await storage_of(world, vm)
    if storage is not None:
        await job.note("deleting disks")
        await disks.remove(world.any_online(storage.hosts), storage, vm.spec)
    await world.store.remove(VMRecord, vm.uuid)
    await world.tell("deleted", vm.name, f"{vm.name} and its disks were deleted")
    return {"vm": vm.name}
