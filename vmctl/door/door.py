"""The door: permission, then the things that are named, then whoever answers.

Everything that a client wants passes here, whichever way it came; nothing else decides who may do what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, get_type_hints

from vmctl.commands import catalogue
from vmctl.commands.fields import Names, mark
from vmctl.commands.permissions import Permission, Principal
from vmctl.commands.rows import Asked, Command
from vmctl.door import handlers
from vmctl.door.console import Consoles, End, Wire
from vmctl.door.parts import ControllerParts
from vmctl.errors import NotAllowed, Usage
from vmctl.model.records import HostRecord, Image, Storage
from vmctl.tasks import TaskNow, now

KINDS: Mapping[str, type[Any]] = {"host": HostRecord, "storage": Storage, "image": Image}


class Door:
    """`ask` takes commands and queries alike: frozen values of the classes in `vmctl.commands`."""

    def __init__(self, parts: ControllerParts, rows: Iterable[Asked] | None = None) -> None:
        self.rows = catalogue.ROWS if rows is None else tuple(rows)
        self._by_arguments = {row.arguments: row for row in self.rows}
        self._parts = parts
        self._consoles = Consoles(parts.services)

    async def ask(self, asked: Any, who: Principal) -> Any:
        """Answer a query, do a command, or accept one that is a task. Raises NotAllowed before anything else."""
        row = self._by_arguments[type(asked)]
        row.check_permission(who, asked)
        if (problem := _problem(asked)) is not None:
            raise Usage(problem)
        asked, subject = await self._resolved(asked)
        if not isinstance(row, Command):
            return await handlers.QUERIES[row.arguments](self._parts, asked)
        if (check := handlers.CHECKS.get(row.arguments)) is not None:
            await check(self._parts, asked, who)
        if not row.task:
            return await handlers.AT_ONCE[row.arguments](self._parts, asked, who)
        task = await self._parts.tasks.submit(asked, who, subject)
        return now(task, self._parts.tasks.live(task.id))

    async def console(self, name: str, who: Principal, label: str, wire: Wire, *, force: bool) -> tuple[End, str]:
        """A VM's serial console, until either side ends it; `label` is what other users are told of this one."""
        if Permission.CONSOLE not in who.may:
            raise NotAllowed(f"{who.name} has no permission {Permission.CONSOLE}")
        return await self._consoles.open(name, label, wire, force=force)

    def trouble(self) -> str:
        """Why what is shown may be older than what was done, in words; empty: it is not."""
        return self._parts.services.store.trouble

    async def _resolved(self, asked: Any) -> tuple[Any, str]:
        """The same with each VM as its UUID, and the name of what it is about. Raises NotFound."""
        subject = str(getattr(asked, "subject", "") or getattr(asked, "name", ""))
        for field in fields(asked):
            named = mark(type(asked), field.name, Names)
            if named is None:
                continue
            if named.what == "VM":
                vm = await self._parts.services.store.vm(getattr(asked, field.name))
                asked, subject = replace(asked, **{field.name: vm.uuid}), vm.name
            else:
                subject = getattr(asked, field.name)
                await self._parts.services.store.get(KINDS[named.what], subject)
        return asked, subject


def _problem(asked: Any) -> str | None:
    """What does not go together in what is asked for."""
    problem: str | None = asked.problem() if hasattr(asked, "problem") else None
    return problem


def answer_type(row: Asked) -> Any:
    """What a row's handler returns."""
    if isinstance(row, Command) and row.task:
        return TaskNow
    handler: Any = {**handlers.QUERIES, **handlers.AT_ONCE}[row.arguments]
    return get_type_hints(handler)["return"]
