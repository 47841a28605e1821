"""What of a command goes into the audit: never a secret."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vmctl.model.audit import Entry
from vmctl.model.records import Task
from vmctl.model.rights import Principal, Thing

SECRET = ("password", "token")  # arguments of which only is said that they were given
HIDDEN = "***"
LONG = ("stdin", "files")  # arguments of which only is said how long they are


def entry_of(task: Task, outcome: str, who: Principal | None = None) -> Entry:
    """What is told of a task."""
    number = task.id or None
    return Entry(
        task.created_at,
        task.who,
        task.kind,
        task.subject,
        outcome,
        uuid=task.vm,
        where=who.where if who is not None else "",
        token=who.token if who is not None else "",
        task=number,
        detail=told(task.args),
    )


def entry(
    at: float, who: Principal, what: str, about: str, thing: Thing, outcome: str, detail: dict[str, Any]
) -> Entry:
    """What is told of a command that is no task, or of one that was refused."""
    return Entry(at, who.name, what, about, outcome, thing.vm, who.where, who.token, detail=told(detail))


def asked(command: Any) -> dict[str, Any]:
    """What was asked for, in plain values."""
    return told(asdict(command))


def told(values: dict[str, Any]) -> dict[str, Any]:
    """The same, but for secrets and for what was not given."""
    # A zero was given: a project that may have nothing is not one that may have anything.
    given = {key: value for key, value in values.items() if not (value in ("", None, [], {}) or value is False)}
    return {key: HIDDEN if key in SECRET else value for key, value in short(given).items()}


def short(values: dict[str, Any]) -> dict[str, Any]:
    """The same with the lengths of what is long."""
    return {key: f"{len(value)} characters" if key in LONG and value else value for key, value in values.items()}
