"""What runs is what counts: what a host shows of a VM, against what it would be started as the next time.

A guest may be changed past us: a snapshot puts a new layer over its disk, somebody attaches a disk or renames it, and
it may power itself off at any moment. So every VM that runs is read whole when libvirt tells of a change, and now and
then besides; in what it differs is kept, told, and refused before anything is stopped to be started again. An adopted
VM's own definition is its owner's word: that is followed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from vmctl.errors import Refused
from vmctl.hosts import domainxml
from vmctl.hosts.chains import chains
from vmctl.hosts.definition import Definition, Difference, differences
from vmctl.hosts.port import Link
from vmctl.hosts.shown import Shown
from vmctl.model.hosts import own_storage
from vmctl.model.records import Event, Storage, VMRecord
from vmctl.model.vms import Disk, Spec
from vmctl.services import Services
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.definitions")
READ_EVERY_S = 300.0  # what is not in the live XML (a snapshot of libvirt's own, say) sends no event
FOLLOWED = ("spec", "definition", "transient", "drift", "files", "stuck", "stuck_cold")  # what a host's word changes
MOST_AT_ONCE = 8  # that are read because it is time; those that libvirt told of are all read


def due(link: Link, uuids: set[str]) -> list[str]:
    """Which of the VMs there should be read whole now."""
    now = link.clock.monotonic()
    told = sorted(uuids & link.changed)
    # A VM that was never read since the link came up is unknown, so it is read at once like a changed one.
    never = [uuid for uuid in sorted(uuids) if uuid not in link.read_at and uuid not in link.changed]
    old = sorted((link.read_at[uuid], uuid) for uuid in uuids - link.changed if uuid in link.read_at)
    late = [uuid for at, uuid in old if now - at >= READ_EVERY_S]
    return told + never + late[:MOST_AT_ONCE]


async def learn_all(services: Services, link: Link, uuids: Iterable[str]) -> None:
    """Read VMs whole on their host, and keep what that shows. One that cannot be read stops no other."""
    storages = await services.store.all(Storage)
    for uuid in uuids:
        with wall(log, f"{link.name}: {uuid}"):
            vm = await services.store.find(VMRecord, uuid)  # as it is now: much may happen while others are read
            if vm is not None and vm.host == link.name and vm.task is None:
                with _unmarked(link, uuid):
                    await _keep(services, link, vm, await link.virt.shown(uuid), storages)


async def learn(services: Services, link: Link, vm: VMRecord) -> VMRecord:
    """Read the VM whole on its host, and keep what that shows. Raises HostError, NotFound."""
    with _unmarked(link, vm.uuid):
        return await keep(services, link, vm, await link.virt.shown(vm.uuid))


@contextmanager
def _unmarked(link: Link, uuid: str) -> Iterator[None]:
    """Its mark goes before it is read: what changes while it is read and kept marks it again. What fails leaves it."""
    marked = uuid in link.changed
    link.changed.discard(uuid)
    try:
        yield
    except BaseException:
        if marked:
            link.changed.add(uuid)
        raise


async def keep(services: Services, link: Link, vm: VMRecord, shown: Shown) -> VMRecord:
    """Keep what a host showed of the VM just now, and tell what is new. It may have changed since: its mark stays."""
    return await _keep(services, link, vm, shown, await services.store.all(Storage))


async def _keep(services: Services, link: Link, vm: VMRecord, shown: Shown, storages: list[Storage]) -> VMRecord:
    link.read_at[vm.uuid] = services.clock.monotonic()
    now = await as_shown(services, link, vm, shown, storages)
    if shown.has_job:
        # A job ends without a word, and what it keeps from moving would be told for minutes: it is read again soon.
        link.changed.add(vm.uuid)
    values = {key: value for key in FOLLOWED if (value := getattr(now, key)) != getattr(vm, key)}
    if values:
        await services.store.change(VMRecord, vm.uuid, **values, told=_news(services, link, vm, now))
    return now


async def as_shown(services: Services, link: Link, vm: VMRecord, shown: Shown, storages: list[Storage]) -> VMRecord:
    """The VM as it would be kept after what a host shows of it. Changes nothing."""
    values = await _adopted(services, link, vm, shown, storages) if vm.adopted else {"drift": _drift(vm, link, shown)}
    return replace(
        vm,
        **values,
        files=await files_of(link, vm, shown),
        stuck=stays(link.name, shown, storages, cold=False),
        stuck_cold=stays(link.name, shown, storages, cold=True),
    )


async def files_of(link: Link, vm: VMRecord, shown: Shown) -> list[str]:
    """Every file that it needs. Only what runs tells the chains below its disks: other disks are asked, once."""
    found = domainxml.read(shown.live or shown.kept or shown.again).definition
    disks = [path for _, path in await resolved(link, found) if path.startswith("/")]  # volumes of pools, too
    own = {*found.paths, *disks}
    if shown.live or own <= set(vm.files):
        return sorted(own) if shown.live else vm.files
    below: frozenset[str] = await link.ask(chains(disks)) if disks else frozenset()
    return sorted(own | below)


def last_read_at(link: Link, uuid: str) -> float:
    """When the VM was last read whole on its host, in UTC seconds; 0 where it was not."""
    at = link.read_at.get(uuid)
    return 0.0 if at is None else link.clock.now() - (link.clock.monotonic() - at)


def _news(services: Services, link: Link, vm: VMRecord, now: VMRecord) -> list[Event]:
    """What is to be told of a VM that its host shows otherwise than before."""
    new = now.drift if now.drift != vm.drift else ()
    told = [
        services.event("differs", now, f"{now.name} on {link.name}: {one['what']}; there: {one['mend']}") for one in new
    ]
    if now.name != vm.name:
        told.append(
            services.event("renamed", now, f"{vm.name} is called {now.name} now, as {vm.host or link.name} says")
        )
    return told


def _drift(vm: VMRecord, link: Link, shown: Shown) -> list[dict[str, str]]:
    """In what a VM of ours that runs is not what the registry says."""
    if not shown.live:
        return vm.drift  # what it ended as is what was seen last
    accel = link.about.accel if link.about else "kvm"
    live = domainxml.read(shown.live)
    lockspace = "/lockspace" if live.lease else ""  # which one it is, is the lease guard's business
    should = domainxml.read(domainxml.build(vm.spec, domainxml.Site(accel, lockspace))).definition
    found = [as_json(one) for one in differences(should, live.definition)]
    if shown.kept:
        # A VM of ours has no definition on a host: from a stale one the host could start a second copy.
        found.append(
            {"what": f"{link.name} keeps a definition of it", "mend": f"virsh undefine {vm.name} --keep-nvram"}
        )
    return found


def as_json(one: Difference) -> dict[str, str]:
    """A difference as the registry keeps it."""
    return {"what": one.what, "mend": one.mend, "mend_off": one.mend_off}


async def _adopted(
    services: Services, link: Link, vm: VMRecord, shown: Shown, storages: list[Storage]
) -> dict[str, Any]:
    """What is to be kept of an adopted VM: its definition, its size, its name; what of it is not in its definition."""
    kept = domainxml.read(shown.kept or shown.again or shown.live)
    live = domainxml.read(shown.live) if shown.live else kept
    spec = spec_of(link, live, await resolved(link, live.definition), storages)
    spec = replace(
        spec,
        # The larger of what runs and what would start next: placement must have room for both.
        cpus=max(kept.definition.cpus, live.definition.cpus),
        mem_mib=max(kept.definition.mem_mib, live.definition.mem_mib),
        name=await _name(services, vm, kept.definition.name),
    )
    # An adopted VM may differ from its definition as its owner likes. Only what loses data at a start is told.
    lost = [one for one in differences(kept.definition, live.definition) if one.loses] if shown.kept else []
    return {
        "spec": spec,
        "definition": shown.kept or shown.again or vm.definition,
        "transient": not shown.kept,
        "drift": [as_json(one) for one in lost],
    }


async def _name(services: Services, vm: VMRecord, shown: str) -> str:
    """The name that its host gives it, where nobody else has it here."""
    # The longer name was given here because another VM has the shorter one. That is no renaming.
    if not shown or vm.name in (shown, f"{shown}-{vm.uuid[:8]}"):
        return vm.name
    found = await services.store.find_vm(shown)
    if found is not None and found.uuid != vm.uuid:
        shown = f"{shown}-{vm.uuid[:8]}"
    return shown


async def resolved(link: Link, found: Definition) -> list[tuple[str, str]]:
    """Each disk's (target, path); a volume of a pool as its path. Raises HostError."""
    pairs = []
    for disk in found.disks:
        path = disk.path
        if disk.kind == "volume" and path:
            pool, _, volume = path.partition("/")
            path = await link.virt.volume_path(pool, volume) or path
        if path:
            pairs.append((disk.target, path))
    return pairs


def storage_at(storages: list[Storage], path: str) -> str:
    """The storage on which a path lies; empty: none of the pool's, so it is its host's own."""
    return next((s.name for s in storages if path.startswith(s.path.rstrip("/") + "/")), "")


def spec_of(link: Link, seen: domainxml.ParsedDomain, disks: list[tuple[str, str]], storages: list[Storage]) -> Spec:
    """The specification of a domain that somebody else made, as far as its XML tells."""
    found = seen.definition
    bridges = found.bridges
    return Spec(
        uuid=seen.uuid,
        name=found.name,
        cpus=found.cpus,
        mem_mib=found.mem_mib,
        disks=tuple(
            Disk(storage_at(storages, path) or own_storage(link.name), path, "", target) for target, path in disks
        ),
        mac=seen.macs[0] if seen.macs and bridges else "",  # of other networks nothing is known
        bridge=bridges[0] if bridges else "",
        more_bridges=bridges[1:],
        machine=found.machine,
        cpu="as found",
        agent_port="virtio" if seen.agent_socket else "",
        pinned=bool(found.stuck or found.stuck_live),
    )


def stays(host: str, shown: Shown, storages: list[Storage], *, cold: bool) -> list[str]:
    """What keeps a domain on its host, in words: for a live migration, or (`cold`) for a stop and a start elsewhere."""
    found = domainxml.read(shown.live or shown.kept).definition
    name = found.name
    words = list(found.stuck) + ([] if cold else list(found.stuck_live))
    words += _media(host, found, storages)
    if shown.snapshots:
        words.append(f"it has {_many(shown.snapshots, 'snapshot')}: on {host}: virsh snapshot-list {name}")
    if shown.checkpoints:
        words.append(f"it has {_many(shown.checkpoints, 'checkpoint')}: on {host}: virsh checkpoint-list {name}")
    if shown.has_job:
        words.append(f"a job runs on it: on {host}: virsh domjobinfo {name}")
    # What follows stays behind when it is stopped. A live migration takes it along.
    if not cold:
        return words
    if shown.saved:
        words.append(f"its memory was saved on {host}: virsh managedsave-remove {name}, or virsh start {name}")
    if found.nvram and not storage_at(storages, found.nvram):
        words.append(f"its firmware's variables are on {host}'s own disk: {found.nvram}")
    if found.tpm:
        words.append(f"the state of its TPM is on {host}'s own disk")
    return words


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _media(host: str, found: Definition, storages: list[Storage]) -> list[str]:
    """Media in its drives that only its host has."""
    drives = [disk for disk in found.disks if disk.device in ("cdrom", "floppy") and disk.kind in ("file", "block")]
    own = [disk for disk in drives if disk.path and not storage_at(storages, disk.path)]
    kinds = {"cdrom": "CD-ROM", "floppy": "floppy"}
    eject = f"on {host}: virsh change-media {found.name} {{}} --eject"
    return [
        f"its {kinds[disk.device]} {disk.target} holds {disk.path}, which only {host} has: {eject.format(disk.target)}"
        for disk in own
    ]


def refuse_losing_tpm(vm: VMRecord, verb: str) -> None:
    """Refuse to end a transient domain whose TPM libvirt would delete with it, keys and all (seen with libvirt 9.0)."""
    if not vm.transient:
        return
    found = domainxml.read(vm.definition).definition
    if found.tpm and not found.tpm_lasts:
        keep = f"virsh dumpxml {found.name} > {found.name}.xml && virsh define {found.name}.xml"
        raise Refused(
            f"{vm.name} was not {verb}: it is transient, and libvirt would delete its TPM with all keys in it",
            hint=f"on {vm.host}: {keep}; then once more",
        )


def refuse_drift(vm: VMRecord, verb: str) -> None:
    """Refuse to start a VM anew as what it no longer is: what it was changed to would be lost."""
    if not vm.drift:
        return
    where, again = f"on {vm.host or 'a host with its storage'}: ", f"vmctl start {vm.name} --as-registered"
    mends = [f"{where}{one['mend']}" if one["mend"] else "" for one in differs(vm)]
    first = next(filter(None, mends), "")
    raise Refused(
        f"{vm.name} was not {verb}: {vm.drift[0]['what']}",
        lines=tuple(
            f"{one['what']}  -> {mend or 'no data is lost by a start as registered'}"
            for one, mend in zip(vm.drift, mends, strict=True)
        ),
        hint=first if vm.host else f"{first}; then {again}" if first else again,
    )


def differs(vm: VMRecord) -> list[dict[str, str]]:
    """In what a VM differs, and what settles it: a command of libvirt's while it runs, once it is off one on its files.

    An empty command: a start as registered loses no data.
    """
    return [{"what": one["what"], "mend": one["mend"] if vm.host else one.get("mend_off", "")} for one in vm.drift]
