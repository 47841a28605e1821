"""Routes: hosts, storages, images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from vmctl.act import plans, storage
from vmctl.api import requests, views
from vmctl.api.shared import Now, submit
from vmctl.controller import Controller
from vmctl.decisions import plan_json
from vmctl.errors import Refused
from vmctl.hosts import address
from vmctl.model import Cluster
from vmctl.observe import observe
from vmctl.records import HostRecord, Image, Storage

router = APIRouter()


@router.get("/hosts")
async def list_hosts(controller: Now) -> list[dict[str, Any]]:
    """All hosts."""
    return await shown(controller, await observe(controller.world))


async def shown(controller: Controller, cluster: Cluster) -> list[dict[str, Any]]:
    """The hosts as a snapshot has them."""
    seen = {host.name: host for host in cluster.hosts}
    records = [record for record in await controller.world.store.all(HostRecord) if record.name in seen]
    return views.each(records, lambda r: views.host(controller.world, r, seen[r.name], cluster))


@router.get("/hosts/{name}")
async def show_host(controller: Now, name: requests.Part) -> dict[str, Any]:
    """One host."""
    kept = await controller.world.store.get(HostRecord, name)
    cluster = await observe(controller.world)
    seen = cluster.host(name)
    assert seen is not None
    return views.host(controller.world, kept, seen, cluster)


@router.post("/hosts", status_code=202)
async def add_hosts(controller: Now, asked: requests.HostAdd) -> dict[str, Any]:
    """Bring hosts into the pool."""
    for text in asked.hosts:
        address.wanted(text)  # bad input is refused before there is a task
    return await submit(controller, "host add", " ".join(asked.hosts), **asked.model_dump())


@router.post("/hosts/check", status_code=202)
async def check_hosts(controller: Now, asked: requests.HostCheck) -> dict[str, Any]:
    """Ask the doctor again."""
    for name in asked.hosts:
        controller.world.link(name)
    return await submit(controller, "host check", " ".join(asked.hosts) or "all hosts", **asked.model_dump())


@router.delete("/hosts/{name}", status_code=202)
async def remove_host(controller: Now, name: requests.Part, force: bool = False) -> dict[str, Any]:
    """Let a host go."""
    controller.world.link(name)
    return await submit(controller, "host remove", name, host=name, force=force)


@router.put("/hosts/{name}/labels")
async def label_host(controller: Now, name: requests.Part, asked: requests.Labels) -> dict[str, str]:
    """Set or take away labels."""
    return await controller.world.store.label_host(name, asked.labels)


@router.post("/hosts/{name}/drain", status_code=202)
async def drain_host(controller: Now, name: requests.Part) -> dict[str, Any]:
    """Empty a host and take no more VMs there."""
    controller.world.link(name)
    return await submit(controller, "drain", name, host=name)


@router.get("/hosts/{name}/drain")
async def plan_drain(controller: Now, name: requests.Part) -> dict[str, Any]:
    """What a drain would do."""
    return plan_json(await plans.plan_drain(controller.world, name, "local user", keep=False))


@router.post("/hosts/{name}/undrain")
async def undrain_host(controller: Now, name: requests.Part) -> dict[str, Any]:
    """Take VMs again."""
    kept = await controller.world.store.get(HostRecord, name)
    if not kept.draining:
        raise Refused(f"{name} is not draining")
    told = [controller.world.event("host", name, f"{name} takes VMs again", "local user")]
    await controller.world.store.change(HostRecord, name, draining=False, told=told)
    return {"host": name}


@router.get("/storages")
async def list_storages(controller: Now) -> list[dict[str, Any]]:
    """All storages."""
    return views.each(await controller.world.store.all(Storage), asdict)


@router.post("/storages", status_code=202)
async def add_storage(controller: Now, asked: requests.StorageAdd) -> dict[str, Any]:
    """Register a shared directory."""
    return await submit(controller, "storage add", asked.name, **asked.model_dump())


@router.get("/storages/{name}")
async def show_storage(controller: Now, name: requests.Part) -> dict[str, Any]:
    """One storage, and what it was proven to do."""
    kept = await controller.world.store.get(Storage, name)
    room = await storage.room(controller.world, kept)
    return asdict(kept) | {"proven": await storage.proven(controller.world, name), "room": room}


@router.post("/storages/{name}/check", status_code=202)
async def check_storage(controller: Now, name: requests.Part) -> dict[str, Any]:
    """Prove it again."""
    await controller.world.store.get(Storage, name)
    return await submit(controller, "storage check", name, name=name)


@router.post("/storages/{name}/measure", status_code=202)
async def measure_storage(controller: Now, name: requests.Part, asked: requests.StorageMeasure) -> dict[str, Any]:
    """Measure how long after a host's loss its locks become free."""
    await controller.world.store.get(Storage, name)
    return await submit(controller, "storage measure", name, name=name, host=asked.host)


@router.delete("/storages/{name}", status_code=202)
async def remove_storage(controller: Now, name: requests.Part) -> dict[str, Any]:
    """Forget it."""
    await controller.world.store.get(Storage, name)
    return await submit(controller, "storage remove", name, name=name)


@router.get("/images")
async def list_images(controller: Now) -> list[dict[str, Any]]:
    """All images."""
    return views.each(await controller.world.store.all(Image), asdict)


@router.post("/images", status_code=202)
async def add_image(controller: Now, asked: requests.ImageAdd) -> dict[str, Any]:
    """Upload an image."""
    return await submit(controller, "image add", asked.name, **asked.model_dump())


@router.delete("/images/{name}", status_code=202)
async def remove_image(controller: Now, name: requests.Part) -> dict[str, Any]:
    """Delete an image."""
    await controller.world.store.get(Image, name)
    return await submit(controller, "image remove", name, name=name)
