"""A running task as its handler sees it: typed arguments, a journal that grows, a log, a bar, the wish to cancel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar, cast

from vmctl.commands.fields import default_of
from vmctl.commands.rows import Command
from vmctl.errors import Cancelled, Unreadable
from vmctl.model.access import Use
from vmctl.model.records import Task, TaskState
from vmctl.model.rights import Principal
from vmctl.model.states import TASK
from vmctl.ports import SYSTEM, Clock
from vmctl.ports.store import Store
from vmctl.services.claims import Claim, handle
from vmctl.store.limit_rules import whose
from vmctl.tasks.audit import short
from vmctl.tasks.journals import JOURNALS, Journal

Arguments_co = TypeVar("Arguments_co", covariant=True)
Journal_co = TypeVar("Journal_co", bound=Journal, covariant=True)
Progress = dict[str, Any]


class Job(Generic[Arguments_co, Journal_co]):
    """A running task. What a crash must not lose goes through `note`, what is only nice to see stays in memory.

    Raises Unreadable when its row, of an earlier or later version, does not say what its command must know.
    """

    def __init__(self, task: Task, command: Command, store: Store, clock: Clock = SYSTEM.clock) -> None:
        self.task = task
        self.id = task.id
        self.command = command
        self._args = cast(Arguments_co, _read(command.arguments, task.args, task))
        self._journal = cast(Journal_co, _read(JOURNALS.get(command.kind, Journal), task.journal, task))
        self.progress: Progress = {}
        self.log: list[Any] = list(task.log)
        self.step = task.step
        self.state = task.state
        self.cancel_asked = asyncio.Event()
        self.ended = asyncio.Event()
        self.unwritten = False  # its log or step is newer than its row
        self._watchers: set[asyncio.Event] = set()
        self.claim = Claim(f"task {task.id}")
        self._store, self._clock = handle(store, self.claim), clock
        if task.cancel_asked:
            self.cancel_asked.set()

    @property
    def args(self) -> Arguments_co:
        """What was asked for."""
        return self._args

    @property
    def journal(self) -> Journal_co:
        """What was noted so far, by this controller or an earlier one."""
        return self._journal

    @property
    def who(self) -> Principal:
        """Who asked for it, for what it does on its own account: nothing more is granted to it."""
        return Principal(self.task.who)

    async def note(self, step: str, **facts: Any) -> None:
        """Journal the step that is about to be taken, and what a successor must know if we die in it."""
        self.step = step
        self.keep(**facts)
        await self.write(journal=stored(self._journal), state=self.state)
        self.touch()

    async def note_within(self, step: str, wanted: Use, **facts: Any) -> None:
        """The same, where more of what is limited is promised by it. Raises OverLimit: then nothing has changed.

        With no facts it is only asked whether it may be.
        """
        of, journal = whose(self.task.who, self.task.project), replace(cast(Any, self._journal), **facts)
        values = {"step": step, "journal": stored(journal), "state": self.state} if facts else {}
        await self._store.patiently(lambda: self._store.promise_to_task(self.id, of, wanted, **values))
        self.step, self._journal = step, journal
        self.touch()

    def keep(self, **facts: Any) -> None:
        """Change the journal in memory; written with the next note."""
        self._journal = replace(cast(Any, self._journal), **facts)

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

    def enter(self, state: TaskState) -> TaskState:
        """Be in that state from now on. Raises VmctlError where it does not follow."""
        TASK.check(self.state, state)
        self.state = state
        return state

    def stage(self, step: str) -> None:
        """Name the step that is taken where a successor need not know: shown, and stored within a second."""
        self.step, self.unwritten = step, True
        self.touch()

    def say(self, sentence: str) -> None:
        """Add a sentence to the task's log; stored within a second, or with the next step or the end."""
        self.log.append([self._clock.now(), sentence])
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


AnyJob = Job[Any, Any]


@dataclass(frozen=True, slots=True)
class TaskNow:
    """A task as it is now: its row, with live step, log and progress where it runs. Times in UTC seconds."""

    id: int
    kind: str
    subject: str
    args: dict[str, Any]
    state: TaskState
    step: str
    progress: Progress
    log: list[Any]  # [time, sentence]
    result: dict[str, Any]
    error: dict[str, Any]
    who: str
    created_at: float
    started_at: float | None
    ended_at: float | None


def now(task: Task, job: Job[Any, Any] | None) -> TaskNow:
    """A task's row together with its job, if it runs here."""
    return TaskNow(
        task.id,
        task.kind,
        task.subject,
        short(task.args),
        job.state if job else task.state,
        job.step if job else task.step,
        job.progress if job else {},
        job.log if job else task.log,
        task.result,
        task.error,
        task.who,
        task.created_at,
        task.started_at,
        task.ended_at,
    )


def stored(journal: Journal) -> dict[str, Any]:
    """A journal as its row keeps it: what no step has written is left out."""
    return {field.name: got for field in fields(journal) if (got := getattr(journal, field.name)) != default_of(field)}


def _read(kind: type[Any], raw: dict[str, Any], task: Task) -> Any:
    """The inverse of `stored`; what this version does not know is left out."""
    known, renamed = {field.name for field in fields(kind)}, getattr(kind, "RENAMED", {})
    now = {renamed.get(key, key): value for key, value in raw.items()}
    try:
        return kind(**{key: value for key, value in now.items() if key in known})
    except TypeError as err:
        raise Unreadable(f"the row of task {task.id} ({task.kind}) cannot be read: {err}") from err
