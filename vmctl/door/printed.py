"""What the runs of a job print, read from their hosts for whoever asks, from wherever he stopped reading."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator

from vmctl.act.runend import outcome
from vmctl.commands.jobs import FollowOutput
from vmctl.door import answers
from vmctl.door.parts import ControllerParts
from vmctl.errors import HostError, NotAllowed, NotFound, Usage
from vmctl.hosts.runs import From, Seen
from vmctl.model.jobs import KIND, JobRun, RunState, run_of
from vmctl.model.records import Task
from vmctl.store.rules import missing

MOST_WAITING = 16  # pieces of output that nobody has taken yet
MANY, LOOK_S = 20, 0.1  # where more runs than that are followed, how long between two looks at what is known of them
AGAIN_S = 1.0  # until a host that does not answer is asked again, or a task that does not run here is looked at

Try = tuple[int, int]  # a run's number, and which try of it


async def job_of(parts: ControllerParts, number: int) -> Task:
    task = await parts.services.store.find(Task, number)
    if task is None or task.kind != KIND:
        raise missing("job", str(number))
    return task


def runs_of(parts: ControllerParts, task: Task) -> list[JobRun]:
    job = parts.tasks.live(task.id)
    return [run_of(raw) for raw in (job.journal.runs if job is not None else task.journal.get("runs", ()))]


async def jobs_of(parts: ControllerParts, most: int) -> list[Task]:
    """The newest jobs that one may see, or has given."""
    own = parts.who.name if parts.who.narrowed is None else ""
    found = await parts.services.store.tasks(most, parts.sight, kind=KIND, also_of=own)
    return [task for task in found if parts.sight.shows(task.thing) or task.created_at >= parts.who.since]


class Output:
    """One who reads a job's output: a reader for each of its runs, and what they read on its way to him."""

    def __init__(self, parts: ControllerParts, asked: FollowOutput) -> None:
        self._parts, self._asked = parts, asked
        self._read = _read_before(asked.after)
        self._queue: asyncio.Queue[answers.Printed | None] = asyncio.Queue(MOST_WAITING)
        self._readers: dict[Try, asyncio.Task[None]] = {}
        self._runs: dict[int, JobRun] = {}  # as they are known now, by number
        self._over: dict[Try, asyncio.Event] = {}  # nothing more will be known of them

    async def told(self) -> AsyncIterator[answers.Printed]:
        look = asyncio.create_task(self._look())
        try:
            while (item := await self._queue.get()) is not None:
                yield item
            await look
        finally:
            look.cancel()
            for reader in self._readers.values():
                reader.cancel()
            await asyncio.gather(look, *self._readers.values(), return_exceptions=True)

    async def _look(self) -> None:
        """Begin to read each run as it begins; until the job has ended, and all is read."""
        try:
            async for runs, ended in self._states():
                for one in runs:
                    self._see(one)
                if ended or not self._asked.wait:
                    break
                if len(runs) > MANY:  # each look is at all of them
                    await asyncio.sleep(LOOK_S)
            for over in self._over.values():
                over.set()
            await asyncio.gather(*self._readers.values())
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await self._queue.put(None)

    def _see(self, one: JobRun) -> None:
        key = one.number, one.tries
        self._runs[one.number] = one
        for tried in range(1, one.tries):
            if (before := self._over.get((one.number, tried))) is not None:
                before.set()
        # One that begins is not there yet, which would look as if it were gone.
        wanted = self._asked.run in (0, one.number) and one.state in (RunState.RUNNING, RunState.ENDED)
        if wanted and key not in self._readers:
            self._over[key] = asyncio.Event()
            self._readers[key] = asyncio.create_task(self._follow(one))
        if one.state is RunState.ENDED and key in self._over:
            self._over[key].set()

    async def _states(self) -> AsyncIterator[tuple[list[JobRun], bool]]:
        """The job's runs whenever something of it is new, and whether it has ended."""
        number = self._asked.number
        while True:
            job = self._parts.tasks.live(number)
            if job is None:
                task = await job_of(self._parts, number)
                yield runs_of(self._parts, task), task.state.ended
                await asyncio.sleep(AGAIN_S)
                continue
            with job.watched() as news:
                while not job.ended.is_set():
                    news.clear()
                    yield [run_of(raw) for raw in job.journal.runs], False
                    await news.wait()

    async def _follow(self, one: JobRun) -> None:
        out, err = self._read.get((one.number, one.tries), (0, 0))
        ended = one.state is RunState.ENDED
        while one.pid or one.code is not None:  # else it never began
            try:
                seen = await self._ask(one, out, err, wait=self._asked.wait and not ended)
            except (HostError, NotAllowed, NotFound) as silent:
                if ended or not self._asked.wait:
                    await self._tell(one, "note", f"its output cannot be read: {silent.message}", out, err)
                    break
                await asyncio.sleep(AGAIN_S)
                ended = self._over[one.number, one.tries].is_set()
                continue
            out, err = out + len(seen.out), err + len(seen.err)
            for stream, data in (("out", seen.out), ("err", seen.err)):
                if data:
                    await self._tell(one, stream, base64.b64encode(data).decode(), out, err)
            if seen.fate == "gone" and one.out_bytes + one.err_bytes > out + err:
                await self._tell(one, "note", "its output is not kept any more", out, err)
            if not (seen.out or seen.err) and (seen.ended or ended or not self._asked.wait):
                break
        await self._tell_end(one, out, err)

    async def _ask(self, one: JobRun, out: int, err: int, *, wait: bool) -> Seen:
        feeds, asked = self._parts.services.runs, From(one.id, out, err)
        who = one.host, one.login
        if self._asked.wait and (kept := feeds.kept(asked)) is not None:
            return kept
        return await (feeds.follow(who, asked) if wait else feeds.now(who, asked))

    async def _tell_end(self, one: JobRun, out: int, err: int) -> None:
        """How it ended, once the registry has it."""
        await self._over[one.number, one.tries].wait()
        now = self._runs[one.number]
        if now.tries != one.tries:
            await self._tell(one, "again", "", out, err)
            return
        if now.out_cut or now.err_cut:
            await self._tell(one, "note", "it printed more than is kept (--keep)", out, err)
        if now.state is RunState.ENDED:
            await self._tell(now, "end", outcome(now), out, err)

    async def _tell(self, one: JobRun, what: str, data: str, out: int, err: int) -> None:
        await self._queue.put(
            answers.Printed(one.number, one.tries, one.host, what, data, out, err, one.code if what == "end" else None)
        )


def _read_before(after: str) -> dict[tuple[int, int], tuple[int, int]]:
    """What was read before of each try of each run. Raises Usage."""
    found = {}
    for part in filter(None, after.split(",")):
        try:
            number, tries, out, err = map(int, part.split(":"))
        except ValueError as wrong:
            raise Usage(f"{part!r} is not RUN:TRY:OUT:ERR") from wrong
        found[number, tries] = max(0, out), max(0, err)
    return found
