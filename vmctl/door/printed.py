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
from vmctl.model.jobs import JobRun, RunState, run_of
from vmctl.model.records import Task
from vmctl.store.rules import missing

KIND = "run"  # of a job's task
MOST_WAITING = 16  # pieces of output that nobody has taken yet
AGAIN_S = 1.0  # until a host that does not answer is asked again, or a task that does not run here is looked at


async def job_of(parts: ControllerParts, number: int) -> Task:
    task = await parts.services.store.find(Task, number)
    if task is None or task.kind != KIND:
        raise missing("job", str(number))
    return task


def runs_of(parts: ControllerParts, task: Task) -> list[JobRun]:
    job = parts.tasks.live(task.id)
    return [run_of(raw) for raw in (job.journal.runs if job is not None else task.journal.get("runs", ()))]


class Output:
    """One who reads a job's output: a reader for each of its runs, and what they read on its way to him."""

    def __init__(self, parts: ControllerParts, asked: FollowOutput) -> None:
        self._parts, self._asked = parts, asked
        self._read = _read_before(asked.after)
        self._queue: asyncio.Queue[answers.Printed | None] = asyncio.Queue(MOST_WAITING)
        self._readers: dict[tuple[int, int], asyncio.Task[None]] = {}

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
                    wanted = self._asked.run in (0, one.number)
                    # One that begins is not there yet, which would look as if it were gone.
                    if (
                        wanted
                        and one.state in (RunState.RUNNING, RunState.ENDED)
                        and (one.number, one.tries) not in self._readers
                    ):
                        self._readers[one.number, one.tries] = asyncio.create_task(self._follow(one))
                if ended or not self._asked.wait:
                    break
            await asyncio.gather(*self._readers.values())
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await self._queue.put(None)

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

    async def _now(self, one: JobRun) -> JobRun:
        """The run as it is known now; as it was where it was tried again."""
        runs = runs_of(self._parts, await job_of(self._parts, self._asked.number))
        found = next((each for each in runs if (each.number, each.tries) == (one.number, one.tries)), None)
        return found if found is not None else one

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
                ended = (await self._now(one)).state is RunState.ENDED
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
        return await (feeds.follow(who, asked) if wait else feeds.now(who, asked))

    async def _tell_end(self, one: JobRun, out: int, err: int) -> None:
        """How it ended, once the registry has it."""
        async for runs, ended in self._states():
            now = next((each for each in runs if each.number == one.number), one)
            if now.tries != one.tries:
                await self._tell(one, "again", "", out, err)
                return
            if now.state is RunState.ENDED or ended or not self._asked.wait:
                if now.out_cut or now.err_cut:
                    await self._tell(one, "note", "it printed more than is kept (--keep)", out, err)
                if now.state is RunState.ENDED:
                    await self._tell(now, "end", outcome(now), out, err)
                return

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
