"""Runs of jobs, and the ports of daemons, on their way into the ledgers of the hosts that are watched here.

Which runs there are is read from the tasks' journals: whoever leads writes them, and whoever watches a host keeps its
ledger. A run that ended between two looks is noted with its beginning and its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable

from vmctl.hosts.port import Link
from vmctl.hosts.runuse import InUse, RunUse, use
from vmctl.ledger import ProcessSample
from vmctl.ledger.incarnations import Besides
from vmctl.model.jobs import KIND, JobRun, RunState, called, run_of
from vmctl.model.records import Task
from vmctl.services import Services
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.cluster.jobprocesses")
AT_ONCE = 16  # hosts that are asked
MOST_NEW = 1000  # jobs between two looks

Of = tuple[Task, JobRun]


class JobProcesses:
    """Of one controller. `look` every few seconds."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: set[int] = set()  # tasks that had not ended at the last look
        self._newest: int | None = None
        self._shown: dict[int, set[str]] = {}  # task -> its runs that the ledger has
        self._told: dict[str, InUse] = {}  # host -> what it told last
        self._asked: dict[str, tuple[object, ...]] = {}  # host -> of what
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def look(self) -> None:
        """Ask each host on which something of a job runs, or whose daemons are other ones."""
        by_host = defaultdict[str, list[Of]](list)
        for task in await self._jobs():
            for one in map(run_of, task.journal.get("runs", ())):
                if one.pid:
                    by_host[one.host].append((task, one))
        links = [link for name, link in self._services.links.items() if link.online and self._services.watches(name)]
        await asyncio.gather(*(self._look_at(link, by_host[link.name]) for link in links))

    async def _jobs(self) -> list[Task]:
        """Those that go on, and those that ended since the last look."""
        store = self._services.store
        found = {task.id: task for task in await store.open_tasks() if task.kind == KIND}
        going_on = set(found)
        if self._newest is None:
            self._newest = max((task.id for task in await store.tasks(1, kind=KIND)), default=0)
        for number in self._open - going_on:
            if (task := await store.find(Task, number)) is not None:
                found[number] = task
        found |= {task.id: task for task in await store.tasks(MOST_NEW, kind=KIND, after=self._newest)}
        self._open, self._newest = going_on, max(self._newest, *found, 0)
        self._shown = {number: runs for number, runs in self._shown.items() if number in found}
        return list(found.values())

    async def _look_at(self, link: Link, there: Iterable[Of]) -> None:
        now = [of for of in there if of[1].boot_id == link.boot_id]
        for task, one in now:
            if one.state is RunState.ENDED and one.id not in self._shown.setdefault(task.id, set()):
                with wall(log, f"job {task.id} on {link.name}"):
                    await self._note_past(link, task, one)
                    self._shown[task.id].add(one.id)
        with wall(log, f"jobs' processes on {link.name}"):
            await self._ask(link, [of for of in now if of[1].state is RunState.RUNNING])

    async def _ask(self, link: Link, going_on: list[Of]) -> None:
        runs = sorted({one.pid for _, one in going_on})
        daemons = [one.pid for one in self._services.incarnations.daemons(link)]
        asked = (link.boot_id, *runs, "daemons", *sorted(daemons))
        if not runs and self._asked.get(link.name, ("", "daemons")) == asked:
            return
        async with self._turns:
            told = await link.ask(use(runs, daemons))
        before = self._told.get(link.name)
        seen = [of for of in going_on if (used := told.runs.get(of[1].pid)) is not None and _is(of[1], used)]
        samples = tuple(self._sample(task, one, told, told.cores(one.pid, before)) for task, one in seen)
        self._services.incarnations.host_besides(link, Besides(told.boot_id, samples, told.daemons))
        for task, one in seen:
            self._shown.setdefault(task.id, set()).add(one.id)
        self._told[link.name], self._asked[link.name] = told, asked

    def _sample(self, task: Task, one: JobRun, told: InUse, cores: float) -> ProcessSample:
        used = told.runs[one.pid]
        return ProcessSample(
            one.pid,
            one.ticks,
            told.started_us(one.pid),
            used.parent,
            used.name,
            command=_command(task, one),
            user=self._login(one),
            cpu=cores,
            rss_kib=used.rss_kib,
            threads=used.threads,
            ports=used.ports,
        )

    async def _note_past(self, link: Link, task: Task, one: JobRun) -> None:
        words = task.args.get("words") or ["?"]
        program = "sh" if task.args.get("shell") else str(words[0]).rpartition("/")[2]
        began, ended = one.asked_at or 0.0, one.ended_at or self._services.clock.now()
        sample = ProcessSample(
            one.pid, one.ticks, int(began * 1e6), 0, program, command=_command(task, one), user=self._login(one)
        )
        await self._services.incarnations.past(link, one.boot_id, sample, began, max(began, ended))

    def _login(self, one: JobRun) -> str:
        return one.login or self._services.settings.ssh_user


def _is(one: JobRun, used: RunUse) -> bool:
    """Whether that is its process: its pid may have come round again, and whose it is may name any as his."""
    return used.start_ticks == one.ticks and one.login in ("", used.owner)


def _command(task: Task, one: JobRun) -> str:
    """As the ledger has it: whose it is stands first."""
    return f"{called(task.id, one.number)}: {task.subject}"
