"""Answers: processes: what runs, what ran, and who listens where."""

from __future__ import annotations

import difflib
import time

from vmctl.commands import processes
from vmctl.door import answers, views
from vmctl.door.parts import ControllerParts
from vmctl.errors import NotFound, Usage
from vmctl.formats.plain import plain
from vmctl.ledger import Life, read_samples
from vmctl.model.identity import parse_endpoint


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


async def machines(parts: ControllerParts) -> Machines:
    """All that the registry knows."""
    hosts, vms, _ = await parts.services.store.inventory()
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


async def list_processes(parts: ControllerParts, asked: processes.ListProcesses) -> list[answers.Process]:
    """What runs, or ran."""
    known, now = await machines(parts), parts.services.clock.now()
    on = known.uuid(asked.machine) if asked.machine else None
    incarnations = parts.services.incarnations
    found = await incarnations.processes(on, asked.program, history=asked.history, most=asked.most)
    return [view(life, known, now) for life in found]


async def list_short_lived(parts: ControllerParts, asked: processes.ListShortLived) -> list[answers.ShortLived]:
    """Programs whose runs were too short for a row each."""
    known = await machines(parts)
    on = known.uuid(asked.machine) if asked.machine else None
    found = await parts.services.incarnations.short_lived(on, asked.days)
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


async def show_process(parts: ControllerParts, asked: processes.ShowProcess) -> answers.ShownProcess:
    """One incarnation."""
    known, now = await machines(parts), parts.services.clock.now()
    found = await parts.services.incarnations.find(asked.name)
    return views.wider(
        answers.ShownProcess,
        view(found.life, known, now),
        samples=plain(read_samples(found.life.samples)),
        previous=[view(life, known, now) for life in found.previous],
        also=[view(life, known, now) for life in found.also],
    )


async def who(parts: ControllerParts, asked: processes.Who) -> list[answers.Process]:
    """Who listens there, or did."""
    try:
        ip, port = parse_endpoint(asked.endpoint)
    except ValueError as err:
        raise Usage(str(err)) from err
    known, now = await machines(parts), parts.services.clock.now()
    return [view(life, known, now) for life in await parts.services.incarnations.who(ip, port, asked.at)]


async def list_programs(parts: ControllerParts, asked: processes.ListPrograms) -> list[answers.Program]:
    """Names of programs."""
    return [answers.Program(name) for name in parts.services.incarnations.programs(asked.near)]
