"""Answers: processes: what runs, what ran, and who listens where."""

from __future__ import annotations

import difflib
import time

from vmctl.commands import processes
from vmctl.door import answers, views
from vmctl.door.parts import ControllerParts
from vmctl.errors import NotFound, Usage
from vmctl.formats.plain import plain
from vmctl.ledger import Life, ShortLived, read_samples
from vmctl.model.identity import parse_endpoint


class Machines:
    """VMs and hosts by name and by UUID; a VM goes before a host of the same name."""

    def __init__(self, named: list[tuple[str, str]], *, whole: bool) -> None:
        self._whole = whole
        self.names = {machine: name for name, machine in named}
        self._uuids = dict(reversed(named))

    def shows(self, machine: str) -> bool:
        """Whether something of that machine is to be seen; of one that is gone, by who sees everything."""
        return self._whole or machine in self.names

    def asked(self, name: str | None) -> list[str | None]:
        """The machines that are asked about: the one of that name, or all; [None] stands for all there ever were."""
        if name:
            return [self.uuid(name)]
        return [None] if self._whole else list[str | None](sorted(self.names))

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
    """All that the registry knows, and that whoever asks may see."""
    hosts, vms, _ = await parts.services.store.inventory()
    named = [(vm.name, vm.uuid.lower()) for vm in vms if parts.sight.shows(vm.thing)]
    shown = hosts if parts.sight.everything else []
    named += [(host.name, str(host.about["host_uuid"]).lower()) for host in shown if host.about.get("host_uuid")]
    return Machines(named, whole=parts.sight.everything)


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
    incarnations, found = parts.services.incarnations, list[Life]()
    for on in known.asked(asked.machine):
        found += await incarnations.processes(on, asked.program, history=asked.history, most=asked.most)
    return [view(life, known, now) for life in found[: asked.most]]


async def list_short_lived(parts: ControllerParts, asked: processes.ListShortLived) -> list[answers.ShortLived]:
    """Programs whose runs were too short for a row each."""
    known = await machines(parts)
    found = list[ShortLived]()
    for on in known.asked(asked.machine):
        found += await parts.services.incarnations.short_lived(on, asked.days)
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
    try:
        found = await parts.services.incarnations.find(asked.name)
    except NotFound as err:
        raise err if parts.sight.everything else _no_process(asked.name) from err  # it names near ones
    if not known.shows(found.life.machine):
        raise _no_process(asked.name)
    return views.wider(
        answers.ShownProcess,
        view(found.life, known, now),
        samples=plain(read_samples(found.life.samples)),
        previous=[view(life, known, now) for life in found.previous if known.shows(life.machine)],
        also=[view(life, known, now) for life in found.also if known.shows(life.machine)],
    )


def _no_process(name: str) -> NotFound:
    return NotFound(f"there is no process {name!r}", hint="vmctl ps")


async def who(parts: ControllerParts, asked: processes.Who) -> list[answers.Process]:
    """Who listens there, or did."""
    try:
        ip, port = parse_endpoint(asked.endpoint)
    except ValueError as err:
        raise Usage(str(err)) from err
    known, now = await machines(parts), parts.services.clock.now()
    found = await parts.services.incarnations.who(ip, port, asked.at)
    return [view(life, known, now) for life in found if known.shows(life.machine)]


async def list_programs(parts: ControllerParts, asked: processes.ListPrograms) -> list[answers.Program]:
    """Names of programs."""
    return [answers.Program(name) for name in parts.services.incarnations.programs(asked.near)]
