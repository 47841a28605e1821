"""What somebody may do, to what, and who asks. Pure.

Denied is what is not granted: a principal has the rights that it lists, and no rule adds any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    """One kind of thing that somebody may be allowed to do."""

    LOOK = "look"  # at hosts, VMs, tasks, events, plans
    CREATE = "vm.create"
    DELETE = "vm.delete"
    POWER = "vm.power"  # start, stop, pause, reset
    MOVE = "vm.move"
    SET = "vm.set"  # what a VM is meant to be: started again, healed
    CONSOLE = "vm.console"
    SIGN = "vm.sign"  # that it runs nowhere, where its host cannot say so: two copies may start on a wrong word
    HOSTS = "hosts"
    STORAGES = "storages"
    IMAGES = "images"
    USE = "image.use"  # make disks from an image, and so read all that is on it
    PLAN = "plan"  # rebalance, drain: moves of whatever VMs
    CANCEL = "task.cancel"
    RUN = "run"  # commands on hosts, by a log-in of one's own there
    SCHEDULES = "schedules"
    USERS = "users"  # users, groups, roles, grants, and other users' tokens
    PROJECTS = "projects"  # and what belongs to which
    AUDIT = "audit"


# A grant on less than everything never gives these: they reach beyond any one project.
ONLY_EVERYWHERE = frozenset(
    (
        *(Permission.SIGN, Permission.HOSTS, Permission.STORAGES, Permission.PLAN, Permission.SCHEDULES),
        *(Permission.USERS, Permission.PROJECTS, Permission.AUDIT),
    )
)
_VIEWER = (Permission.LOOK,)
_OPERATOR = (*_VIEWER, Permission.POWER, Permission.MOVE, Permission.SET, Permission.CONSOLE, Permission.CANCEL)
_CREATOR = (*_OPERATOR, Permission.CREATE, Permission.DELETE, Permission.IMAGES, Permission.USE)
BUILT_IN: Mapping[str, frozenset[Permission]] = {
    "viewer": frozenset(_VIEWER),
    "operator": frozenset(_OPERATOR),
    "creator": frozenset(_CREATOR),
    "runner": frozenset((Permission.RUN,)),
    "image-user": frozenset((Permission.USE,)),  # on a project whose images others may make VMs from
    "admin": frozenset(Permission),
}
EVERYTHING = "all"  # what a right is on that is on everything


def project(name: str) -> str:
    """What a right is on that is on a project."""
    return f"project:{name}"


def vm(uuid: str) -> str:
    """What a right is on that is on one VM."""
    return f"vm:{uuid}"


@dataclass(frozen=True, slots=True)
class Thing:
    """What something is done to: a VM or an image of a project, something new in it; or the cluster as a whole."""

    project: str = ""
    vm: str = ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """What a right may be on that reaches it."""
        narrow = [project(self.project)] if self.project else []
        return (EVERYTHING, *narrow, *([vm(self.vm)] if self.vm else []))


CLUSTER = Thing()


@dataclass(frozen=True, slots=True)
class Right:
    """Some permissions on everything, on one project or on one VM; `how` says where they come from."""

    permissions: frozenset[Permission]
    on: str = EVERYTHING
    how: str = ""

    def covers(self, permission: Permission, thing: Thing) -> bool:
        """Whether it lets somebody do that."""
        if permission not in self.permissions or self.on not in thing.scopes:
            return False
        return self.on == EVERYTHING or permission not in ONLY_EVERYWHERE


@dataclass(frozen=True, slots=True)
class Sight:
    """Of whose tasks, events and VMs somebody may hear: all, or those of some projects, and some VMs."""

    everything: bool = False
    projects: frozenset[str] = frozenset()
    vms: frozenset[str] = frozenset()

    def shows(self, thing: Thing) -> bool:
        """Whether something is to be seen."""
        return self.everything or thing.project in self.projects or (thing.vm != "" and thing.vm in self.vms)


ALL = Sight(everything=True)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name that tasks, decisions and events carry, and what it may do.

    `narrowed`: what a token lets its bearer do at most; None: all that its owner may. `token`: its id, where it asks by
    one; `where`: the address that it asks from; `since`: when he was let in (UTC seconds): what
    was done before that in his name did somebody who is gone.
    """

    name: str
    rights: tuple[Right, ...] = ()
    narrowed: tuple[Right, ...] | None = None
    token: str = ""
    where: str = ""
    since: float = 0.0

    def right(self, permission: Permission, thing: Thing) -> Right | None:
        """A right that lets it do that; None: there is none."""
        if self.narrowed is not None and _first(self.narrowed, permission, thing) is None:
            return None
        return _first(self.rights, permission, thing)

    def may(self, permission: Permission, thing: Thing = CLUSTER) -> bool:
        """Whether it may do that."""
        return self.right(permission, thing) is not None

    @property
    def sight(self) -> Sight:
        """What it may look at."""
        if self.may(Permission.LOOK):
            return ALL
        named = {right.on for right in (*self.rights, *(self.narrowed or ()))}
        return Sight(
            projects=frozenset(p for p in _named("project:", named) if self.may(Permission.LOOK, Thing(p))),
            vms=frozenset(uuid for uuid in _named("vm:", named) if self.may(Permission.LOOK, Thing("", uuid))),
        )


def _first(rights: Iterable[Right], permission: Permission, thing: Thing) -> Right | None:
    return next((right for right in rights if right.covers(permission, thing)), None)


def _named(kind: str, scopes: Iterable[str]) -> Iterable[str]:
    return (scope.removeprefix(kind) for scope in scopes if scope.startswith(kind))


EVERY = (Right(frozenset(Permission), how="everything"),)
# Whoever may open the controller's socket: it is root's, and whoever has it is root on every host.
LOCAL_USER = Principal("local user", EVERY)
# The controller's own initiative, by what gave rise to it; nobody is asked for that, so nothing is granted.
SCHEDULE = Principal("schedule")
HEALTH = Principal("health")
AUTOSTART = Principal("autostart")
LEASE_GUARD = Principal("lease guard")
OWN = frozenset(one.name for one in (SCHEDULE, HEALTH, AUTOSTART, LEASE_GUARD))  # names that no user may have
