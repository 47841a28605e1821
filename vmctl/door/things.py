"""What a command or query names: found in the registry, and seen by whoever asks, or it does not exist for him."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from vmctl.commands.fields import Names, mark
from vmctl.commands.rows import Asked, On
from vmctl.errors import NotAllowed
from vmctl.model.access import Project
from vmctl.model.records import HostRecord, Image, Storage, Task, VMRecord
from vmctl.model.rights import CLUSTER, EVERYTHING, Permission, Principal, Thing, project
from vmctl.model.uploads import Upload
from vmctl.model.vms import DEFAULT_PROJECT
from vmctl.ports.store import Store
from vmctl.store.rules import missing

KINDS: Mapping[str, type[Any]] = {"host": HostRecord, "storage": Storage}  # that are the cluster's own


@dataclass(frozen=True, slots=True)
class About:
    """What is asked, with each VM as its UUID; the name of what it is about; what a right to it must be on."""

    asked: Any
    subject: str
    thing: Thing = CLUSTER
    own: bool = False  # it is about a task of whoever asks, who needs no right for that


def subject_of(asked: Any) -> str:
    """The name of what it is about, as far as the arguments say."""
    return str(getattr(asked, "subject", "") or getattr(asked, "name", ""))


async def named(store: Store, row: Asked, asked: Any, who: Principal) -> About:
    """What it names. Raises NotFound, also for what `who` may not see."""
    found = About(asked, subject_of(asked))
    for one in fields(asked):
        mark_of = mark(type(asked), one.name, Names)
        if mark_of is not None:
            found = await _found(store, row, who, found, mark_of.what, one.name)
    if row.where is On.TASK:
        return await _task(store, who, found)
    if row.where is On.SELF:
        return replace(found, own=who.narrowed is None and who.name == getattr(asked, row.self_argument))
    if row.where is On.MACHINE and asked.machine:
        return replace(found, thing=(await seen_vm(store, who, asked.machine)).thing)
    return found


async def _found(store: Store, row: Asked, who: Principal, so_far: About, what: str, argument: str) -> About:
    """The same with what one argument names."""
    name = getattr(so_far.asked, argument)
    if what == "VM":
        vm = await seen_vm(store, who, name)
        return replace(so_far, asked=replace(so_far.asked, **{argument: vm.uuid}), subject=vm.name, thing=vm.thing)
    if what == "image":
        image = await _seen_image(store, who, name)
        if row.where is On.IMAGE:
            return replace(so_far, subject=name, thing=image.thing)
        if not who.may(Permission.USE, image.thing):
            raise NotAllowed(f"{who.name} has no permission {Permission.USE} on {image.thing.scopes[-1]}")
        return so_far  # a new VM belongs to its own project, whosever its image is
    if what == "upload":
        upload = await store.find(Upload, name)
        if upload is None or not who.sight.shows(upload.thing):
            raise missing("upload", name)
        return replace(so_far, subject=upload.name, thing=upload.thing)
    if what == "project":
        # One that he has no right on is as one that is not there.
        if not any(right.on in (EVERYTHING, project(name)) for right in who.rights):
            raise missing("project", name)
        if name != DEFAULT_PROJECT:
            await store.get(Project, name)
        return replace(so_far, thing=Thing(name))
    await store.get(KINDS[what], name)
    return replace(so_far, subject=name)


async def _seen_image(store: Store, who: Principal, name: str) -> Image:
    image = await store.find(Image, name)
    if image is None or not (who.sight.shows(image.thing) or who.may(Permission.USE, image.thing)):
        raise missing("image", name)
    return image


async def seen_vm(store: Store, who: Principal, name: str) -> VMRecord:
    """The VM of that name or UUID. Raises NotFound where there is none that `who` may see."""
    vm = await store.find_vm(name)
    if vm is None or not who.sight.shows(vm.thing):
        raise missing("VM", name)
    return vm


async def _task(store: Store, who: Principal, so_far: About) -> About:
    number = so_far.asked.number
    task = await store.find(Task, number)
    own = task is not None and task.who == who.name and task.created_at >= who.since and who.narrowed is None
    if task is None or not (own or who.sight.shows(task.thing)):
        raise missing("task", str(number))
    return replace(so_far, thing=task.thing, own=own)
