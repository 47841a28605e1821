"""Routes: how VMs are, from inside."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from vmctl.act import health
from vmctl.api import requests, views
from vmctl.api.shared import Now
from vmctl.decide.heal import LEVELS
from vmctl.errors import Usage
from vmctl.records import VMRecord

router = APIRouter()


@router.get("/health")
async def all_healths(controller: Now) -> list[dict[str, Any]]:
    """Every VM's health, by name."""
    vms = sorted(await controller.world.store.all(VMRecord), key=lambda vm: vm.name)
    return views.each(vms, lambda vm: health.view(controller.world, controller.healths, vm))


@router.get("/vms/{name}/health")
async def one_health(controller: Now, name: requests.Part) -> dict[str, Any]:
    """One VM's health."""
    return health.view(controller.world, controller.healths, await controller.world.store.vm(name))


@router.put("/vms/{name}/heal")
async def set_heal(controller: Now, name: requests.Part, asked: requests.Heal) -> dict[str, Any]:
    """How far a sick VM may be treated: off, reboot, reset."""
    if asked.level not in LEVELS:
        raise Usage(f"{asked.level!r} is none of {', '.join(LEVELS)}")
    vm = await controller.world.store.vm(name)
    await controller.world.store.change(VMRecord, vm.uuid, heal=asked.level)
    return {"vm": vm.name, "heal": asked.level}
