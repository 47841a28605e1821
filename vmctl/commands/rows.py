"""What a row of the catalogue says of a command or a query. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from vmctl.commands.fields import Needs, default_of, mark
from vmctl.commands.permissions import Permission, Principal
from vmctl.errors import NotAllowed

May = Permission


@dataclass(frozen=True, slots=True)
class Asked:
    """What commands and queries have in common.

    `way` is the route: a method, and a path in which {argument} stands for an argument. Empty: no client can ask.
    """

    arguments: type[Any]
    way: str
    needs: Permission

    @property
    def method(self) -> str:
        """GET, POST, PUT or DELETE."""
        return self.way.partition(" ")[0]

    @property
    def path(self) -> str:
        """The route's path below /api/v1/."""
        return self.way.partition(" ")[2]

    @property
    def summary(self) -> str:
        """The first sentence of what it is."""
        return (self.arguments.__doc__ or "").partition("\n")[0]

    def check_permission(self, who: Principal, asked: Any) -> None:
        """Raises NotAllowed where `who` may not ask for this, or not with these arguments."""
        wanted = [self.needs]
        for field in fields(self.arguments):
            given = getattr(asked, field.name) != default_of(field)
            if given and (more := mark(self.arguments, field.name, Needs)) is not None:
                wanted.append(more.permission)
        if missing := [permission for permission in wanted if permission not in who.may]:
            raise NotAllowed(f"{who.name} has no permission {', '.join(missing)}")


@dataclass(frozen=True, slots=True)
class Command(Asked):
    """Something that changes something.

    `kind` names it in tasks, events and on the command line. One that is a `task` is accepted at once and followed;
    any other is done when the answer comes.
    """

    kind: str
    task: bool = False
    # Whoever takes it over finds in the journal what happened, or does no harm by doing it again. If not, a task that
    # a controller left open is reported as interrupted.
    resumes: bool = False
    meanwhile: str = ""  # it holds its VM, whose silence means nothing: what is said of that VM
    restarts_guest: bool = False  # nothing has been heard of its VM's guest after that


@dataclass(frozen=True, slots=True)
class Query(Asked):
    """Something that is only looked at."""


def task(kind: str, arguments: type[Any], way: str, needs: Permission, **more: Any) -> Command:
    """A command that is a task."""
    return Command(arguments, way, needs, kind, task=True, **more)
