"""Routes: VMs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from vmctl.act import checks, create, decided, power
from vmctl.act.overtake import overtake_stop
from vmctl.act.whereabouts import check_signature
from vmctl.api import requests, views
from vmctl.api.shared import Now, submit
from vmctl.controller import Controller
from vmctl.decide.place import place
from vmctl.decisions import inputs, placement_json
from vmctl.errors import NotFound, Usage
from vmctl.model import VM, Cluster, PowerState
from vmctl.observe import observe
from vmctl.records import VMRecord

router = APIRouter()
POKES = ("reboot", "reset", "pause", "resume")


@router.get("/vms")
async def list_vms(controller: Now) -> list[dict[str, Any]]:
    """All VMs, by name."""
    return await shown(controller, await observe(controller.world))


async def shown(controller: Controller, cluster: Cluster) -> list[dict[str, Any]]:
    """The VMs as a snapshot has them, by name."""
    seen = {vm.spec.uuid: vm for vm in cluster.vms}
    records = [record for record in await controller.world.store.all(VMRecord) if record.uuid in seen]
    records.sort(key=lambda record: record.name)
    return views.each(records, lambda r: views.vm(controller.world, r, seen[r.uuid]))


@router.get("/vms/{name}")
async def show_vm(controller: Now, name: requests.Part) -> dict[str, Any]:
    """One VM."""
    kept = await controller.world.store.vm(name)
    seen = next(vm for vm in (await observe(controller.world)).vms if vm.spec.uuid == kept.uuid)
    return views.vm(controller.world, kept, seen)


@router.post("/vms", status_code=202)
async def create_vm(controller: Now, asked: requests.Create) -> dict[str, Any]:
    """Make a VM."""
    _known_class(controller, asked)
    await create.make_spec(controller.world, asked.model_dump())  # bad input is refused before there is a task
    return await submit(controller, "create", asked.name, **asked.model_dump())


@router.post("/vms/dry-run")
async def create_dry_run(controller: Now, asked: requests.Create) -> dict[str, Any]:
    """Where a VM would go, and why."""
    _known_class(controller, asked)
    spec, _, _ = await create.make_spec(controller.world, asked.model_dump())
    return await _dry_run(controller, VM(spec), asked.host)


def _known_class(controller: Controller, asked: requests.Create) -> None:
    known = controller.world.policy.class_overcommit
    if asked.load_class and asked.load_class not in known:
        hint = f"known: {', '.join(sorted(known)) or 'none; they are in [policy.class_overcommit] of the settings'}"
        raise Usage(f"there is no load class {asked.load_class!r}", hint=hint)


async def _dry_run(controller: Controller, vm: VM, host: str) -> dict[str, Any]:
    if host:
        controller.world.link(host)
    cluster = await power.measured(controller.world)
    found = place(vm, cluster, controller.world.policy, only=host)
    return placement_json(found) | {"inputs": inputs(cluster)}


@router.post("/vms/{name}/start", status_code=202)
async def start_vm(controller: Now, name: requests.Part, asked: requests.Start) -> dict[str, Any]:
    """Start it."""
    vm = await controller.world.store.vm(name)
    check_signature(vm, asked.i_know_it_is_off)
    return await submit(controller, "start", vm.name, vm=vm.uuid, **asked.model_dump())


@router.post("/vms/{name}/start/dry-run")
async def start_dry_run(controller: Now, name: requests.Part, asked: requests.Start) -> dict[str, Any]:
    """Where it would start, and why."""
    return await _dry_run(controller, VM((await controller.world.store.vm(name)).spec), asked.host)


@router.post("/vms/{name}/stop", status_code=202)
async def stop_vm(controller: Now, name: requests.Part, asked: requests.Stop) -> dict[str, Any]:
    """Shut it down."""
    vm = await controller.world.store.vm(name)
    check_signature(vm, asked.i_know_it_is_off)
    if asked.force:
        await overtake_stop(controller.world.store, controller.tasks, vm)
    return await submit(controller, "stop", vm.name, vm=vm.uuid, **asked.model_dump())


@router.post("/vms/{name}/migrate", status_code=202)
async def migrate_vm(controller: Now, name: requests.Part, asked: requests.Migrate) -> dict[str, Any]:
    """Move it to another host."""
    vm = await controller.world.store.vm(name)
    if asked.to:
        controller.world.link(asked.to)
    return await submit(controller, "migrate", vm.name, vm=vm.uuid, **asked.model_dump())


@router.get("/vms/{name}/migrate/check")
async def check_migration(controller: Now, name: requests.Part) -> dict[str, Any]:
    """What stands in the way of migrating it, for every host."""
    return await checks.check_migration(controller.world, await controller.world.store.vm(name))


@router.get("/vms/{name}/why")
async def why_vm(controller: Now, name: requests.Part, at: requests.Moment | None = None) -> dict[str, Any]:
    """The newest decision about it, or the one in force at a time."""
    vm = await controller.world.store.vm(name)
    done, undone = await decided.about(controller.world.store, vm, at)
    if done is None and not undone:
        raise NotFound(f"nothing was decided about {vm.name}: {_never_placed(vm, at)}", hint=f"vmctl show {vm.name}")
    shown = views.decision(done) if done is not None else {"name": vm.name, "host": "", "why": _never_placed(vm, at)}
    return shown | {"now_on": vm.host, "not_done": [asdict(one) for one in undone]}


def _never_placed(vm: VMRecord, at: float | None) -> str:
    if at is not None:
        return "not until then"
    if vm.adopted:
        return f"it was found on {vm.host or 'a host'}, and adopted"
    return "it was made, and never started" if vm.power is PowerState.STOPPED else "it was found running"


@router.post("/vms/{name}/{verb}", status_code=202)
async def poke_vm(controller: Now, name: requests.Part, verb: requests.Part) -> dict[str, Any]:
    """Reboot, reset, pause or resume it."""
    if verb not in POKES:
        raise Usage(f"a VM cannot {verb!r}", hint=f"one of {', '.join(POKES)}")
    vm = await controller.world.store.vm(name)
    return await submit(controller, verb, vm.name, vm=vm.uuid)


@router.put("/vms/{name}/autostart")
async def set_autostart(controller: Now, name: requests.Part, asked: requests.Autostart) -> dict[str, Any]:
    """Whether it is started again after its host's reboot."""
    vm = await controller.world.store.vm(name)
    await controller.world.store.change(VMRecord, vm.uuid, autostart=asked.on)
    return {"vm": vm.name, "autostart": asked.on}


@router.delete("/vms/{name}", status_code=202)
async def delete_vm(controller: Now, name: requests.Part, i_know_it_is_off: requests.Asked = "") -> dict[str, Any]:
    """Delete it and its disks."""
    vm = await controller.world.store.vm(name)
    check_signature(vm, i_know_it_is_off)
    return await submit(controller, "delete", vm.name, vm=vm.uuid, i_know_it_is_off=i_know_it_is_off)
