"""Commands and queries about users, groups, projects, roles, grants and tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from vmctl.commands import users
from vmctl.decide import access as rules
from vmctl.door import user_answers as answers
from vmctl.door import views
from vmctl.door.parts import ControllerParts
from vmctl.door.things import seen_vm
from vmctl.errors import NotAllowed, NotFound, NotLoggedIn, Refused, TooManyRequests, Usage
from vmctl.model import versions
from vmctl.model.access import Grant, Group, Project, Role, User, group, user
from vmctl.model.audit import Entry
from vmctl.model.records import VMRecord
from vmctl.model.rights import BUILT_IN, CLUSTER, EVERYTHING, OWN, Permission, Principal, Right, Thing, project, vm
from vmctl.model.vms import DEFAULT_PROJECT
from vmctl.store.rules import missing


async def add_user(parts: ControllerParts, asked: users.AddUser, who: Principal) -> answers.Named:
    """Let somebody in."""
    password = await parts.known.hash_password(asked.password) if asked.password else ""
    if asked.name in OWN:  # its tasks would look like the controller's own
        raise Refused(f"{asked.name!r} is what the controller calls itself where nobody asked it")
    await parts.services.store.insert(User(asked.name, parts.services.clock.now(), password))
    return await _told(parts, who, asked.name, f"user {asked.name} was added")


async def set_password(parts: ControllerParts, asked: users.SetPassword, who: Principal) -> answers.Named:
    """Another password; tokens that were got by the old one end."""
    await parts.services.store.get(User, asked.name)
    if asked.name != who.name:
        _refuse_more(who, rules.rights(parts.known.access, asked.name))
    password = await parts.known.hash_password(asked.password)
    await parts.services.store.change(User, asked.name, password=password)
    await parts.services.store.end_tokens(asked.name)
    return await _told(parts, who, asked.name, f"user {asked.name} has another password; tokens of before have ended")


async def disable_user(parts: ControllerParts, asked: users.DisableUser, who: Principal) -> answers.Named:
    """Let him in no more, or again."""
    await parts.services.store.get(User, asked.name)
    await parts.services.store.change(User, asked.name, disabled=not asked.enable)
    return await _told(parts, who, asked.name, f"user {asked.name} was {'enabled' if asked.enable else 'disabled'}")


async def map_user(parts: ControllerParts, asked: users.MapUser, who: Principal) -> answers.Named:
    """By which log-ins his jobs run."""
    await parts.services.store.get(User, asked.name)
    await parts.services.store.change(User, asked.name, logins=asked.logins)
    told = f"runs jobs as {', '.join(asked.logins)}" if asked.logins else "has no log-in on hosts any more"
    return await _told(parts, who, asked.name, f"user {asked.name} {told}")


async def remove_user(parts: ControllerParts, asked: users.RemoveUser, who: Principal) -> answers.Named:
    """Forget him."""
    await parts.services.store.remove_user(asked.name)
    return await _told(parts, who, asked.name, f"user {asked.name} was removed")


async def add_group(parts: ControllerParts, asked: users.AddGroup, who: Principal) -> answers.Named:
    """A new group."""
    _refuse_unknown(parts, asked.members)
    await parts.services.store.insert(Group(asked.name, parts.services.clock.now(), sorted(set(asked.members))))
    return await _told(parts, who, asked.name, f"group {asked.name} was made")


async def set_members(parts: ControllerParts, asked: users.SetMembers, who: Principal) -> answers.GroupMembers:
    """Who is in it."""
    _refuse_unknown(parts, asked.add)
    if asked.add:
        _refuse_more(who, rules.granted(parts.known.access, {group(asked.name)}))

    def changed(kept: Group | None) -> Group:
        if kept is None:
            raise missing("group", asked.name)
        versions.check(parts.expected, kept, f"group {asked.name}")
        return replace(kept, members=sorted({*kept.members, *asked.add} - {*asked.remove}))

    after = await parts.services.store.revise(Group, asked.name, changed)
    await _told(parts, who, asked.name, f"in group {asked.name} are {', '.join(after.members) or 'none'}")
    return answers.GroupMembers(after.name, after.members, versions.version(after))


def _refuse_unknown(parts: ControllerParts, names: Iterable[str]) -> None:
    for name in names:
        if name not in parts.known.access.users:
            raise missing("user", name)


async def remove_group(parts: ControllerParts, asked: users.RemoveGroup, who: Principal) -> answers.Named:
    """Forget it."""
    await parts.services.store.remove_group(asked.name)
    return await _told(parts, who, asked.name, f"group {asked.name} was removed")


async def add_project(parts: ControllerParts, asked: users.AddProject, who: Principal) -> answers.Named:
    """A new project."""
    if asked.name in parts.known.access.projects:
        raise Refused(f"there is already a project {asked.name!r}")
    await parts.services.store.insert(Project(asked.name, parts.services.clock.now(), asked.about))
    return await _told(parts, who, asked.name, f"project {asked.name} was made")


async def remove_project(parts: ControllerParts, asked: users.RemoveProject, who: Principal) -> answers.Named:
    """Forget it, where nothing belongs to it."""
    if asked.name == DEFAULT_PROJECT:
        raise Refused(f"project {asked.name} is there for what belongs to no other")
    await parts.services.store.remove_project(asked.name)
    return await _told(parts, who, asked.name, f"project {asked.name} was removed")


async def move_to_project(parts: ControllerParts, asked: users.MoveToProject, who: Principal) -> answers.Named:
    """Let a VM belong to another project."""
    store = parts.services.store
    found = await store.vm(asked.vm)
    await store.move_vm(found.uuid, asked.project, lambda kept: versions.check(parts.expected, kept, found.name))
    text = f"{found.name} belongs to project {asked.project} now (was {found.project})"
    await store.add(parts.services.event("project", replace(found, project=asked.project), text, who.name))
    return answers.Named(found.name)


async def add_role(parts: ControllerParts, asked: users.AddRole, who: Principal) -> answers.Named:
    """A new role, of no more than whoever makes it may do."""
    given = [_permission(one) for one in asked.permissions]
    if asked.name in BUILT_IN:
        raise Refused(f"there is already a role {asked.name!r}")
    _refuse_wider(who, given, EVERYTHING, CLUSTER)
    await parts.services.store.insert(Role(asked.name, parts.services.clock.now(), sorted(map(str, set(given)))))
    return await _told(parts, who, asked.name, f"role {asked.name} was made: {', '.join(sorted(set(given)))}")


async def remove_role(parts: ControllerParts, asked: users.RemoveRole, who: Principal) -> answers.Named:
    """Forget it, where nobody has it."""
    if asked.name in BUILT_IN:
        raise Refused(f"role {asked.name} belongs to vmctl")
    await parts.services.store.remove_role(asked.name)
    return await _told(parts, who, asked.name, f"role {asked.name} was removed")


async def grant(parts: ControllerParts, asked: users.GrantRole, who: Principal) -> answers.Granted:
    """Give a role, no wider than what the giver has himself."""
    scope, thing = await _scope(parts, who, asked.on)
    _refuse_wider(who, rules.permissions(parts.known.access, asked.role), scope, thing)
    given = Grant(_grantee(asked.who), asked.role, scope, parts.services.clock.now(), who.name)
    await parts.services.store.add_grant(given)
    await _told(parts, who, given.who, f"{given.who} was granted role {given.role} on {asked.on}")
    return answers.Granted(given.who, given.role, given.scope)


async def revoke(parts: ControllerParts, asked: users.RevokeRole, who: Principal) -> answers.Granted:
    """Take it back."""
    scope, _ = await _scope(parts, who, asked.on)
    grantee = _grantee(asked.who)
    await parts.services.store.remove_grant(grantee, asked.role, scope)
    await _told(parts, who, grantee, f"role {asked.role} on {asked.on} was taken back from {grantee}")
    return answers.Granted(grantee, asked.role, scope)


async def create_token(parts: ControllerParts, asked: users.CreateToken, who: Principal) -> answers.NewToken:
    """A token for oneself, or for another user by who may manage users; never wider than its owner and its maker."""
    owner = asked.user or who.name
    if owner not in parts.known.access.users:
        raise (
            missing("user", owner)
            if asked.user
            else NotFound(f"{who.name} is no user, who could have a token", hint="--user NAME; vmctl user list")
        )
    if owner != who.name and not who.may(Permission.USERS):
        raise NotAllowed(f"{who.name} has no permission {Permission.USERS}: this token would be another user's")
    if owner != who.name:
        _refuse_more(who, rules.rights(parts.known.access, owner))
    if who.narrowed is not None:
        raise NotAllowed(f"{who.name} asks by a narrowed token, which makes no others")
    role, scope = asked.role, ""
    if role:
        scope, _ = await _scope(parts, who, asked.on or EVERYTHING)
    elif asked.on:
        raise Usage("a token is narrowed by a role on something, and no role is given", hint="--role viewer --on ...")
    if role and role not in BUILT_IN and role not in parts.known.access.roles:
        raise missing("role", role)
    kept, secret = parts.known.new_token(owner, asked.expires_s, asked.about, role, scope)
    await parts.services.store.add_token(kept)
    await _told(parts, who, kept.id, f"token {kept.id} of {owner} was made")
    return answers.NewToken(kept.id, owner, secret, kept.expires_at, role, scope)


async def revoke_token(parts: ControllerParts, asked: users.RevokeToken, who: Principal) -> answers.Named:
    """End one."""
    kept = parts.known.access.tokens.get(asked.id)
    if kept is None or not (kept.user == who.name or who.may(Permission.USERS)):
        raise missing("token", asked.id)
    if who.narrowed is not None and not who.may(Permission.USERS):
        raise NotAllowed(f"{who.name} asks by a narrowed token, which ends no others")
    await parts.services.store.remove(type(kept), kept.id)
    return await _told(parts, who, kept.id, f"token {kept.id} of {kept.user} was revoked")


async def log_in(parts: ControllerParts, asked: users.LogIn, address: str) -> answers.NewToken:
    """A token for a password. Raises TooManyRequests after some failures, NotLoggedIn."""
    store, now = parts.services.store, parts.services.clock.now()
    of = tuple(f"{kind}/{name}" for kind, name in (("user", asked.user), ("from", address)) if name)
    if wait_s := await store.failures(of, now):
        text = f"too many log-ins of {asked.user}, or from {address or 'here'}, have failed"
        raise TooManyRequests(text, hint=f"try again in {wait_s:.0f} s")
    user = await parts.known.by_password(asked.user, asked.password)
    if user is None:
        await store.count_failure(of, now)
        await store.audit(Entry(now, asked.user, "log in", asked.user, "refused", where=address))
        raise NotLoggedIn("there is no such user, or the password is another one")
    kept, secret = parts.known.new_token(user.name, asked.expires_s, f"log-in from {address or 'here'}", "", "")
    await store.audit(Entry(now, user.name, "log in", user.name, "done", where=address, token=kept.id))
    await store.add_token(kept)
    await _told(parts, Principal(user.name), kept.id, f"{user.name} logged in, from {address or 'here'}")
    return answers.NewToken(kept.id, user.name, secret, kept.expires_at, "", "")


# -- queries


async def whoami(parts: ControllerParts, _asked: users.WhoAmI) -> answers.Me:
    """Who asks."""
    who = parts.who
    return answers.Me(who.name, [_right(one) for one in who.rights], _narrowed(who))


def _narrowed(who: Principal) -> list[answers.RightOf] | None:
    return None if who.narrowed is None else [_right(one) for one in who.narrowed]


def _right(right: Right) -> answers.RightOf:
    return answers.RightOf(right.on, sorted(right.permissions), right.how)


async def list_users(parts: ControllerParts, _asked: users.ListUsers) -> list[answers.User]:
    """All users."""
    access = parts.known.access
    return [
        answers.User(
            one.name,
            bool(one.password),
            one.disabled,
            sorted(each.name for each in access.groups.values() if one.name in each.members),
            one.created_at,
            one.logins,
        )
        for one in access.users.values()
    ]


async def list_groups(parts: ControllerParts, _asked: users.ListGroups) -> list[answers.UserGroup]:
    """All groups."""
    return [
        views.wider(answers.UserGroup, one, version=versions.version(one)) for one in parts.known.access.groups.values()
    ]


async def list_projects(parts: ControllerParts, _asked: users.ListProjects) -> list[answers.Project]:
    """Those of which one may see something."""
    return [one for one in parts.known.access.projects.values() if parts.sight.shows(Thing(one.name))]


async def list_roles(parts: ControllerParts, _asked: users.ListRoles) -> list[answers.Role]:
    """All roles."""
    own = [answers.Role(one.name, sorted(one.permissions), False) for one in parts.known.access.roles.values()]
    return [*(answers.Role(name, sorted(kept), True) for name, kept in BUILT_IN.items()), *own]


async def list_grants(parts: ControllerParts, _asked: users.ListGrants) -> list[answers.Grant]:
    """All grants."""
    return list(parts.known.access.grants)


async def list_tokens(parts: ControllerParts, _asked: users.ListTokens) -> list[answers.Token]:
    """One's own; everybody's, where one may manage users."""
    every = parts.who.may(Permission.USERS)
    return [
        answers.Token(one.id, one.user, one.about, one.role, one.scope, one.created_at, one.expires_at)
        for one in parts.known.access.tokens.values()
        if every or one.user == parts.who.name
    ]


async def can(parts: ControllerParts, asked: users.Can) -> answers.May:
    """Yes or no, and why."""
    if asked.user not in parts.known.access.users:
        raise missing("user", asked.user)
    who = rules.principal(parts.known.access, asked.user)
    _, thing = await _scope(parts, parts.who, asked.on)
    allowed, why = rules.explain(who, _permission(asked.permission), thing)
    return answers.May(asked.user, asked.permission, asked.on, allowed, why)


# -- what names something


def _permission(name: str) -> Permission:
    if name not in set(Permission):
        raise Usage(f"there is no permission {name!r}", hint=f"known: {', '.join(sorted(Permission))}")
    return Permission(name)


def _grantee(name: str) -> str:
    return name if name.startswith(("user:", "group:")) else user(name)


async def _scope(parts: ControllerParts, who: Principal, on: str) -> tuple[str, Thing]:
    """A scope as it is kept, each VM by its UUID, and what lies in it. Raises Usage, NotFound."""
    kind, _, name = on.partition(":")
    if on == EVERYTHING:
        return EVERYTHING, CLUSTER
    if kind == "project" and name:
        if name not in parts.known.access.projects:
            raise missing("project", name)
        return project(name), Thing(name)
    if kind == "vm" and name:
        found: VMRecord = await seen_vm(parts.services.store, who, name)
        return vm(found.uuid), found.thing
    raise Usage(f"{on!r} is none of all, project:NAME, vm:NAME")


def _refuse_wider(who: Principal, given: Iterable[Permission], scope: str, thing: Thing) -> None:
    if (more := rules.wider(who, given, scope, thing)) is not None:
        raise NotAllowed(f"{who.name} has no permission {more} there, and so cannot give it")


def _refuse_more(who: Principal, rights: Iterable[Right]) -> None:
    """Who lets himself or others be somebody gives them what that one has. Raises NotAllowed where it is more."""
    for right in rights:
        _refuse_wider(who, right.permissions, right.on, rules.thing_of(right.on))


async def _told(parts: ControllerParts, who: Principal, about: str, text: str) -> answers.Named:
    await parts.known.refresh()
    await parts.services.record_event("access", about, text, who.name)
    return answers.Named(about)


QUERIES: Mapping[type[Any], Callable[[ControllerParts, Any], Awaitable[Any]]] = {
    users.WhoAmI: whoami,
    users.ListUsers: list_users,
    users.ListGroups: list_groups,
    users.ListProjects: list_projects,
    users.ListRoles: list_roles,
    users.ListGrants: list_grants,
    users.ListTokens: list_tokens,
    users.Can: can,
}
AT_ONCE: Mapping[type[Any], Callable[[ControllerParts, Any, Principal], Awaitable[Any]]] = {
    users.AddUser: add_user,
    users.SetPassword: set_password,
    users.DisableUser: disable_user,
    users.MapUser: map_user,
    users.RemoveUser: remove_user,
    users.AddGroup: add_group,
    users.SetMembers: set_members,
    users.RemoveGroup: remove_group,
    users.AddProject: add_project,
    users.RemoveProject: remove_project,
    users.MoveToProject: move_to_project,
    users.AddRole: add_role,
    users.RemoveRole: remove_role,
    users.GrantRole: grant,
    users.RevokeRole: revoke,
    users.CreateToken: create_token,
    users.RevokeToken: revoke_token,
}
