"""What is answered about users, what they may do and have, and what they did. Times are UTC seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmctl.model.access import Grant as Grant
from vmctl.model.access import Limit, Use
from vmctl.model.access import Project as Project


@dataclass(frozen=True, slots=True)
class Limited:
    """How much a user or a project may have, and has."""

    of: str
    limit: Limit
    used: Use
    version: str


@dataclass(frozen=True, slots=True)
class Named:
    """The name of what it was about."""

    name: str


@dataclass(frozen=True, slots=True)
class GroupMembers:
    """Who is in a group now."""

    name: str
    members: list[str]
    version: str


@dataclass(frozen=True, slots=True)
class UserGroup:
    """A group of users."""

    name: str
    created_at: float
    members: list[str]
    version: str


@dataclass(frozen=True, slots=True)
class Granted:
    """Who has what role on what."""

    who: str
    role: str
    on: str


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token, and the text that stands for it: shown this once, and kept nowhere."""

    id: str
    user: str
    token: str
    expires_at: float
    role: str
    on: str


@dataclass(frozen=True, slots=True)
class RightOf:
    """Permissions on something, and where they come from."""

    on: str
    permissions: list[str]
    how: str


@dataclass(frozen=True, slots=True)
class Me:
    """Who asks, and what he may do; `narrowed`: what his token lets him do at most."""

    name: str
    rights: list[RightOf]
    narrowed: list[RightOf] | None


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in."""

    name: str
    password: bool
    disabled: bool
    groups: list[str]
    created_at: float
    logins: list[str]  # on hosts, as LOGIN@HOSTS


@dataclass(frozen=True, slots=True)
class Role:
    """Permissions that are granted together."""

    name: str
    permissions: list[str]
    built_in: bool


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without its secret."""

    id: str
    user: str
    about: str
    role: str
    on: str
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit, and the hash that binds it to the one before it."""

    id: int
    hash: str
    at: float
    who: str
    what: str
    subject: str
    outcome: str
    uuid: str
    where: str
    token: str
    task: int | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditVerified:
    """Whether the audit is as it was written; `head` is to be written down elsewhere, and given the next time."""

    good: bool
    why: str
    entries: int
    head: str


@dataclass(frozen=True, slots=True)
class May:
    """Whether somebody may do something, and why."""

    user: str
    permission: str
    on: str
    may: bool
    why: str
