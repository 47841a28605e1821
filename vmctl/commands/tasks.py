"""Arguments: tasks and events."""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.commands.fields import Most, Number
from vmctl.commands.rows import Asked, Command, On, Query
from vmctl.model.rights import Permission as May


@dataclass(frozen=True, slots=True)
class CancelTask:
    """Ask a task to stop; it does so between two steps, or aborts a migration."""

    number: Number


# -- queries


@dataclass(frozen=True, slots=True)
class ListTasks:
    """The newest tasks, oldest first."""

    most: Most = 50


@dataclass(frozen=True, slots=True)
class ShowTask:
    """One task; one about hosts with the doctor's report."""

    number: Number


@dataclass(frozen=True, slots=True)
class FollowTask:
    """A task as JSON lines, until it has ended."""

    number: Number


@dataclass(frozen=True, slots=True)
class ListEvents:
    """The next events after a number, oldest first; after 0 the newest ones."""

    after: Number = 0
    most: Most = 100


# fmt: off
ROWS: tuple[Asked, ...] = (
    Command(CancelTask, "POST tasks/{number}/cancel", May.CANCEL, "task cancel", on=On.TASK),
    Query(ListTasks, "GET tasks", May.LOOK, on=On.SIGHT, live=True, by_any=True),
    Query(ShowTask, "GET tasks/{number}", May.LOOK, on=On.TASK, live=True, by_any=True),
    Query(FollowTask, "GET tasks/{number}/follow", May.LOOK, on=On.TASK),
    Query(ListEvents, "GET events", May.LOOK, on=On.SIGHT, by_any=True),
)
# fmt: on
