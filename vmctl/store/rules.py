"""What the registry's own rules say, whatever keeps it: pure functions of what stands in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vmctl.errors import NotAllowed, NotFound, Overtaken, Refused
from vmctl.model.access import Failures, Grant, Group, Limit, Project, Role, Token, User
from vmctl.model.joining import ControllerKey, Invitation
from vmctl.model.records import (
    TWO_COPIES,
    ClusterValue,
    DecisionRecord,
    Event,
    Given,
    HostRecord,
    Image,
    LoadMean,
    Schedule,
    Storage,
    Task,
    TaskState,
    VMRecord,
)
from vmctl.model.replicas import HostSession, Lead, Replica
from vmctl.model.states import POWER
from vmctl.model.uploads import Upload, refuse_if_not_open
from vmctl.model.vms import DEFAULT_PROJECT, PowerState
from vmctl.model.watching import HostReport, HostWatch, MachineReader

WORDS: Mapping[type[Any], str] = {
    HostRecord: "host",
    Storage: "storage",
    Image: "image",
    Upload: "upload",
    VMRecord: "VM",
    Task: "task",
    Schedule: "schedule",
    User: "user",
    Group: "group",
    Project: "project",
    Role: "role",
    Token: "token",
    Given: "command with key",
}
# Kind of record -> the fields that are its key
KEYS: Mapping[type[Any], tuple[str, ...]] = {
    HostRecord: ("name",),
    Storage: ("name",),
    Image: ("name",),
    Upload: ("id",),
    VMRecord: ("uuid",),
    Task: ("id",),
    DecisionRecord: ("id",),
    Event: ("id",),
    LoadMean: ("subject", "period_s", "at"),
    Schedule: ("name",),
    ClusterValue: ("name",),
    User: ("name",),
    Group: ("name",),
    Project: ("name",),
    Role: ("name",),
    Grant: ("id",),
    Token: ("id",),
    Failures: ("of",),
    Limit: ("of",),
    Given: ("key",),
    Replica: ("life",),
    Lead: ("name",),
    HostSession: ("host", "boot_id", "pid", "ticks"),
    HostWatch: ("host",),
    HostReport: ("host",),
    MachineReader: ("machine",),
    Invitation: ("hash",),
    ControllerKey: ("home",),
}
FREED: Mapping[str, Any] = {"task": None, "moving_to": "", "copying": False}  # of a VM whose task has ended
DAY_S = 86400.0
GIVEN_KEPT_S = 7 * DAY_S  # after that a key may be used again
MINUTES_KEPT_S, TENS_KEPT_S, TOLD_KEPT_S = DAY_S, 30 * DAY_S, 90 * DAY_S
LEAD = "cluster"  # what is led
BASELINE = "cpu-baseline"  # the setting that holds the CPU that every host can give; until another host joins
ENDED = tuple(state for state in TaskState if state.ended)
OPEN = tuple(state for state in TaskState if not state.ended)


def missing(what: str, name: str) -> NotFound:
    """The error for a name that nothing has."""
    verb = {"VM": "vmctl list", "task": "vmctl task list", "upload": "vmctl image uploads"}.get(
        what, f"vmctl {what} list"
    )
    if (what, name) == ("project", DEFAULT_PROJECT):  # it is there, but not for everybody
        verb = "--project NAME, one of vmctl project list"
    return NotFound(f"there is no {what} {name!r}", hint=verb)


def there_is(kind: type[Any], key: Any) -> Refused:
    """The error for a key that is taken."""
    what = WORDS.get(kind, kind.__name__)
    return Refused(f"there is already {'an' if what == 'image' else 'a'} {what} {key!r}")


def name_taken(name: str) -> Refused:
    """The error for a VM's name that is taken."""
    return Refused(f"there is already a VM {name!r}", hint=f"vmctl show {name}")


def is_about(vm: VMRecord, host: HostRecord) -> bool:
    """Whether a host has to do with it, by any of its names: a machine that was added again may have another one."""
    ended_on = vm.ended[0] if vm.ended else ""
    may_run = host.name in vm.may_run_on or (host.machine and host.machine in vm.may_run_on.values())
    return host.name in (vm.host, vm.moving_to, ended_on) or bool(may_run) or vm.why.startswith(TWO_COPIES)


def held(vm: VMRecord, task: int, holder: Task | None) -> Refused:
    """The error for a VM that another task holds."""
    what = f"{holder.kind} (task {holder.id})" if holder else f"task {task}"
    return Refused(f"{vm.name} is busy: {what} holds it", hint=f"vmctl task attach {task}")


def overtaken(vm: VMRecord) -> Overtaken:
    """The error for a lease that somebody else has changed."""
    error = Overtaken(f"{vm.name} was changed by somebody else meanwhile", hint=f"vmctl show {vm.name}")
    error.uuid = vm.uuid
    return error


def leased(
    vm: VMRecord,
    host: str,
    power: PowerState,
    machines: Mapping[str, str],
    *,
    gone: Iterable[str],
    also: Iterable[str],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields of a VM with a new lease; `machines`: host -> its libvirt's host UUID, of registered ones.

    `more` has the last word: what is given there is written, also as `why` or `power`.
    """
    gone = set(gone)
    POWER.check(vm.power, power, seen_gone=bool(gone))
    # A machine may have been there under another name: its word counts for both.
    same = {machine for name in gone if (machine := machines.get(name))}
    may = {name: machine for name, machine in vm.may_run_on.items() if name not in gone and machine not in same}
    for name in sorted({*also, host} - {""}) if power is not PowerState.STOPPED else ():
        may[name] = machines.get(name, "")
    values: dict[str, Any] = {"power": power, "why": ""}
    if power is PowerState.STOPPED and may:
        values = {"power": PowerState.UNKNOWN, "why": f"may still run on {', '.join(may)}"}
    return {"host": host, "may_run_on": may, "epoch": vm.epoch + 1, **values, **more}


def is_leased(found: VMRecord | None, vm: VMRecord, host: str, power: PowerState, more: Mapping[str, Any]) -> bool:
    """Whether what is found is what this lease of `vm` writes: asked by who had no answer."""
    if found is None or (found.epoch, found.host, found.task) != (vm.epoch + 1, host, vm.task):
        return False
    wanted = {"power": power, **more}
    open_ = {"power", "why"} if found.may_run_on and power is PowerState.STOPPED else set()
    return all(getattr(found, name) == value for name, value in wanted.items() if name not in open_)


def must_wait(copying: Iterable[VMRecord], vm: VMRecord, target: str, most_out: int, most_in: int) -> str | None:
    """Why a VM may not copy to `target` yet, as others copy; None: it may."""
    others = [one for one in copying if one.copying and one.uuid != vm.uuid]
    out = [one.task for one in others if one.host == vm.host]
    into = [one.task for one in others if one.moving_to == target]
    if len(out) >= most_out:
        return f"{vm.host} already sends {len(out)} (task {out[0]})"
    if len(into) >= most_in:
        return f"{target} already receives {len(into)} (task {into[0]})"
    return None


def check_new_host(host: HostRecord, others: Iterable[HostRecord]) -> None:
    """Raises Refused for a machine that is there under another name: a VM there would look like two copies."""
    twin = next((one.name for one in others if host.machine and one.machine == host.machine), None)
    if twin is not None and twin != host.name:
        what = f"it is the same machine as {twin} (libvirt's host UUID is equal)"
        raise Refused(what, hint="set host_uuid in libvirtd.conf")


def check_new_storage(storage: Storage, others: Iterable[Storage]) -> None:
    """Raises Refused for a path that is a storage already: one file would count as two."""
    for kept in others:
        if kept.path == storage.path and kept.name != storage.name:
            raise Refused(f"{storage.path} is storage {kept.name} already", hint=f"vmctl storage check {kept.name}")


def is_same(kept: Storage, proven: Storage) -> bool:
    """Whether a storage is the one that was proven, and not another of its name."""
    return (kept.path, kept.added_at) == (proven.path, proven.added_at)


def proof_of(storage: str) -> str:
    """The setting that holds what a storage was proven to do; it goes with the storage."""
    return f"proof/{storage}"


def check_unused(image: Image | None, name: str, vms: Iterable[VMRecord]) -> None:
    """Raises Refused, which names VMs that are made from the image."""
    files = {image.path, image.kernel, image.initrd} - {""} if image is not None else set()
    users = [vm.name for vm in vms if vm.spec.image == name or files & set(vm.files)]
    if users:
        hint = f"vmctl delete {' '.join(users[:5])}"
        raise Refused(f"disks of {', '.join(users[:5])} are built on image {name}", hint=hint)


def check_empty(name: str, vms: Iterable[VMRecord], images: Iterable[Image], uploads: Iterable[Upload]) -> None:
    """Raises Refused, which names what is on the storage."""
    users = [vm.name for vm in vms if any(disk.storage == name for disk in vm.spec.disks)]
    users += [f"image {image.name}" for image in images if image.storage == name]
    users += [f"upload {upload.id}" for upload in uploads if upload.storage == name]
    if users:
        raise Refused(f"storage {name} is in use by {', '.join(users[:5])}")


def finished(upload: Upload | None, key: str, image: Image) -> Upload:
    """The upload that becomes this image. Raises NotFound where it is gone, Refused where it is going, or not whole."""
    if upload is None:
        raise missing("upload", key)
    refuse_if_not_open(upload)
    if not upload.whole or upload.pending:
        raise Refused(f"upload {key} is not whole", hint="send what is left, then finish it")
    assert (upload.name, upload.storage, upload.project) == (image.name, image.storage, image.project)
    return upload


def left_behind(
    host: HostRecord | None, name: str, vms: Sequence[VMRecord], *, force: bool
) -> tuple[list[VMRecord], list[VMRecord]]:
    """VMs of a host that goes: those that are forgotten, and those that may still run there, as they are from now on.

    Raises Refused while a task holds one of them, and, unless `force`, while one of ours may run there.
    """
    here = [vm for vm in vms if name in (vm.host, vm.moving_to)]
    if any(vm.task is not None for vm in here):
        raise Refused(f"tasks hold VMs of {name}", hint="vmctl task list")
    stay = [vm.name for vm in here if not vm.adopted and vm.power is not PowerState.STOPPED]
    if stay and not force:
        raise Refused(f"{name} runs {', '.join(stay[:5])}", hint=f"vmctl host drain {name}")
    machine = host.machine if host is not None else ""
    kept = [
        replace(
            vm,
            host="",
            power=PowerState.UNKNOWN,
            why=f"was on {name} when that was removed",
            may_run_on={name: machine} | vm.may_run_on,
            epoch=vm.epoch + 1,
        )
        for vm in here
        if not vm.adopted and vm.power is not PowerState.STOPPED
    ]
    return [vm for vm in here if vm.adopted], kept


def ended_by(replica: Replica, known: Iterable[Replica], *, shared: bool) -> list[Replica]:
    """The lives that have ended as this one begins: those from the same home, whose lock this one has.

    The lock says nothing of another machine, which may be a copy of this one: in another boot a life of the same home
    ends as any other does, by its silence.

    Raises Refused where another one has not and several cannot share the registry: it may be dead, but only somebody
    who knows can say so.
    """
    alive = [one for one in known if one.ended_at is None and one.life != replica.life]
    for one in alive:
        if one.home != replica.home and not shared:
            raise Refused(
                f"the controller {one.name} uses this registry",
                hint=f"vmctl controller list; if its machine is off for good: vmctl controller remove {one.name}",
            )
    here = [one for one in alive if one.home == replica.home and not (shared and _elsewhere(one, replica))]
    return [replace(one, ended_at=replica.started_at, why="a later one began in its place") for one in here]


def _elsewhere(one: Replica, other: Replica) -> bool:
    return bool(one.boot_id and other.boot_id) and one.boot_id != other.boot_id


def as_begun(replica: Replica, known: Iterable[Replica]) -> Replica:
    """A life as it begins: one that was drained stays so, though it begins anew."""
    here = [one for one in known if one.home == replica.home]
    earlier = max(here, key=lambda one: (one.ended_at is None, one.beat_at), default=None)  # not by that one's clock
    return replace(replica, draining=earlier is not None and earlier.draining)


def may_begin(joined: ControllerKey | None) -> None:
    """Raises Refused for one that was removed: no host lets it in, and it could lead."""
    if joined is not None and joined.removed:
        raise Refused(
            "this controller was removed from its pool",
            hint="vmctl controller invite, on another one; then vmctl controller join TOKEN, here",
        )


def led_by(before: Lead | None, leader: Replica | None, life: str, now: float) -> Lead | None:
    """The lead as that life takes it, or has it already; None where another one has it that has not ended."""
    if before is None or (before.life != life and (leader is None or leader.ended_at is not None)):
        return Lead(LEAD, life, before.term + 1 if before is not None else 1, now)
    return before if before.life == life else None


def may_join(invitation: Invitation | None, joined: ControllerKey | None, key: ControllerKey, now: float) -> bool:
    """Whether a controller may join, or has done so: an answer that was lost is asked for again."""
    if joined is not None and joined.key == key.key:
        return False
    if invitation is None:
        raise NotAllowed(
            "that invitation is not known: it was used, or is another registry's",
            hint="vmctl controller invite, on a machine whose controller has joined",
        )
    if now > invitation.until:
        raise NotAllowed("that invitation is over", hint="vmctl controller invite makes another one")
    return True


def key_of(record: Any) -> Any:
    """A record's key, as it is kept in memory."""
    values = tuple(getattr(record, name) for name in KEYS[type(record)])
    return values if len(values) > 1 else values[0]
