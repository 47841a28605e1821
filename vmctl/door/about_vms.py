"""Answers: what is asked about VMs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from vmctl.act import checks, create, decided
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
from vmctl.decide.asked import check_class
from vmctl.decide.place import place
from vmctl.door import answers, plans, views
from vmctl.door.limits import check_room
from vmctl.door.pages import Page
from vmctl.door.parts import ControllerParts
from vmctl.errors import NotFound
from vmctl.model.access import Use
from vmctl.model.decisions import PlacedAgain, placed
from vmctl.model.pages import Wanted
from vmctl.model.records import VMRecord
from vmctl.model.rights import Principal
from vmctl.model.versions import version
from vmctl.model.vms import VM, PowerState, Spec, in_project
from vmctl.services.observe import measured, observed_vms


async def list_vms(parts: ControllerParts, asked: ListVMs) -> list[answers.VM | answers.Broken]:
    """A page of them."""
    store, key = parts.services.store, (asked, parts.sight)
    writes, now = store.writes, parts.services.clock.monotonic()
    kept = parts.pages.get(key, writes, now)
    if kept is not None:
        return kept
    page = await _page(parts, asked)
    parts.pages.put(key, writes, now, page)
    return page


async def _page(parts: ControllerParts, asked: ListVMs) -> Page[answers.VM | answers.Broken]:
    """What a VM does is known of its host: those that do something else than is wanted are read, too."""
    wanted = Wanted(asked.after, asked.limit, parts.sight, asked.project, asked.host, asked.owner, asked.begins)
    page = Page[answers.VM | answers.Broken]()
    while len(page) < asked.limit:
        records = await parts.services.store.page_of_vms(wanted)
        seen = observed_vms(parts.services, records)
        for record, vm in zip(records, seen, strict=True):
            if asked.power in ("", vm.power) and len(page) < asked.limit:
                page += views.each((record,), lambda one, vm=vm: views.vm(parts.services, one, vm))  # type: ignore[misc]
                page.next = record.name
        if len(records) < asked.limit:
            page.next = page.next if len(page) == asked.limit and page.next < records[-1].name else ""
            break
        wanted = replace(wanted, after=records[-1].name)
    return page


async def show_vm(parts: ControllerParts, asked: ShowVM) -> answers.ShownVM:
    """One VM."""
    record = await parts.services.store.vm(asked.vm)
    (vm,) = observed_vms(parts.services, [record])
    return views.wider(answers.ShownVM, views.vm(parts.services, record, vm), version=version(record))


async def where_to_create(parts: ControllerParts, asked: WhereToCreate) -> answers.Placed:
    """Where a new VM would go."""
    spec = await check_new(parts, asked, parts.who)
    return await _where(parts, VM(in_project(spec, asked.project)), asked.host)


async def check_new(parts: ControllerParts, asked: Create, who: Principal) -> Spec:
    """What it would be. Raises Usage, Refused, NotFound, OverLimit."""
    check_class(asked.load_class, parts.services.policy)
    spec, image, _ = await create.make_spec(parts.services, asked)
    wanted = Use(1, spec.cpus, spec.mem_mib, asked.disk_bytes or image.size_bytes)
    await check_room(parts, who.name, asked.project, wanted)
    return spec


async def where_to_start(parts: ControllerParts, asked: WhereToStart) -> answers.Placed:
    """Where a VM would start."""
    vm = await parts.services.store.vm(asked.vm)
    return await _where(parts, VM(in_project(vm.spec, vm.project)), asked.host)


async def where_now(parts: ControllerParts, asked: WhereNow) -> PlacedAgain:
    """Where it would go if it had to be placed now."""
    found: PlacedAgain = await plans.decided(parts, asked)
    return found


async def _where(parts: ControllerParts, vm: VM, host: str) -> answers.Placed:
    if host:
        parts.services.link(host)
    cluster = await measured(parts.services)
    found = await parts.services.threads.run(place, vm, cluster, parts.services.policy, host)
    return placed(found, cluster)


async def check_migration(parts: ControllerParts, asked: CheckMigration) -> answers.MigrationCheck:
    """What stands in the way, for every host."""
    return await checks.check_migration(parts.services, await parts.services.store.vm(asked.vm))


async def why(parts: ControllerParts, asked: Why) -> answers.Decided | answers.NotDecided:
    """The decision in force."""
    store = parts.services.store
    vm = await store.vm(asked.vm)
    done, undone = await decided.about(store, vm, asked.at)
    if done is not None:
        age_s = round(parts.services.clock.now() - done.made_at, 1)
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


async def list_health(parts: ControllerParts, _asked: ListHealth) -> list[answers.Health | answers.Broken]:
    """Every VM's health."""
    known = [vm for vm in await parts.services.store.all(VMRecord) if parts.sight.shows(vm.thing)]
    vms = sorted(known, key=lambda vm: vm.name)
    told = await parts.others.guests(parts.services, [vm.uuid for vm in vms])
    return views.each(vms, lambda vm: views.health(parts.services, parts.health_monitor, vm, told.get(vm.uuid)))


async def show_health(parts: ControllerParts, asked: ShowHealth) -> answers.Health:
    """One VM's health."""
    vm = await parts.services.store.vm(asked.vm)
    told = await parts.others.guests(parts.services, [vm.uuid])
    return views.health(parts.services, parts.health_monitor, vm, told.get(vm.uuid))
