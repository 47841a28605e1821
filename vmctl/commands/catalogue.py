"""All commands and queries: the rows of each module of arguments. Pure.

A row gives a command its route, its entry in the API's document, its permission, and a command line where it has none
of its own. Who carries it out is in `door/`, what its task must remember in `tasks/journals.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from vmctl.commands import cluster, hosts, jobs, limits, processes, storages, uploads, users, vms
from vmctl.commands import tasks as about_tasks
from vmctl.commands.rows import Asked, Command

ROWS: tuple[Asked, ...] = (
    *vms.ROWS,
    *hosts.ROWS,
    *storages.ROWS,
    *uploads.ROWS,
    *cluster.ROWS,
    *about_tasks.ROWS,
    *processes.ROWS,
    *users.ROWS,
    *limits.ROWS,
    *jobs.ROWS,
)


def commands() -> tuple[Command, ...]:
    """What changes something."""
    return tuple(row for row in ROWS if isinstance(row, Command))


def tasks(rows: Iterable[Asked] | None = None) -> dict[str, Command]:
    """The commands that are tasks, by kind."""
    every = ROWS if rows is None else rows
    return {row.kind: row for row in every if isinstance(row, Command) and row.task}
