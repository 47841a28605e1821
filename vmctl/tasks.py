"""Accepted commands: journalled before they act, followed while they run, always brought to an end.

A task is a row first and a coroutine second. What a crash must not lose goes through `Job.note` (the journal); what is
only nice to see (a progress bar's numbers) stays in memory. A mutating call is never retried here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from vmctl.errors import Cancelled as Cancelled
from vmctl.errors import Refused, Uncertain, VmctlError
from vmctl.errors import error_to_json as error_to_json
from vmctl.records import Task, TaskState
from vmctl.store.store import Store
from vmctl.walls import wall

log = logging.getLogger("vmctl.tasks")
FOLLOW_S = 0.2  # how often a follower hears of progress
TRIES = 3  # of a handler that lost links interrupt
FIRST_RETRY_S, SLOWEST_RETRY_S = 0.2, 5.0  # of writing a task's end

Progress = dict[str, Any]


class Job:
    """A running task as its handler sees it."""

    def __init__(self, task: Task, store: Store) -> None:
        self.task = task
        self.id = task.id
        self.args = task.args
        self.journal: dict[str, Any] = dict(task.journal)
        self.progress: Progress = {}
        self.log: list[Any] = list(task.log)
        self.step = task.step
        self.state = task.state
        self.cancel_asked = asyncio.Event()
        self.ended = asyncio.Event()
        self.unwritten = False  # its log or step is newer than its row
        self._watchers: set[asyncio.Event] = set()
        self._store = store
        if task.cancel_asked:
            self.cancel_asked.set()

    async def note(self, step: str, **facts: Any) -> None:
        """Journal the step that is about to be taken, and what a successor must know if we die in it."""
        self.step = step
        self.journal |= facts
        await self.write(journal=self.journal, state=self.state)
        self.touch()

    async def write(self, **more: Any) -> None:
        """Bring its row up to date: log, step, and whatever else."""
        self.unwritten = False
        values = {"step": self.step, "log": list(self.log)} | more
        await self._store.patiently(lambda: self._store.change(Task, self.id, **values))

    def touch(self) -> None:
        """Tell everybody who follows it that something is new."""
        for watcher in self._watchers:
            watcher.set()

    @contextlib.contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """An event of the caller's own, set when something is new."""
        watcher = asyncio.Event()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def stage(self, step: str) -> None:
        """Name the step that is taken where a successor need not know: shown, and stored within a second."""
        self.step, self.unwritten = step, True
        self.touch()

    def say(self, sentence: str) -> None:
        """Add a sentence to the task's log; stored within a second, or with the next step or the end."""
        self.log.append([time.time(), sentence])
        self.unwritten = True
        self.touch()

    def show(self, **progress: Any) -> None:
        """Replace what a progress bar shows."""
        self.progress = progress
        self.touch()

    def check_cancelled(self) -> None:
        """Stop here, between two steps, when cancelling was asked for."""
        if self.cancel_asked.is_set():
            raise Cancelled(f"task {self.id} was cancelled")


Handler = Callable[[Job], Awaitable[dict[str, Any]]]


class Tasks:
    """All tasks of this controller. `handlers` maps a kind to the coroutine that carries it out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.handlers: dict[str, Handler] = {}
        self.resumable: frozenset[str] = frozenset()  # kinds whose handlers find in their journal what happened
        self._closing = False
        self._jobs: dict[int, Job] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, kind: str, subject: str, who: str = "", **args: Any) -> Task:
        """Accept a command: its row is committed before this returns."""
        task = Task(0, kind, subject, time.time(), args=args, who=who)
        number = await self._store.add(task)
        task = await self._store.get(Task, number)
        self._begin(task, self.handlers[kind])
        return task

    def resume(self, task: Task, handler: Handler) -> None:
        """Go on with a task of a controller that died; the handler finds what happened in the journal."""
        self._begin(task, handler)

    def _begin(self, task: Task, handler: Handler) -> None:
        job = Job(task, self._store)
        self._jobs[task.id] = job
        runner = asyncio.create_task(self._run(job, handler), name=f"task {task.id}")
        self._running.add(runner)
        runner.add_done_callback(self._running.discard)

    async def _run(self, job: Job, handler: Handler) -> None:
        job.state = TaskState.RUNNING
        ending: dict[str, Any]
        try:
            await self._store.change(Task, job.id, state=job.state, started_at=job.task.started_at or time.time())
            result = await self._handled(job, handler)
            ending = {"state": TaskState.DONE, "result": result}
        except Cancelled as err:
            ending = {"state": TaskState.CANCELLED, "error": error_to_json(err)}
        except VmctlError as err:
            ending = {"state": TaskState.FAILED, "error": error_to_json(err)}
        except asyncio.CancelledError:
            log.info("task %s is left to the next controller in step %r", job.id, job.step)
            raise
        except Exception as err:
            # A bug must not leave a task without an end: this is the controller's edge for tasks.
            log.exception("task %s (%s) broke", job.id, job.task.kind)
            broken = VmctlError(f"{type(err).__name__}: {err}", hint="the controller's log has the details")
            ending = {"state": TaskState.FAILED, "error": error_to_json(broken)}
        await self._end(job, ending)

    async def _handled(self, job: Job, handler: Handler) -> dict[str, Any]:
        """Run the handler. One that a lost link cancelled is run again, as by a successor: it looks at the hosts."""
        for _ in range(TRIES):
            try:
                return await handler(job)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._closing or (task is not None and task.cancelling()):
                    raise
                log.warning("task %s was interrupted in step %r by a link that was lost", job.id, job.step)
                if job.task.kind not in self.resumable:
                    break
        text = f"the link to a host was lost in step {job.step!r}: whether it was done is not known"
        raise Uncertain(text, hint=f"vmctl task show {job.id}")

    async def _end(self, job: Job, ending: dict[str, Any]) -> None:
        """Write its end, again and again until it is written: a full disk must not leave it open for ever."""
        wait_s = FIRST_RETRY_S
        while True:
            try:
                await self._store.end_task(job.id, **ending, log=job.log, step=job.step, ended_at=time.time())
                break
            except Exception as err:
                # Whatever the registry's trouble is, the work itself has ended.
                log.error("the end of task %s is not written yet: %s", job.id, err)
                job.show(text=f"it has ended ({ending['state']}); that is not written yet: the registry takes nothing")
                await asyncio.sleep(wait_s)
                wait_s = min(SLOWEST_RETRY_S, wait_s * 2)
        job.state = ending["state"]
        del self._jobs[job.id]
        job.ended.set()
        job.touch()

    async def flush(self) -> None:
        """Write what was said since the last time."""
        for job in list(self._jobs.values()):
            if job.unwritten:
                with wall(log, f"the log of task {job.id}"):
                    await job.write()

    async def cancel(self, number: int) -> Task:
        """Ask a task to stop; it does so between two steps, or aborts a migration."""
        task = await self._store.get(Task, number)
        job = self._jobs.get(number)
        if job is None:
            raise Refused(f"task {number} has ended: {task.state}", hint=f"vmctl task show {number}")
        await self._store.change(Task, number, cancel_asked=True)  # who takes over must know
        job.cancel_asked.set()
        job.say("cancelling was asked for")
        return task

    def live(self, number: int) -> Job | None:
        """The running job of that number."""
        return self._jobs.get(number)

    def jobs(self) -> list[Job]:
        """All jobs that have not ended."""
        return list(self._jobs.values())

    async def follow(self, number: int) -> AsyncIterator[dict[str, Any]]:
        """The task as it goes: its row with live step, log and progress, until it has ended."""
        job = self._jobs.get(number)
        if job is not None:
            with job.watched() as news:
                while not job.ended.is_set():
                    news.clear()
                    task = await self._store.get(Task, number)
                    if job.ended.is_set():
                        break  # it ended meanwhile: the row may be older than the result
                    yield as_json(task, job)
                    await news.wait()
                    with contextlib.suppress(TimeoutError):  # the end is told at once, progress only so often
                        async with asyncio.timeout(FOLLOW_S):
                            await job.ended.wait()
        yield as_json(await self._store.get(Task, number), None)

    async def wait(self, number: int) -> Task:
        """Wait until the task has ended."""
        if (job := self._jobs.get(number)) is not None:
            await job.ended.wait()
        return await self._store.get(Task, number)

    async def close(self) -> None:
        """Stop here; what has not ended stays journalled for the next controller."""
        self._closing = True
        for runner in list(self._running):
            runner.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


def as_json(task: Task, job: Job | None) -> dict[str, Any]:
    """A task for the wire; a running one with its live parts."""
    step, lines, progress = (job.step, job.log, job.progress) if job else (task.step, task.log, {})
    return {
        "id": task.id,
        "kind": task.kind,
        "subject": task.subject,
        "args": task.args,
        "state": str(job.state if job else task.state),
        "step": step,
        "progress": progress,
        "log": lines,
        "result": task.result,
        "error": task.error,
        "who": task.who,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
    }
