"""Answers: processes: what runs, what ran, and who listens where."""

from __future__ import annotations

import difflib
import re
import time
from dataclasses import replace

from vmctl.commands import processes
from vmctl.door import answers, views
from vmctl.door.parts import ControllerParts
from vmctl.door.printed import jobs_of, runs_of
from vmctl.errors import NotFound, Usage
from vmctl.formats.plain import plain
from vmctl.ledger import Life, ShortLived, read_samples
from vmctl.model.identity import parse_endpoint
from vmctl.model.jobs import called

JOB = re.compile(r"job (\d{1,18}) run ")  # how a run's command begins in a host's ledger
MOST_JOBS = 1000  # the newest, of which runs are shown


class Machines:
    """VMs and hosts by name and by UUID; a VM goes before a host of the same name."""

    def __init__(self, named: list[tuple[str, str]], hosts: dict[str, str], *, whole: bool) -> None:
        """`hosts`: the names of all hosts, by UUID."""
        self._whole, self.hosts = whole, hosts
        self.jobs: frozenset[int] | None = None  # those that one may see, once it is asked for them
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
    of_hosts = {str(uuid).lower(): host.name for host in hosts if (uuid := host.about.get("host_uuid"))}
    named += [(name, uuid) for uuid, name in of_hosts.items() if parts.sight.everything]
    return Machines(named, of_hosts, whole=parts.sight.everything)


def view(life: Life, known: Machines, now: float) -> answers.Process:
    """A life as clients see it at that time, in UTC seconds."""
    shown = life._asdict()
    del shown["samples"], shown["machine"]
    return answers.Process(
        name=str(life.gpid),
        uuid=str(life.uuid),
        machine=known.names.get(life.machine) or known.hosts.get(life.machine, ""),
        machine_uuid=life.machine,
        valid=life.ended_at is None,
        age_s=round(max(0.0, now - life.last_seen), 1),
        **shown,
    )


async def list_processes(parts: ControllerParts, asked: processes.ListProcesses) -> list[answers.Process]:
    """What runs, or ran."""
    known, now = await machines(parts), parts.services.clock.now()
    if asked.jobs:
        found = await _of_jobs(parts, asked, known)
    else:
        found = [life for on in known.asked(asked.machine) for life in await _processes(parts, asked, on)]
    return [view(life, known, now) for life in found[: asked.most]]


async def _processes(parts: ControllerParts, asked: processes.ListProcesses, on: str | None) -> list[Life]:
    return await parts.services.incarnations.processes(on, asked.program, history=asked.history, most=asked.most)


async def _of_jobs(parts: ControllerParts, asked: processes.ListProcesses, known: Machines) -> list[Life]:
    """Runs of the jobs that one may see: also of somebody who sees nothing else of hosts."""
    runs = [(task, one) for task in await jobs_of(parts, MOST_JOBS) for one in runs_of(parts, task) if one.process]
    # By both: whose a run is may name any process as its own, and the ledger looks whether it is.
    wanted = {(one.process, called(task.id, one.number)) for task, one in runs}
    names = {one.host for _, one in runs}
    on = [uuid for uuid, name in known.hosts.items() if name in names and asked.machine in (None, name, uuid)]
    if asked.machine and not on:
        known.uuid(asked.machine)
    every = replace(asked, most=processes.MOST)
    there = [life for uuid in on for life in await _processes(parts, every, uuid)]
    found = [life for life in there if (str(life.uuid), life.command.partition(":")[0]) in wanted]
    return sorted(found, key=lambda life: (life.ended_at is not None, -(life.ended_at or life.cpu)))


async def _shows(parts: ControllerParts, known: Machines, life: Life) -> bool:
    """Whether it is to be seen: by its machine, or as a run of a job of his own."""
    if known.shows(life.machine):
        return True
    job = JOB.match(life.command) if life.machine in known.hosts else None
    if job is None:
        return False
    if known.jobs is None:
        known.jobs = frozenset(task.id for task in await jobs_of(parts, MOST_JOBS))
    return int(job[1]) in known.jobs


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
    if not await _shows(parts, known, found.life):
        raise _no_process(asked.name)
    return views.wider(
        answers.ShownProcess,
        view(found.life, known, now),
        samples=plain(read_samples(found.life.samples)),
        previous=[view(life, known, now) for life in found.previous if await _shows(parts, known, life)],
        also=[view(life, known, now) for life in found.also if await _shows(parts, known, life)],
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
    return [view(life, known, now) for life in found if await _shows(parts, known, life)]


async def list_programs(parts: ControllerParts, asked: processes.ListPrograms) -> list[answers.Program]:
    """Names of programs."""
    return [answers.Program(name) for name in parts.services.incarnations.programs(asked.near)]
