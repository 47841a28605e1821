"""What the registry's own rules say of users, groups, projects and grants: pure functions of what stands in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

from vmctl.errors import Refused
from vmctl.model.access import Access, Failures, Grant, Group, Limit, Project, Role, Token, User
from vmctl.model.records import Image, VMRecord
from vmctl.model.rights import EVERYTHING
from vmctl.model.uploads import Upload
from vmctl.model.vms import DEFAULT_PROJECT
from vmctl.store.rules import missing

FAILURES_S = 60.0
# In that time. Of a user many, as anybody may fail in his name: that must not lock him out.
MOST_FAILURES = {"from": 5, "user": 50}
DEFAULT = Project(DEFAULT_PROJECT, 0.0, "what belongs to no other")


def access_of(read: Callable[[type[Any]], Iterable[Any]]) -> Access:
    """All of it by name; `read` gives all records of a kind."""
    return Access(
        {one.name: one for one in read(User)},
        {one.name: one for one in read(Group)},
        {one.name: one for one in (DEFAULT, *read(Project))},
        {one.name: one for one in read(Role)},
        tuple(read(Grant)),
        {one.id: one for one in read(Token)},
        {one.of: one for one in read(Limit)},
    )


def one_more(kept: Failures | None, of: str, now: float) -> Failures:
    """A failure more; those of an earlier time are forgotten."""
    if kept is None or not 0 <= now - kept.since < FAILURES_S:
        kept = Failures(of, now)
    return replace(kept, count=kept.count + 1)


def wait_s(kept: Iterable[Failures], now: float) -> float:
    """For how long nobody of these may log in."""
    over = [
        one.since + FAILURES_S - now
        for one in kept
        if one.count >= MOST_FAILURES[one.of.partition("/")[0]] and now >= one.since
    ]
    return max([0.0, *over])


def check_grant(grant: Grant, access: Access, built_in: Collection[str], vms: Collection[str]) -> None:
    """Raises NotFound for what it names and is not there, Refused where it is kept already."""
    kind, _, name = grant.who.partition(":")
    if name not in (access.users if kind == "user" else access.groups):
        raise missing(kind, name)
    if grant.role not in access.roles and grant.role not in built_in:
        raise missing("role", grant.role)
    kind, _, name = grant.scope.partition(":")
    if kind == "project" and name not in access.projects:
        raise missing("project", name)
    if kind == "vm" and name not in vms:
        raise missing("VM", name)
    same = (grant.who, grant.role, grant.scope)
    if any((one.who, one.role, one.scope) == same for one in access.grants):
        raise Refused(f"{grant.who} has role {grant.role} on {grant.scope} already")


def check_empty_project(name: str, vms: Iterable[VMRecord], images: Iterable[Image], uploads: Iterable[Upload]) -> None:
    """Raises Refused, which names what belongs to it."""
    there = [vm.name for vm in vms if vm.project == name]
    there += [f"image {image.name}" for image in images if image.project == name]
    if not there and (sent := [upload.id for upload in uploads if upload.project == name]):
        hint = f"vmctl image drop {sent[0]}"
        raise Refused(f"uploads {', '.join(sent[:5])} belong to project {name}", hint=hint)
    if there:
        raise Refused(f"{', '.join(there[:5])} belong to project {name}", hint=f"vmctl project move {there[0]} default")


def check_role_unused(name: str, access: Access) -> None:
    """Raises Refused, which names who has it."""
    users = [grant.who for grant in access.grants if grant.role == name]
    users += [f"token {token.id}" for token in access.tokens.values() if token.role == name]
    if users:
        raise Refused(f"{', '.join(users[:5])} have role {name}", hint=f"vmctl revoke {users[0]} {name} --on ...")


def goes_with(grant: Grant, *, who: str = "", scope: str = "") -> bool:
    """Whether a grant goes with who had it, or with what it was on."""
    return (who != "" and grant.who == who) or (scope not in ("", EVERYTHING) and grant.scope == scope)
