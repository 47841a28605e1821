"""Answers: what is asked about VMs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vmctl.act import checks, create, decided, power
from vmctl.commands.vms import (
    CheckMigration,
    Create,
    ListHealth,
    ListVMs,
    ShowHealth,
    ShowVM,
    WhereNow,
    WhereToCreate,
    WhereToStart,
    Why,
)
from vmctl.decide.place import place
from vmctl.deciding import check_class
from vmctl.decisions import PlacedAgain, placed
from vmctl.door import answers, plans, views
from vmctl.door.services import Services
from vmctl.errors import NotFound
from vmctl.model import VM, PowerState
from vmctl.observe import observed
from vmctl.records import VMRecord


async def list_vms(services: Services, _asked: ListVMs) -> list[answers.VM | answers.Broken]:
    """All VMs."""
    return views.vms(services.world, await observed(services.world))


async def show_vm(services: Services, asked: ShowVM) -> answers.VM:
    """One VM."""
    seen = await observed(services.world)
    if asked.vm not in seen.vms:
        raise NotFound(f"there is no VM {asked.vm!r} any more")
    vm = next(vm for vm in seen.cluster.vms if vm.spec.uuid == asked.vm)
    return views.vm(services.world, seen.vms[asked.vm], vm)


async def where_to_create(services: Services, asked: WhereToCreate) -> answers.Placed:
    """Where a new VM would go."""
    await check_new(services, asked)
    spec, _, _ = await create.make_spec(services.world, asked)
    return await _where(services, VM(spec), asked.host)


async def check_new(services: Services, asked: Create) -> None:
    """Refuse bad input. Raises Usage, Refused, NotFound."""
    check_class(asked.load_class, services.world.policy)
    await create.make_spec(services.world, asked)


async def where_to_start(services: Services, asked: WhereToStart) -> answers.Placed:
    """Where a VM would start."""
    return await _where(services, VM((await services.world.store.vm(asked.vm)).spec), asked.host)


async def where_now(services: Services, asked: WhereNow) -> PlacedAgain:
    """Where it would go if it had to be placed now."""
    found: PlacedAgain = await plans.decided(services, asked)
    return found


async def _where(services: Services, vm: VM, host: str) -> answers.Placed:
    if host:
        services.world.link(host)
    cluster = await power.measured(services.world)
    return placed(place(vm, cluster, services.world.policy, only=host), cluster)


async def check_migration(services: Services, asked: CheckMigration) -> answers.MigrationCheck:
    """What stands in the way, for every host."""
    return await checks.check_migration(services.world, await services.world.store.vm(asked.vm))


async def why(services: Services, asked: Why) -> answers.Decided | answers.NotDecided:
    """The decision in force."""
    store = services.world.store
    vm = await store.vm(asked.vm)
    done, undone = await decided.about(store, vm, asked.at)
    if done is not None:
        age_s = round(services.world.clock.now() - done.made_at, 1)
        kept: dict[str, Any] = {field.name: getattr(done, field.name) for field in fields(done)}
        return answers.Decided(**kept, age_s=age_s, now_on=vm.host, not_done=tuple(undone))
    never = _never_placed(vm, asked.at)
    if not undone:
        raise NotFound(f"nothing was decided about {vm.name}: {never}", hint=f"vmctl show {vm.name}")
    return answers.NotDecided(vm.name, "", never, vm.host, undone)


def _never_placed(vm: VMRecord, at: float | None) -> str:
    if at is not None:
        return "not until then"
    if vm.adopted:
        return f"it was found on {vm.host or 'a host'}, and adopted"
    return "it was made, and never started" if vm.power is PowerState.STOPPED else "it was found running"


async def list_health(services: Services, _asked: ListHealth) -> list[answers.Health | answers.Broken]:
    """Every VM's health."""
    vms = sorted(await services.world.store.all(VMRecord), key=lambda vm: vm.name)
    return views.each(vms, lambda vm: views.health(services.world, services.healths, vm))


async def show_health(services: Services, asked: ShowHealth) -> answers.Health:
    """One VM's health."""
    return views.health(services.world, services.healths, await services.world.store.vm(asked.vm))
