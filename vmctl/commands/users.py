"""Arguments: who there is, and who may do what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Le, MaxLen, MinLen

from vmctl import text
from vmctl.commands.fields import VM, Help, MaybeName, Most, Name, Number, Part, Rule, Seconds, Text
from vmctl.commands.rows import Asked, Command, On, Query
from vmctl.model.rights import Permission as May

SHORTEST = 8  # password, in characters
YEAR_S = 366 * 86400.0
Password = Annotated[str, MinLen(SHORTEST), MaxLen(1024), Help("Read from the terminal where it is not given.")]
Who = Annotated[str, Rule(text.bad_part), Help("A user; group:NAME for a group.")]
Scope = Annotated[str, Rule(text.bad_part), Help("all, project:NAME or vm:NAME.")]
Users = Annotated[list[Name], MaxLen(1000)]


@dataclass(frozen=True, slots=True)
class AddUser:
    """Let somebody in. Without a password only tokens do that."""

    name: Name
    password: Annotated[str, MaxLen(1024)] = ""

    def problem(self) -> str | None:
        """What cannot be."""
        return f"a password has at least {SHORTEST} characters" if 0 < len(self.password) < SHORTEST else None


@dataclass(frozen=True, slots=True)
class SetPassword:
    """Give a user another password; his open log-ins end."""

    name: Name
    password: Password


@dataclass(frozen=True, slots=True)
class DisableUser:
    """Let a user in no more, until he is enabled again; what he has open ends."""

    name: Name
    enable: bool = False


@dataclass(frozen=True, slots=True)
class MapUser:
    """Say by which log-ins of hosts a user's jobs run, as LOGIN@HOSTS; the first that fits a host counts."""

    name: Name
    logins: Annotated[list[Annotated[str, Rule(text.bad_login)]], MaxLen(100)] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RemoveUser:
    """Forget a user with his grants and tokens; his VMs stay."""

    name: Name


@dataclass(frozen=True, slots=True)
class AddGroup:
    """Make a group of users."""

    name: Name
    members: Users = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SetMembers:
    """Say who is in a group."""

    name: Name
    add: Users = field(default_factory=list)
    remove: Users = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RemoveGroup:
    """Forget a group with its grants."""

    name: Name


@dataclass(frozen=True, slots=True)
class AddProject:
    """Make a project, to which VMs and images may belong."""

    name: Name
    about: Text = ""


@dataclass(frozen=True, slots=True)
class RemoveProject:
    """Forget a project that nothing belongs to, with the grants on it."""

    name: Name


@dataclass(frozen=True, slots=True)
class MoveToProject:
    """Let a VM belong to another project."""

    vm: VM
    project: Name


@dataclass(frozen=True, slots=True)
class AddRole:
    """Name permissions that are granted together."""

    name: Name
    permissions: Annotated[list[str], MinLen(1), MaxLen(64)]


@dataclass(frozen=True, slots=True)
class RemoveRole:
    """Forget a role that nobody has."""

    name: Name


@dataclass(frozen=True, slots=True)
class GrantRole:
    """Give a user or a group a role on everything, a project or a VM."""

    who: Who
    role: Name
    on: Scope

    @property
    def subject(self) -> str:
        """What it is about."""
        return f"{self.who} {self.role} on {self.on}"


@dataclass(frozen=True, slots=True)
class RevokeRole(GrantRole):
    """Take back what was granted."""


@dataclass(frozen=True, slots=True)
class CreateToken:
    """Make a token, which stands for its owner; its secret is shown once.

    `user`: its owner, where that is somebody else; `role` and `on`: what it may do at most.
    """

    about: Text = ""
    user: MaybeName = ""
    expires_s: Annotated[float, Ge(60), Le(10 * YEAR_S)] = 90 * 86400.0
    role: MaybeName = ""
    on: Annotated[str, MaxLen(255)] = ""

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.user


@dataclass(frozen=True, slots=True)
class RevokeToken:
    """End a token; what is open by it ends, too."""

    id: Part

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.id


@dataclass(frozen=True, slots=True)
class LogIn:
    """Get a token by a password."""

    user: Name
    password: Annotated[str, MaxLen(1024)]
    expires_s: Annotated[float, Ge(60), Le(YEAR_S)] = 12 * 3600.0


# -- queries


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """Who asks, and what he was granted."""


@dataclass(frozen=True, slots=True)
class ListUsers:
    """All users."""


@dataclass(frozen=True, slots=True)
class ListGroups:
    """All groups."""


@dataclass(frozen=True, slots=True)
class ListProjects:
    """The projects of which one may see something."""


@dataclass(frozen=True, slots=True)
class ListRoles:
    """All roles, and what they let somebody do."""


@dataclass(frozen=True, slots=True)
class ListGrants:
    """What was granted, to whom."""


@dataclass(frozen=True, slots=True)
class ListTokens:
    """One's own tokens; everybody's, where one may."""


@dataclass(frozen=True, slots=True)
class Can:
    """Whether a user may do something, and why."""

    user: Name
    permission: Part
    on: Scope = "all"


@dataclass(frozen=True, slots=True)
class ListAudit:
    """What was asked for and what became of it: the newest entries, oldest first.

    `whole`: the next ones after a number, whatever they are.
    """

    after: Number = 0
    most: Most = 100
    who: Text = ""
    what: Text = ""
    since: Seconds = 0.0
    whole: bool = False


@dataclass(frozen=True, slots=True)
class VerifyAudit:
    """Whether the audit is what it was when it was written; `head`: one that was written down earlier."""

    head: Annotated[str, MaxLen(100)] = ""


# fmt: off
ROWS: tuple[Asked, ...] = (
    Command(AddUser, "POST users", May.USERS, "user add"),
    Command(SetPassword, "PUT users/{name}/password", May.USERS, "user passwd", on=On.SELF),
    Command(DisableUser, "PUT users/{name}/disabled", May.USERS, "user disable"),
    Command(MapUser, "PUT users/{name}/logins", May.HOSTS, "user map"),
    Command(RemoveUser, "DELETE users/{name}", May.USERS, "user remove"),
    Command(AddGroup, "POST groups", May.USERS, "group add"),
    Command(SetMembers, "PUT groups/{name}/members", May.USERS, "group members", edits=True),
    Command(RemoveGroup, "DELETE groups/{name}", May.USERS, "group remove"),
    Command(AddProject, "POST projects", May.PROJECTS, "project create"),
    Command(RemoveProject, "DELETE projects/{name}", May.PROJECTS, "project remove"),
    Command(MoveToProject, "PUT vms/{vm}/project", May.PROJECTS, "project move", edits=True),
    Command(AddRole, "POST roles", May.USERS, "role create"),
    Command(RemoveRole, "DELETE roles/{name}", May.USERS, "role remove"),
    Command(GrantRole, "POST grants", May.USERS, "grant"),
    Command(RevokeRole, "POST grants/revoke", May.USERS, "revoke"),
    Command(CreateToken, "POST tokens", May.USERS, "token create", on=On.NOBODY),
    Command(RevokeToken, "DELETE tokens/{id}", May.USERS, "token revoke", on=On.NOBODY),
    Query(WhoAmI, "GET whoami", May.LOOK, on=On.NOBODY, live=True, by_any=True),
    Query(ListUsers, "GET users", May.USERS, by_any=True),
    Query(ListGroups, "GET groups", May.USERS, by_any=True),
    Query(ListProjects, "GET projects", May.LOOK, on=On.SIGHT, by_any=True),
    Query(ListRoles, "GET roles", May.LOOK, on=On.NOBODY, by_any=True),
    Query(ListGrants, "GET grants", May.USERS, by_any=True),
    Query(ListTokens, "GET tokens", May.USERS, on=On.NOBODY, by_any=True),
    Query(ListAudit, "GET audit", May.AUDIT, by_any=True),
    Query(VerifyAudit, "GET audit/verify", May.AUDIT, by_any=True),
    Query(Can, "GET can/{user}/{permission}", May.USERS, on=On.SELF, by_any=True),
)
# fmt: on
