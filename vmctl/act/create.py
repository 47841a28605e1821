"""Create a VM: a specification, a place, a disk, a start. What fails half-way leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vmctl.act import disks, power
from vmctl.act.departed import refuse_departed
from vmctl.act.made import Made
from vmctl.act.mounted import host_with, refuse_unmounted
from vmctl.act.proof import is_full
from vmctl.commands.vms import Create
from vmctl.decide.asked import spec_of
from vmctl.decide.outcome import DomainPresence
from vmctl.errors import NoAnswer, Refused, Uncertain, Usage, VmctlError
from vmctl.model.records import HALF_MADE, MORE_MAY_COME, ClusterValue, HostRecord, Image, Storage, VMRecord
from vmctl.model.vms import VM, Boot, PowerState, Spec, in_project
from vmctl.services import Services
from vmctl.storage import on
from vmctl.store.rules import BASELINE
from vmctl.tasks import Job
from vmctl.tasks.journals import Creating
from vmctl.text import bad_name

MOST_AGAIN = 2  # times that a create begins anew after its controller's death


async def baseline(services: Services) -> str:
    """The CPU that every host can give; empty when hosts cannot tell. Changes nothing."""
    kept = await services.store.find(ClusterValue, BASELINE)
    text = kept.value if kept is not None else await _new_baseline(services)
    for link in services.links.values() if text else ():
        link.cpus.setdefault(text, True)  # that they can is what it means
    return text


async def _new_baseline(services: Services) -> str:
    abouts = [link.about for link in services.links.values() if link.about and link.about.cpu_xml]
    if not abouts:
        return ""
    accel = abouts[0].accel
    # libvirt computes a baseline for one kind of virtualization only.
    cpus = [about.cpu_xml for about in abouts if about.accel == accel]
    return await services.any_online().virt.baseline_cpu(accel, cpus)


async def _keep_baseline(services: Services, text: str) -> None:
    """Let it be every new VM's until a host joins; not while some host is unknown."""
    registered = {record.name for record in await services.store.all(HostRecord)}
    known = registered == {name for name, link in services.links.items() if link.about}
    # Computed without a host that is away, it might ask for what that one cannot give.
    if text and known and await services.store.find(ClusterValue, BASELINE) is None:
        await services.store.put(ClusterValue(BASELINE, text))


def common_machine(services: Services, family: str = "pc-q35-") -> str:
    """The newest versioned machine type that every known host has."""
    known = [set(link.about.machines) for link in services.links.values() if link.about]
    common = set.intersection(*known) if known else set()
    versions = [m for m in common if m.startswith(family) and m[len(family) :].replace(".", "").isdigit()]
    # Compared as numbers: as text, 9.0 would be newer than 10.0.
    return max(versions, key=lambda m: [int(n) for n in m[len(family) :].split(".")], default="")


async def make_spec(services: Services, asked: Create) -> tuple[Spec, Image, Storage]:
    """The specification of a new VM. Raises Usage, NotFound, and Refused when its name is taken."""
    if (problem := bad_name(asked.name)) is not None:
        raise Usage(problem)
    if await services.store.find_vm(asked.name) is not None:
        raise Refused(f"there is already a VM {asked.name!r}", hint=f"vmctl show {asked.name}")
    image = await services.store.get(Image, asked.image)
    disks.check_size(image, asked.disk_bytes)
    storage = await services.store.get(Storage, image.storage)
    if asked.cpus < 1 or asked.mem_mib < 16:
        raise Usage("a VM needs at least 1 CPU and 16 MiB of memory")
    number = services.ids.uuid()
    spec = replace(
        spec_of(asked, number),
        mac=services.ids.mac(),
        boot=Boot(image.kernel, image.initrd, f"{image.cmdline} hostname={asked.name}" if image.kernel else ""),
        cpu_xml="" if asked.cpu == "host" else await baseline(services),
        machine=common_machine(services),
        disks=(disks.new_disk(storage, asked.name, number),),
    )
    return spec, image, storage


async def create(services: Services, job: Job[Create, Creating]) -> dict[str, Any]:
    """Task: make a VM and, unless `no_start`, start it where placement says."""
    if job.journal.uuid and (earlier := await _taken_over(services, job)) is not None:
        return earlier
    args = job.args
    spec, image, storage = await make_spec(services, args)
    if args.cpu == "baseline":
        await _keep_baseline(services, spec.cpu_xml)
    # Its UUID first: whoever takes over then knows what to look for, however little of it was made.
    await job.note("placing", uuid=spec.uuid, storage=storage.name, made=[], maker="", starting="")
    starts = not args.no_start
    # Registered before a file is made: from here on its name, its place and its files have an owner who can undo
    # them.
    async with services.placing:
        host, why = "", "not started, as asked"
        if starts:
            found = await power.choose(services, job, VM(in_project(spec, args.project)), args.host, "create")
            host, why = found.host, found.why
            job.say(f"placed on {why}")
        record = _record(services, job, spec, host, args.disk_bytes or image.size_bytes)
        await services.store.add_vm(record, made=True)
    made = Made(job, storage)
    try:
        link = services.online(host) if host else await host_with(services, storage)
        await refuse_unmounted(services, link, storage)
        job.show(text=f"making the disk on {image.name}")
        disk = await disks.make(link, storage, image, spec, args.disk_bytes, args.full, made)
        spec = replace(spec, disks=(disk,))
        # The storage says where the disk really is; a delete goes by that path.
        await services.store.change(VMRecord, spec.uuid, spec=spec)
        await disks.write_files(link, storage, spec, made)
        if starts:
            vm, told = await services.store.vm(spec.uuid), f"{spec.name} was created; runs on {why}"
            await power.launch(services, job, vm, host, ("created", told))
    except Uncertain:  # it may run, or does
        raise
    except VmctlError as err:
        await _undo(services, job, await services.store.vm(spec.uuid), storage, err)
        if is_full(err.message):
            what, hint = f"storage {storage.name} is full", f"make room in {storage.path}"
            raise Refused(f"{what}: {spec.name} was not made", lines=(err.message,), hint=hint) from err
        raise
    if not starts:
        await services.record_event("created", record, f"{spec.name} was created; {why}", job.task.who)
    return {"vm": spec.name, "uuid": spec.uuid, "host": host, "why": why}


def _record(services: Services, job: Job[Create, Creating], spec: Spec, host: str, disk_bytes: int) -> VMRecord:
    """What is registered of it: with a place where it is to start, else without."""
    return VMRecord(
        spec,
        services.clock.now(),
        host=host,
        power=PowerState.STARTING if host else PowerState.STOPPED,
        task=job.id,
        autostart=job.args.autostart,
        project=job.args.project,
        owner=job.task.who,
        disk_bytes=disk_bytes,
    )


async def _undo(
    services: Services, job: Job[Create, Creating], vm: VMRecord, storage: Storage, err: VmctlError
) -> bool:
    """Take away what a failed create made; whether nothing is left.

    A VM that may run, or whose files cannot be reached, stays registered.
    """
    # A VM that may run keeps its disk.
    if vm.power is PowerState.UNKNOWN:
        return False
    files, left = Made(job, storage), ""
    made, silent = files.names, isinstance(err, NoAnswer) and not job.journal.starting
    try:
        if made:
            link = await files.remover(services)
            silent = silent or files.may_come(link)
            await on(link, storage).open()
            await files.undo(services, link)
            # The key is made last, after this file: without the file there is none.
            if disks.beside(vm.spec) in made:
                await on(link, storage).remove_key(vm.uuid)
        # What was asked for and not answered may still be done.
        if made and silent:
            left = f"undone; what {storage.name} may still get of it goes with: vmctl delete {vm.name}"
    except VmctlError as kept:
        left = f"its files on {storage.name} could not be removed: {kept.message}; later: vmctl delete {vm.name}"
    if left:
        why = f"{HALF_MADE}{MORE_MAY_COME if silent else ''}: {err.message}"
        # It stays registered: who forgot it now would leave its disk to nobody.
        await services.store.lease(vm, "", PowerState.STOPPED, gone=vm.may_run_on, why=why)
        job.say(left)
        return False
    await services.store.remove(VMRecord, vm.uuid)
    job.say(f"undone: {err.message}")
    return True


async def _taken_over(services: Services, job: Job[Create, Creating]) -> dict[str, Any] | None:
    """A controller died in a create: a VM that runs is done; anything else is undone, and None: it begins anew."""
    vm = await services.store.find_vm(job.journal.uuid)
    interrupted = Refused(
        f"{job.task.subject} was not created: the controller ended first", hint="give the command again"
    )
    if vm is None:
        await _begin_again(job, interrupted)  # it was not registered yet, so nothing was made
        return None
    if vm.host and job.journal.starting:
        answer = await power.outcome(services, vm, vm.host)
        if answer.sight is not DomainPresence.GONE:
            await services.store.lease(vm, vm.host, PowerState.RUNNING, wanted="running")
            return {
                "vm": vm.name,
                "uuid": vm.uuid,
                "host": vm.host,
                "why": "found running after the controller's restart",
            }
        await refuse_departed(services, vm, (vm.host,))  # before its disk goes
        vm = await services.store.lease(vm, "", PowerState.STOPPED, gone=(vm.host,))
    if not await _undo(services, job, vm, await services.store.get(Storage, job.journal.storage), interrupted):
        hint = f"vmctl delete {vm.name}, then give the command again"  # a part of it is there, and has its name
        raise Refused(interrupted.message, hint=hint)
    await _begin_again(job, interrupted)
    return None


async def _begin_again(job: Job[Create, Creating], interrupted: VmctlError) -> None:
    """Nothing is left of it. One that ends its controller each time is not begun for ever.

    Raises Refused, Cancelled.
    """
    if job.journal.again >= MOST_AGAIN:
        raise interrupted
    job.check_cancelled()
    await job.note("beginning again", uuid="", again=job.journal.again + 1)
