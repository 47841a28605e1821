"""Who there is, what belongs together, and who was given what, as plain values. Pure. Times are UTC seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in. `password`: its argon2id hash; empty: only tokens let him in."""

    name: str
    created_at: float
    password: str = ""
    disabled: bool = False
    logins: list[str] = field(default_factory=list)  # on hosts, as LOGIN@HOSTS: the first that fits a host counts


@dataclass(frozen=True, slots=True)
class Group:
    """Users who are granted the same."""

    name: str
    created_at: float
    members: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Project:
    """VMs and images that belong together; each belongs to exactly one."""

    name: str
    created_at: float
    about: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """Permissions that are granted together."""

    name: str
    created_at: float
    permissions: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that somebody has: `who` is user:NAME or group:NAME, `scope` what it is on, as rights have it."""

    who: str
    role: str
    scope: str
    at: float
    by: str = ""
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """What stands for its owner in a request: `id` is shown, of the secret only `hash` (SHA-256, hex) is kept.

    `role` and `scope`: what it may do at most; empty: all that its owner may.
    """

    id: str
    user: str
    hash: str
    created_at: float
    expires_at: float
    about: str = ""
    role: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Failures:
    """Log-ins that failed, of a user or from an address, since a time."""

    of: str
    since: float
    count: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a user or a project may have: `of` is user:NAME or project:NAME. None: as much as there is."""

    of: str
    vms: int | None = None
    vcpus: int | None = None
    mem_mib: int | None = None
    disk_bytes: int | None = None
    commands: int | None = None  # that have not ended
    requests_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """What a user or a project has of all that is limited, promised or made.

    `unmeasured`: of so many of its VMs the size of the disks is not known, and not in `disk_bytes`.
    """

    vms: int = 0
    vcpus: int = 0
    mem_mib: int = 0
    disk_bytes: int = 0
    commands: int = 0
    unmeasured: int = 0


@dataclass(frozen=True, slots=True)
class Access:
    """All of it at one moment, by name; tokens by their ids."""

    users: Mapping[str, User] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    projects: Mapping[str, Project] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    tokens: Mapping[str, Token] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)  # by whom they are of


def user(name: str) -> str:
    """Who a grant is for that is for a user."""
    return f"user:{name}"


def group(name: str) -> str:
    """Who a grant is for that is for a group."""
    return f"group:{name}"


def login_on(logins: Iterable[str], host: str) -> str:
    """The log-in that counts on a host; empty: there is none."""
    split = (one.partition("@") for one in logins)
    return next((name for name, _, hosts in split if fnmatchcase(host, hosts)), "")
