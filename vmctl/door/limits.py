"""How much users and projects may have, and have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from vmctl.commands.limits import ListLimits, SetLimits
from vmctl.door import user_answers as answers
from vmctl.door.parts import ControllerParts
from vmctl.model import versions
from vmctl.model.access import Limit, Use, user
from vmctl.model.records import Image, VMRecord
from vmctl.model.rights import Permission, Principal, Thing, project
from vmctl.model.uploads import Upload
from vmctl.store import limit_rules
from vmctl.store.rules import missing


async def set_limits(parts: ControllerParts, asked: SetLimits, who: Principal) -> answers.Limited:
    """Set some of them, lift others."""
    given = {what: getattr(asked, what) for what in limit_rules.LIMITED}

    def changed(kept: Limit) -> Limit:
        versions.check(parts.expected, kept, f"the limit of {limit_rules.spoken(asked.of)}")
        return limit_rules.changed(kept, given, asked.lift)

    after = await parts.services.store.set_limit(asked.of, changed)
    said = ", ".join(f"{what}={value}" for what, value in asdict(after).items() if value is not None and what != "of")
    text = f"{limit_rules.spoken(asked.of)} may have at most: {said or 'whatever there is'}"
    await parts.known.refresh()
    kind, _, name = asked.of.partition(":")
    await parts.services.record_event("limits", name, text, who.name, name if kind == "project" else "")
    return _limited(after, (await _used(parts))(asked.of))


async def list_limits(parts: ControllerParts, asked: ListLimits) -> list[answers.Limited]:
    """Of those that one may see."""
    access, who = parts.known.access, parts.who
    every = who.may(Permission.PROJECTS) or who.may(Permission.USERS)
    shown = [project(name) for name in access.projects if parts.sight.shows(Thing(name))]
    shown += [user(name) for name in access.users if every or name == who.name]
    if asked.of and asked.of not in shown:
        kind, _, name = asked.of.partition(":")
        raise missing(kind, name)
    used = await _used(parts)
    return [_limited(access.limits.get(of, Limit(of)), used(of)) for of in ([asked.of] if asked.of else shown)]


def _limited(limit: Limit, used: Use) -> answers.Limited:
    return answers.Limited(limit.of, limit, used, versions.version(limit))


async def check_room(parts: ControllerParts, owner: str, of_project: str, wanted: Use) -> None:
    """Say at once what would be over a limit; the registry asks again when it promises. Raises OverLimit."""
    limits = [kept for of in limit_rules.whose(owner, of_project) if (kept := parts.known.access.limits.get(of))]
    if limits:
        limit_rules.check(limits, wanted, await _used(parts))


async def _used(parts: ControllerParts) -> Callable[[str], Use]:
    store = parts.services.store
    vms, images, uploads, tasks = await asyncio.gather(
        store.all(VMRecord), store.all(Image), store.all(Upload), store.open_tasks()
    )
    return lambda of: limit_rules.used(of, vms, images, uploads, tasks)


QUERIES: Mapping[type[Any], Callable[[ControllerParts, Any], Awaitable[Any]]] = {ListLimits: list_limits}
AT_ONCE: Mapping[type[Any], Callable[[ControllerParts, Any, Principal], Awaitable[Any]]] = {SetLimits: set_limits}
