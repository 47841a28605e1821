"""A controller that dies: after any write to the registry and any call to a host, at every step in turn."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.act.hosts import FakeHost
from vmctl.commands import catalogue
from vmctl.errors import VmctlError
from vmctl.model.records import Task, TaskState
from vmctl.services import Services
from vmctl.store.sql import SqlStore
from vmctl.tasks import AnyJob, Job

RECORDS = ("add", "change", "insert", "put", "remove", "revise")
TAKES = ("take_image", "take_storage", "take_slot", "add_host", "remove_host")
WRITES = (*RECORDS, *TAKES, "add_vm", "add_image", "add_upload", "finish_upload", "claim", "lease", "end_task")
FILES = ("create_volume", "upload", "delete_volume", "ensure_pool", "drop_pool", "drop_pools_below")
DOMAINS = ("create", "define", "undefine", "destroy", "shutdown", "start", "suspend", "resume", "reset")
MOVES = ("offer", "withdraw", "migrate", "set_autostart")
INTERRUPTED = "interrupted"  # the outcome of a task that no controller goes on with
Handler = Callable[[Services, AnyJob], Awaitable[dict[str, Any]]]


class Died(BaseException):
    """The controller is gone: no handler of ours may catch it."""


class Life:
    """Counts steps, and ends at one of them. Who is dead does nothing more, whatever its handlers want to undo."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        for owner, names in ((SqlStore, WRITES), (FakeHost, (*FILES, *DOMAINS, *MOVES))):
            for name in names:
                monkeypatch.setattr(owner, name, self._mortal(getattr(owner, name)))

    @property
    def dead(self) -> bool:
        """Whether it has ended."""
        return self.left is not None and self.left < 0

    def _mortal(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(real)
        async def call(*args: Any, **more: Any) -> Any:
            if self.dead:
                raise Died
            try:
                return await real(*args, **more)
            finally:
                self._tick()  # whatever it ended with; the same as just before the next step

        return call

    def _tick(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.dead:
                raise Died


async def new_job(services: Services, kind: str, subject: str, **args: Any) -> AnyJob:
    """A task that was just accepted."""
    number = await services.store.add(Task(0, kind, subject, 1.0, args=args, who="me"))
    return await job_again(services, number)


async def job_again(services: Services, number: int) -> AnyJob:
    """A task as the next controller finds it."""
    task = await services.store.get(Task, number)
    return Job(task, catalogue.tasks()[task.kind], services.store)


async def to_its_end(services: Services, handler: Handler, job: AnyJob) -> str:
    """Run a task and write its end, as the task engine does; its outcome: done, or the error's sentence."""
    try:
        await handler(services, job)
    except VmctlError as err:
        await services.store.end_task(job.id, state=TaskState.FAILED, error={"message": err.message})
        return err.message
    await services.store.end_task(job.id, state=TaskState.DONE)
    return "done"


async def taken_over(services: Services, handler: Handler, number: int) -> str:
    """What the next controller makes of a task that had begun, as the task engine does; its outcome."""
    job = await job_again(services, number)
    if job.task.state.ended:
        return str(job.task.error.get("message", "done"))
    if job.command.resumes:
        return await to_its_end(services, handler, job)
    await services.store.end_task(number, state=TaskState.FAILED, error={"message": INTERRUPTED})
    return INTERRUPTED


async def deaths(
    life: Life,
    services: Services,
    handler: Handler,
    begin: Callable[[], Awaitable[AnyJob]],
    *,
    first: int = 0,
    every: int = 1,
) -> AsyncIterator[tuple[int, str]]:
    """Let the controller die at step `first` and each `every`th one of a task after it, and the next one finish it.

    `begin` makes everything ready and gives the task. Yields (step, outcome); ends when a task comes to its end alive.
    """
    for step in range(first, 200, every):
        job = await begin()
        life.left = step
        try:
            await to_its_end(services, handler, job)
        except Died:
            life.left = None
        else:
            life.left = None
            return
        yield step, await taken_over(services, handler, job.id)
    raise AssertionError("it never comes to its end")
