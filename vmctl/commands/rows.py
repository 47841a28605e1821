"""What a row of the catalogue says of a command or a query. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from typing import Any

from vmctl.commands.fields import Names, Needs, default_of, mark
from vmctl.errors import NotAllowed
from vmctl.model.rights import EVERYTHING, Permission, Principal, Thing

May = Permission


class On(Enum):
    """On what somebody must have the permission that a row needs."""

    CLUSTER = "all"  # on everything
    VM = "its VM"  # that the arguments name
    IMAGE = "its image"  # that the arguments name
    UPLOAD = "its upload"  # that the arguments name
    PROJECT = "its project"  # that the arguments name
    TASK = "its task"  # that the arguments name; one's own needs none
    MACHINE = "its machine"  # a VM that the arguments name; where it is a host or none: on everything
    SELF = "oneself"  # the user that the arguments name; another one: on everything
    SIGHT = "what is shown"  # the answer holds only what one may see
    NOBODY = "nothing"  # anybody may who is known


@dataclass(frozen=True, slots=True)
class Asked:
    """What commands and queries have in common.

    `way` is the route: a method, and a path in which {argument} stands for an argument. Empty: no client can ask.
    """

    arguments: type[Any]
    way: str
    needs: Permission
    on: On = field(default=On.CLUSTER, kw_only=True)

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

    @property
    def where(self) -> On:
        """What the permission must be on: the VM, where the arguments name one and the row says nothing else."""
        return _where(self.arguments, self.on)  # type: ignore[arg-type]  # a class is hashable

    @property
    def self_argument(self) -> str:
        """The argument that names the user whom it is about."""
        return "user" if "user" in (one.name for one in fields(self.arguments)) else "name"

    @property
    def on_cluster(self) -> bool:
        """Whether it needs its permission on everything, whatever it names."""
        return self.where is On.CLUSTER

    def check_permission(self, who: Principal, asked: Any, thing: Thing, name: str = "") -> None:
        """Raises NotAllowed where `who` may not ask for this, or not with these arguments; `name`: of its VM."""
        wanted = [] if self.where in (On.SIGHT, On.NOBODY) else [self.needs]
        for one in fields(self.arguments):
            given = getattr(asked, one.name) != default_of(one)
            if given and (more := mark(self.arguments, one.name, Needs)) is not None:
                wanted.append(more.permission)
        if missing := [permission for permission in wanted if not who.may(permission, thing)]:
            there = thing.scopes[-1]
            if thing.vm and name:  # nobody knows a VM by its UUID
                there = f"vm:{name}"
            where = "everything" if there == EVERYTHING else there.replace("vm:", "VM ").replace("project:", "project ")
            text = f"{who.name} has no permission {', '.join(missing)} on {where}"
            raise NotAllowed(text, hint=_ask(who, missing[0], there))


@cache  # asked at each request, and reading hints takes long
def _where(arguments: type[Any], on: On) -> On:
    names_vm = any(mark(arguments, one.name, Names) == Names("VM") for one in fields(arguments))
    return On.VM if on is On.CLUSTER and names_vm else on


def _ask(who: Principal, permission: Permission, there: str) -> str:
    return f"vmctl can {who.name} {permission} --on {there}" if who.rights else ""


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
    quiet: bool = False  # done many times for one thing, whose begin and end are audited: this is not
    restarts_guest: bool = False  # nothing has been heard of its VM's guest after that
    on_hosts: bool = False  # it is done at once, and not in the registry alone
    edits: bool = False  # something that has a version: who edits may say which one he saw


@dataclass(frozen=True, slots=True)
class Query(Asked):
    """Something that is only looked at.

    `pages`: its answer comes page by page, the next one `after` the last; `live`: it can be looked at in a feed.
    `by_any`: while no controller leads, any other one answers it, from the registry and what watchers told.
    """

    pages: bool = False
    live: bool = False
    by_any: bool = False


def task(kind: str, arguments: type[Any], way: str, needs: Permission, **more: Any) -> Command:
    """A command that is a task."""
    return Command(arguments, way, needs, kind, task=True, **more)
