"""Accepted commands: journalled before they act, followed while they run, always brought to an end.

A task is a row first and a coroutine second. What a crash must not lose goes through `Job.note` (the journal); what is
only nice to see (a progress bar's numbers) stays in memory. A mutating call is never retried here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict, replace
from typing import Any

from vmctl.commands import catalogue
from vmctl.commands.rows import Command
from vmctl.errors import Cancelled, Refused, RegistryUnusable, Uncertain, VmctlError, error_to_json
from vmctl.local import logcontext
from vmctl.model.audit import Entry
from vmctl.model.records import Given, Task, TaskState
from vmctl.model.rights import CLUSTER, Principal, Thing
from vmctl.ports import SYSTEM, Clock
from vmctl.ports.store import Store
from vmctl.ports.turns import come_last
from vmctl.services.claims import Deposed
from vmctl.services.walls import wall
from vmctl.store.patience import PATIENCE_S, TRY_AGAIN_S
from vmctl.tasks.audit import entry_of, short
from vmctl.tasks.job import AnyJob, Job, TaskNow, now, stored

log = logging.getLogger("vmctl.tasks")
FOLLOW_S = 0.2  # how often a follower hears of progress
ELSEWHERE_S = 1.0  # how often the end of a task that does not run here is looked for
DISOWN_S, DISOWN_EVERY_S = 3600.0, 5.0  # how long it is looked for what was perhaps accepted
TRIES = 3  # of a handler that lost links interrupt
FIRST_RETRY_S, SLOWEST_RETRY_S = 0.2, 5.0  # of writing a task's end

Handler = Callable[[Any], Awaitable[dict[str, Any]]]  # of a Job with its command's arguments and journal


class Tasks:
    """All tasks of this controller. `handlers` maps a command's kind to the coroutine that carries it out."""

    def __init__(
        self, store: Store, commands: Mapping[str, Command] | None = None, clock: Clock = SYSTEM.clock
    ) -> None:
        self._store, self._clock = store, clock
        self.commands = catalogue.tasks() if commands is None else commands
        self.handlers: dict[str, Handler] = {}
        self.on_end: Callable[[Task], None] = lambda _task: None  # once its end is written
        self._kinds = {command.arguments: command.kind for command in self.commands.values()}
        self._held: list[Task] | None = None  # accepted, and left to another controller; None: all is begun here
        self._closing = False
        self._jobs: dict[int, AnyJob] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def submit(
        self,
        arguments: Any,
        who: Principal,
        subject: str,
        thing: Thing = CLUSTER,
        given: Given | None = None,
        *,
        may_wait: bool = False,
    ) -> Task:
        """Accept a command that is about `thing`: its row is committed before this returns.

        Raises OverLimit, and Refused where the key that it was `given` with is kept already.
        """
        kind = self._kinds[type(arguments)]
        args, at = asdict(arguments), self._clock.now()
        task = Task(0, kind, subject, at, args=args, who=who.name, project=thing.project, vm=thing.vm)
        entry = entry_of(task, "accepted", who)
        task = replace(task, id=await self._accept(task, entry, given, limited=bool(who.token)))
        if may_wait and self._held is not None:
            self._held.append(task)
            return task
        self._begin(task, self.commands[kind], self.handlers[kind])
        return task

    def hold(self, on: bool) -> None:
        """Begin nothing more that may wait, as another controller is about to lead.

        Or, where that comes to nothing, begin it now. What a running task gives does not wait: that one would not end.
        """
        if on:
            self._held = [] if self._held is None else self._held
            return
        held, self._held = self._held or [], None
        for task in held:
            self._begin(task, self.commands[task.kind], self.handlers[task.kind])

    async def _accept(self, task: Task, entry: Entry, given: Given | None, *, limited: bool) -> int:
        """Write its row; the number that it has. Raises RegistryUnusable, OverLimit, Refused."""
        try:
            return await self._store.accept(task, entry, given=given, limited=limited)
        except RegistryUnusable:
            # It may be written, and only the answer lost. Who asked is told no: then no start may begin it later.
            number = await self._find(task)
            if number is None:
                if self._store.shared:
                    self._run_beside(self._disown(task), f"{task.kind} {task.subject}, perhaps accepted")
                raise
            return number

    async def _disown(self, task: Task) -> None:
        """End it where it is written after all: a COMMIT that waits for a standby is done when that is back.

        Who asked was told that nobody knows, and has done something else since.
        """
        until = self._clock.monotonic() + DISOWN_S
        while self._clock.monotonic() < until:
            await asyncio.sleep(DISOWN_EVERY_S)
            with wall(log, f"{task.kind} {task.subject}, perhaps accepted"):
                if (number := await self._find(task)) is not None:
                    told = Refused("it was not known whether it was accepted", hint="give the command again")
                    ending = {"state": TaskState.FAILED, "error": error_to_json(told), "ended_at": self._clock.now()}
                    await self._end_unrun(replace(task, id=number), ending)
                    return

    async def _find(self, task: Task) -> int | None:
        """The number of a row that may have been written. Raises RegistryUnusable where nobody knows."""
        made = task.kind, task.subject, task.who, task.created_at
        for one in await self._store.patiently(self._store.open_tasks):
            if (one.kind, one.subject, one.who, one.created_at) == made and one.id not in self._jobs:
                return one.id
        return None

    def resume(self, task: Task) -> None:
        """Go on with a task of a controller that died; the handler finds what happened in the journal.

        One whose handler cannot do that is ended as interrupted, and so is one whose row cannot be read.
        """
        command = self.commands.get(task.kind)
        try:
            if command is not None and (task.state is TaskState.QUEUED or command.resumes):
                self._begin(task, command, self.handlers[task.kind])
                return
            problem: VmctlError = Refused(
                f"the controller ended while it ran, in step {task.step!r}", hint="give the command again"
            )
        except VmctlError as err:
            problem = err
        ending = {"state": TaskState.FAILED, "error": error_to_json(problem), "ended_at": self._clock.now()}
        self._run_beside(self._end_unrun(task, ending), f"the end of task {task.id}")

    def _begin(self, task: Task, command: Command, handler: Handler) -> None:
        job: AnyJob = Job(task, command, self._store, self._clock)
        self._jobs[task.id] = job
        self._run_beside(self._run(job, handler), f"task {task.id}")

    def _run_beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        runner = asyncio.create_task(work, name=name)
        self._running.add(runner)
        runner.add_done_callback(self._running.discard)

    async def _run(self, job: AnyJob, handler: Handler) -> None:
        ending: dict[str, Any]
        come_last(False)  # whoever gave it
        logcontext.add(task=str(job.id), **({"vm": job.task.subject} if job.task.vm else {}))
        try:
            state, at = job.enter(TaskState.RUNNING), job.task.started_at or self._clock.now()
            await self._store.patiently(lambda: self._store.change(Task, job.id, state=state, started_at=at))
            result = await self._handled(job, handler)
            job.claim.check()
            ending = {"state": TaskState.DONE, "result": result}
        except Deposed:
            self._let_go(job)
            return
        except Cancelled as err:
            ending = {"state": TaskState.CANCELLED, "error": error_to_json(err)}
        except RegistryUnusable as err:
            # Where its file is, is for its own machine; a task is shown elsewhere, too.
            log.error("task %s (%s): %s", job.id, job.task.kind, err.message)
            told = RegistryUnusable("the controller's registry took nothing", hint="the controller's log has why")
            ending = {"state": TaskState.FAILED, "error": error_to_json(told)}
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

    async def _handled(self, job: AnyJob, handler: Handler) -> dict[str, Any]:
        """Run the handler. One that was interrupted is run again, as by a successor: it looks at the hosts.

        A lost link interrupts it, and so does a registry that takes nothing once something has been begun.
        """
        interrupted, trouble_since, trouble_at = 0, 0.0, -PATIENCE_S
        while interrupted < TRIES:
            try:
                return await handler(job)
            except RegistryUnusable as err:
                now_s = self._clock.monotonic()
                if now_s - trouble_at >= PATIENCE_S:
                    trouble_since = now_s  # not the same trouble as last time
                trouble_at = now_s
                begun = job.command.resumes and stored(job.journal)
                if not begun or now_s - trouble_since > PATIENCE_S:
                    raise
                log.warning("task %s waits for the registry in step %r: %s", job.id, job.step, err.message)
                await asyncio.sleep(TRY_AGAIN_S)
            except asyncio.CancelledError:
                interrupted += 1
                task = asyncio.current_task()
                if self._closing or (task is not None and task.cancelling()):
                    raise
                log.warning("task %s was interrupted in step %r by a link that was lost", job.id, job.step)
                if not job.command.resumes:
                    break
        text = f"the link to a host was lost in step {job.step!r}: whether it was done is not known"
        raise Uncertain(text, hint=f"vmctl task show {job.id}")

    async def _end(self, job: AnyJob, ending: dict[str, Any]) -> None:
        """Write its end, and let go of it."""

        def later() -> None:
            job.show(text=f"it has ended ({ending['state']}); that is not written yet: the registry takes nothing")

        ending |= {"log": list(job.log), "step": job.step, "ended_at": self._clock.now()}
        if (args := short(job.task.args)) != job.task.args:  # nobody needs it any more
            ending["args"] = args
        await self._write_end(job.task, later, **ending)
        job.enter(ending["state"])
        self._let_go(job)
        self.on_end(replace(job.task, **ending))

    async def _end_unrun(self, task: Task, ending: dict[str, Any]) -> None:
        """Write the end of a task that does not run here."""
        await self._write_end(task, lambda: None, **ending)
        self.on_end(replace(task, **ending))

    def _let_go(self, job: AnyJob) -> None:
        """It has ended, or goes on elsewhere."""
        if job.claim.lost:
            log.warning("task %s goes on elsewhere; here it was in step %r", job.id, job.step)
        del self._jobs[job.id]
        job.ended.set()
        job.touch()

    async def _write_end(self, task: Task, later: Callable[[], None], **ending: Any) -> None:
        """Write an end, again and again until it is written: a full disk must not leave a task open for ever."""
        wait_s, number = FIRST_RETRY_S, task.id
        entry = replace(entry_of(task, str(ending["state"])), at=self._clock.now(), detail=ending.get("error") or {})
        while True:
            try:
                await self._store.end_task(number, entry=entry, **ending)
                return
            except Exception as err:
                # Whatever the registry's trouble is, the work itself has ended.
                log.error("the end of task %s is not written yet: %s", number, err)
                later()
                await asyncio.sleep(wait_s)
                wait_s = min(SLOWEST_RETRY_S, wait_s * 2)

    async def flush(self) -> None:
        """Write what was said since the last time."""
        for job in list(self._jobs.values()):
            if job.unwritten:
                with wall(log, f"the log of task {job.id}"):
                    await job.write()

    async def cancel(self, number: int, who: Principal) -> Task:
        """Ask a task to stop; it does so between two steps, or aborts a migration."""
        task = await self._store.get(Task, number)
        job = self._jobs.get(number)
        if job is None and not task.state.ended:
            raise Refused(f"task {number} is on its way to another controller", hint="try again in some seconds")
        if job is None:
            raise Refused(f"task {number} has ended: {task.state}", hint=f"vmctl task show {number}")
        await self._store.change(Task, number, cancel_asked=True)  # who takes over must know
        job.cancel_asked.set()
        job.say(f"{who.name} asked to cancel it")
        return task

    def live(self, number: int) -> AnyJob | None:
        """The running job of that number."""
        return self._jobs.get(number)

    def jobs(self) -> list[AnyJob]:
        """All jobs that have not ended."""
        return list(self._jobs.values())

    async def follow(self, number: int) -> AsyncIterator[TaskNow]:
        """The task as it goes, until it has ended."""
        job = self._jobs.get(number)
        if job is not None:
            with job.watched() as news:
                while not job.ended.is_set():
                    news.clear()
                    task = await self._store.get(Task, number)
                    if job.ended.is_set():
                        break  # it ended meanwhile: the row may be older than the result
                    yield now(task, job)
                    await news.wait()
                    with contextlib.suppress(TimeoutError):  # the end is told at once, progress only so often
                        async with asyncio.timeout(FOLLOW_S):
                            await job.ended.wait()
        # It does not run here (any more): it goes on elsewhere, or its end is not written yet. A stream that ended now
        # would be taken for lost by who follows it; one that breaks with this controller is gone on with elsewhere.
        task = await self._store.get(Task, number)
        while not task.state.ended:
            await asyncio.sleep(ELSEWHERE_S)
            task = await self._store.get(Task, number)
        yield now(task, None)

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
