"""Answers: processes: what runs, what ran, and who listens where."""

from __future__ import annotations

import difflib
import time

from vmctl.commands import processes
from vmctl.door import answers, views
from vmctl.door.services import Services
from vmctl.errors import NotFound, Usage
from vmctl.identity import parse_endpoint
from vmctl.ledger import Life, read_samples
from vmctl.plain import plain


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


async def machines(services: Services) -> Machines:
    """All that the registry knows."""
    hosts, vms, _ = await services.world.store.inventory()
    named = [(vm.name, vm.uuid.lower()) for vm in vms]
    named += [(host.name, str(host.about["host_uuid"]).lower()) for host in hosts if host.about.get("host_uuid")]
    return Machines(named)


def view(life: Life, known: Machines, now: float) -> answers.Process:
    """A life as clients see it at that time, in UTC seconds."""
    shown = life._asdict()
    del shown["samples"], shown["machine"]
    return answers.Process(
        name=str(life.gpid),
        uuid=str(life.uuid),
        machine=known.names.get(life.machine, ""),
        machine_uuid=life.machine,
        valid=life.ended_at is None,
        age_s=round(max(0.0, now - life.last_seen), 1),
        **shown,
    )


async def list_processes(services: Services, asked: processes.ListProcesses) -> list[answers.Process]:
    """What runs, or ran."""
    known, now = await machines(services), services.world.clock.now()
    on = known.uuid(asked.machine) if asked.machine else None
    incarnations = services.world.incarnations
    found = await incarnations.processes(on, asked.program, history=asked.history, most=asked.most)
    return [view(life, known, now) for life in found]


async def list_short_lived(services: Services, asked: processes.ListShortLived) -> list[answers.ShortLived]:
    """Programs whose runs were too short for a row each."""
    known = await machines(services)
    on = known.uuid(asked.machine) if asked.machine else None
    found = await services.world.incarnations.short_lived(on, asked.days)
    return [
        answers.ShortLived(
            known.names.get(one.machine, one.machine),
            one.program,
            time.strftime("%Y-%m-%d", time.gmtime(one.day * 86400)),
            one.runs,
            one.cpu_s,
        )
        for one in found
    ]


async def show_process(services: Services, asked: processes.ShowProcess) -> answers.ShownProcess:
    """One incarnation."""
    known, now = await machines(services), services.world.clock.now()
    found = await services.world.incarnations.find(asked.name)
    return views.wider(
        answers.ShownProcess,
        view(found.life, known, now),
        samples=plain(read_samples(found.life.samples)),
        previous=[view(life, known, now) for life in found.previous],
        also=[view(life, known, now) for life in found.also],
    )


async def who(services: Services, asked: processes.Who) -> list[answers.Process]:
    """Who listens there, or did."""
    try:
        ip, port = parse_endpoint(asked.endpoint)
    except ValueError as err:
        raise Usage(str(err)) from err
    known, now = await machines(services), services.world.clock.now()
    return [view(life, known, now) for life in await services.world.incarnations.who(ip, port, asked.at)]


async def list_programs(services: Services, asked: processes.ListPrograms) -> list[answers.Program]:
    """Names of programs."""
    return [answers.Program(name) for name in services.world.incarnations.programs(asked.near)]
