"""Routes: processes: what runs, what ran, and who listens where."""

from __future__ import annotations

import difflib
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query

from vmctl.api import requests
from vmctl.api.shared import Now
from vmctl.controller import Controller
from vmctl.errors import NotFound, Usage
from vmctl.identity import parse_endpoint
from vmctl.ledger import Life, read_samples

router = APIRouter()
MOST = 5000


class Machines:
    """VMs and hosts by name and by UUID; a VM goes before a host of the same name."""

    def __init__(self, named: list[tuple[str, str]]) -> None:
        self.names = {machine: name for name, machine in named}
        self._uuids = dict(reversed(named))

    def uuid(self, name: str) -> str:
        """The UUID of a VM or host by its name or UUID. Raises NotFound, which names near ones."""
        if name.lower() in self.names:
            return name.lower()
        if name not in self._uuids:
            near = difflib.get_close_matches(name, self._uuids, 3)
            did_you = f"; near: {', '.join(near)}" if near else ""
            raise NotFound(f"there is no VM or host {name!r}{did_you}", hint="vmctl list, vmctl host list")
        return self._uuids[name]


async def machines(controller: Controller) -> Machines:
    """All that the registry knows."""
    hosts, vms, _ = await controller.world.store.inventory()
    named = [(vm.name, vm.uuid.lower()) for vm in vms]
    named += [(host.name, str(host.about["host_uuid"]).lower()) for host in hosts if host.about.get("host_uuid")]
    return Machines(named)


def view(life: Life, known: Machines) -> dict[str, Any]:
    """A life as clients see it. CPU in cores, memory in KiB, times in UTC seconds."""
    shown = life._asdict()
    del shown["samples"], shown["machine"]
    return {
        "name": str(life.gpid),
        "uuid": str(life.uuid),
        "machine": known.names.get(life.machine, ""),
        "machine_uuid": life.machine,
        "valid": life.ended_at is None,
        "age_s": round(max(0.0, time.time() - life.last_seen), 1),
        **shown,
    }


@router.get("/processes")
async def list_processes(
    controller: Now,
    machine: requests.Asked | None = None,
    program: requests.Asked | None = None,
    history: bool = False,
    most: Annotated[int, Query(ge=1, le=MOST)] = 1000,
) -> list[dict[str, Any]]:
    """Processes that run, the busiest first; with `history` also those that ended, the newest first."""
    known = await machines(controller)
    on = known.uuid(machine) if machine else None
    found = await controller.world.incarnations.processes(on, program, history=history, most=most)
    return [view(life, known) for life in found]


@router.get("/processes/short-lived")
async def short_lived(
    controller: Now, machine: requests.Asked | None = None, days: Annotated[float, Query(ge=0, le=3660)] = 1.0
) -> list[dict[str, Any]]:
    """Programs whose runs were too short for a row each, per machine and day."""
    known = await machines(controller)
    found = await controller.world.incarnations.short_lived(known.uuid(machine) if machine else None, days)
    rows = [one._asdict() | {"machine": known.names.get(one.machine, one.machine)} for one in found]
    return [row | {"day": time.strftime("%Y-%m-%d", time.gmtime(row["day"] * 86400))} for row in rows]


@router.get("/processes/{name}")
async def show_process(controller: Now, name: requests.Part) -> dict[str, Any]:
    """One incarnation by gpid, UUID or the beginning of a UUID: its last ten minutes, and its previous lives."""
    known = await machines(controller)
    found = await controller.world.incarnations.find(name)
    return view(found.life, known) | {
        "samples": [sample._asdict() for sample in read_samples(found.life.samples)],
        "previous": [view(life, known) for life in found.previous],
        "also": [view(life, known) for life in found.also],
    }


@router.get("/who/{endpoint}")
async def who(controller: Now, endpoint: requests.Part, at: requests.Moment | None = None) -> list[dict[str, Any]]:
    """Who listens on IP:PORT, or did at a time (UTC seconds)."""
    try:
        ip, port = parse_endpoint(endpoint)
    except ValueError as err:
        raise Usage(str(err)) from err
    known = await machines(controller)
    return [view(life, known) for life in await controller.world.incarnations.who(ip, port, at)]


@router.get("/programs")
async def programs(controller: Now, near: requests.Asked = "") -> list[dict[str, Any]]:
    """Names of programs that begin like `near`."""
    return [{"name": name} for name in controller.world.incarnations.programs(near)]
