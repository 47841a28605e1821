"""Who may do what, from what was granted: default deny, and nothing falls through. Pure.

Roles on scopes, as Proxmox VE has them; a token narrows its owner and never widens him.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from vmctl.model.access import Access, Grant, Token, group, user
from vmctl.model.rights import BUILT_IN, EVERYTHING, Permission, Principal, Right, Thing


def permissions(access: Access, role: str) -> frozenset[Permission]:
    """What a role lets somebody do; nothing, where there is no such role."""
    if role in BUILT_IN:
        return BUILT_IN[role]
    kept = access.roles.get(role)
    known = {str(one) for one in Permission}
    return frozenset(Permission(one) for one in kept.permissions if one in known) if kept else frozenset()


def rights(access: Access, name: str) -> tuple[Right, ...]:
    """What a user was given, himself and by his groups."""
    return granted(access, {user(name), *(group(one.name) for one in access.groups.values() if name in one.members)})


def granted(access: Access, grantees: Collection[str]) -> tuple[Right, ...]:
    """What some users and groups were given, each by itself."""
    return tuple(_right(access, grant) for grant in access.grants if grant.who in grantees)


def _right(access: Access, grant: Grant) -> Right:
    return Right(permissions(access, grant.role), grant.scope, f"{grant.who} has role {grant.role} on {grant.scope}")


def principal(access: Access, name: str, token: Token | None = None) -> Principal:
    """A user as who asks; with a token, no more than that lets him do."""
    narrowed = None
    if token is not None and token.role:
        on = token.scope or EVERYTHING
        narrowed = (Right(permissions(access, token.role), on, f"token {token.id} has role {token.role} on {on}"),)
    since = access.users[name].created_at if name in access.users else 0.0
    return Principal(name, rights(access, name), narrowed, token.id if token is not None else "", since=since)


def explain(who: Principal, permission: Permission, thing: Thing) -> tuple[bool, str]:
    """Whether somebody may do that, and why, or what is missing."""
    found = who.right(permission, thing)
    if found is not None:
        return True, found.how
    there = thing.scopes[-1]
    if not who.rights:
        return False, f"{who.name} was granted nothing"
    if any(right.covers(permission, thing) for right in who.rights):
        return False, f"{who.name} may, and this token may not"
    narrow = [right for right in who.rights if permission in right.permissions]
    if narrow:
        where = ", ".join(sorted({right.on for right in narrow}))
        only = " and this permission holds on everything only" if any(one.on in thing.scopes for one in narrow) else ""
        return False, f"{who.name} has {permission} on {where}, not on {there}{only}"
    return False, f"no role of {who.name} has {permission}: {', '.join(sorted(right.how for right in who.rights))}"


def wider(who: Principal, given: Iterable[Permission], on: str, thing: Thing) -> Permission | None:
    """A permission that somebody would give and does not have himself there; None: he gives no more than he has."""
    return next((one for one in sorted(given) if not (who.may(one, thing) or _useless(one, on))), None)


def _useless(permission: Permission, on: str) -> bool:
    """Whether a grant there gives nothing by it."""
    return not Right(frozenset((permission,)), on).covers(permission, thing_of(on))


def thing_of(on: str) -> Thing:
    """What a scope is on."""
    kind, _, name = on.partition(":")
    return Thing(name) if kind == "project" else Thing(vm=name) if kind == "vm" else Thing()
