"""How much a user or a project has of what is limited, and whether more goes in: pure functions of what there is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from vmctl.errors import OverLimit
from vmctl.model.access import Limit, Use, user
from vmctl.model.jobs import KIND, RunState, promised_to_each, run_of
from vmctl.model.records import Image, Task, VMRecord
from vmctl.model.rights import OWN, project
from vmctl.model.uploads import Upload

MIB = 1 << 20
# What is limited -> how an amount of it is said
WORDS: Mapping[str, Callable[[int], str]] = {
    "vms": lambda n: f"{n} VM{'' if n == 1 else 's'}",
    "vcpus": lambda n: f"{n} vCPU{'' if n == 1 else 's'}",
    "mem_mib": lambda n: f"{n} MiB of memory",
    "disk_bytes": lambda n: f"{-(-n // MIB)} MiB of disk",
    "commands": lambda n: f"{n} command{'' if n == 1 else 's'} at once",
}
LIMITED = tuple(field.name for field in fields(Limit) if field.name != "of")


def whose(owner: str, of_project: str) -> tuple[str, ...]:
    """Whose limits hold for something, in the order in which they are locked."""
    return (*((project(of_project),) if of_project else ()), *((user(owner),) if owner else ()))


def of_vm(vm: VMRecord) -> Use:
    """What one VM has, whether it runs or not."""
    unmeasured = int(vm.disk_bytes is None and bool(vm.spec.disks))
    return Use(1, vm.spec.cpus, vm.spec.mem_mib, vm.disk_bytes or 0, unmeasured=unmeasured)


def of_image(image: Image) -> Use:
    """What one image has."""
    return Use(disk_bytes=max(image.size_bytes, image.taken_bytes))


def of_upload(upload: Upload) -> Use:
    """What an image on its way may come to."""
    return Use(disk_bytes=sum(upload.sizes.values()))


def of_job(task: Task) -> Use:
    """What is promised to the runs of a job: those that have their place, and have not ended."""
    args, runs = task.args, [run_of(raw) for raw in task.journal.get("runs", ())]
    placed = not (args.get("hosts") or args.get("everywhere") or args.get("labels"))
    cpus, mem_mib = promised_to_each(placed=placed, cpus=args.get("cpus", 0), mem_mib=args.get("mem_mib", 0))
    there = sum(one.host != "" and one.state is not RunState.ENDED for one in runs)
    return Use(vcpus=there * cpus, mem_mib=there * mem_mib)


def used(
    of: str,
    vms: Iterable[VMRecord],
    images: Iterable[Image],
    uploads: Iterable[Upload],
    open_tasks: Collection[Task],
) -> Use:
    """What a user or a project has. An image, on its way or there, is nobody's but its project's."""
    have = [of_vm(vm) for vm in vms if of in whose(vm.owner, vm.project)]
    have += [of_image(image) for image in images if of == project(image.project)]
    have += [of_upload(upload) for upload in uploads if of == project(upload.project)]
    have += [of_job(task) for task in open_tasks if task.kind == KIND and of in whose(task.who, task.project)]
    commands = sum(of in whose(task.who, task.project) for task in open_tasks if _given(task))
    sums = {field.name: sum(getattr(one, field.name) for one in have) for field in fields(Use)}
    return Use(**sums | {"commands": commands})


def _given(task: Task) -> bool:
    """Whether somebody gave it: moves of a plan, and what the controller does by itself, keep nobody from asking."""
    return task.who not in OWN and not task.args.get("parent")


def check(limits: Collection[Limit], wanted: Use, have: Callable[[str], Use]) -> None:
    """Raises OverLimit where one of them would have more than its limit; `have` says what it has."""
    for limit in limits if wanted != Use() else ():
        has = have(limit.of)
        for what, said in WORDS.items():
            most, more = getattr(limit, what), getattr(wanted, what)
            if most is not None and more and getattr(has, what) + more > most:
                there = f"{said(getattr(has, what))} of {said(most)}"
                raise OverLimit(
                    f"{spoken(limit.of)} has {there}: {said(more)} more is over its limit",
                    hint=f"vmctl limits show {limit.of}",
                )


def spoken(of: str) -> str:
    """A limit's user or project in words."""
    return of.replace(":", " ", 1)


def is_empty(limit: Limit) -> bool:
    """Whether it limits nothing."""
    return limit == Limit(limit.of)


def changed(limit: Limit, given: Mapping[str, Any], lifted: Collection[str]) -> Limit:
    """A limit with some of it set, and some of it lifted."""
    values: dict[str, Any] = {what: value for what, value in given.items() if value is not None}
    return replace(limit, **values | dict.fromkeys(lifted))
