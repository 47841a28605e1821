"""Users, groups, projects, roles, grants and tokens in memory. What each method promises is in its port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from vmctl.model.access import Access, Failures, Grant, Group, Limit, Project, Role, Token, Use, User, group, user
from vmctl.model.records import Given, Image, Task, VMRecord
from vmctl.model.rights import BUILT_IN, project
from vmctl.model.uploads import Upload
from vmctl.model.vms import DEFAULT_PROJECT
from vmctl.store import access_rules, limit_rules, rules

Record = TypeVar("Record")


class MemoryUsers:
    """The part of the registry in memory that knows who there is."""

    _kept: dict[type[Any], dict[Any, Any]]

    async def access(self) -> Access:
        return self._access()

    async def add_grant(self, grant: Grant) -> None:
        access_rules.check_grant(grant, self._access(), BUILT_IN, self._kept[VMRecord].keys())
        number = max(self._kept[Grant], default=0) + 1
        self._kept[Grant][number] = replace(grant, id=number)

    async def remove_grant(self, who: str, role: str, scope: str) -> None:
        same = [one.id for one in self._of(Grant) if (one.who, one.role, one.scope) == (who, role, scope)]
        if not same:
            raise rules.missing("grant", f"{who} {role} on {scope}")
        del self._kept[Grant][same[0]]

    async def add_token(self, token: Token) -> None:
        self._there(User, token.user)
        self._kept[Token][token.id] = token

    async def move_vm(self, vm: str, project: str, check: Callable[[Any], None] | None = None) -> None:
        self._in_project(project)
        self._there(VMRecord, vm)
        found = self._kept[VMRecord][vm]
        if check is not None:
            check(found)
        if found.project != project:
            self._within(limit_rules.whose("", project), limit_rules.of_vm(found))
        self._kept[VMRecord][vm] = replace(self._kept[VMRecord][vm], project=project)

    async def set_limit(self, of: str, change: Callable[[Limit], Limit]) -> Limit:
        kind, _, name = of.partition(":")
        if kind == "user":
            self._there(User, name)
        else:
            self._in_project(name)
        after = change(self._kept[Limit].pop(of, Limit(of)))
        if not limit_rules.is_empty(after):
            self._kept[Limit][of] = after
        return after

    async def end_tokens(self, user: str) -> None:
        self._kept[Token] = {key: one for key, one in self._kept[Token].items() if one.user != user}

    async def count_failure(self, of: Iterable[str], now: float) -> None:
        for one in of:
            self._kept[Failures][one] = access_rules.one_more(self._kept[Failures].get(one), one, now)

    async def failures(self, of: Iterable[str], now: float) -> float:
        kept = self._kept[Failures]
        return access_rules.wait_s([kept[one] for one in of if one in kept], now)

    async def remove_user(self, name: str) -> None:
        self._there(User, name)
        for one in self._of(Group):
            if name in one.members:
                members = [member for member in one.members if member != name]
                self._kept[Group][one.name] = replace(one, members=members)
        await self.end_tokens(name)
        self._end_grants(who=user(name))
        self._kept[Limit].pop(user(name), None)
        self._kept[Given] = {key: one for key, one in self._kept[Given].items() if one.who != name}
        del self._kept[User][name]

    async def remove_group(self, name: str) -> None:
        self._there(Group, name)
        self._end_grants(who=group(name))
        del self._kept[Group][name]

    async def remove_project(self, name: str) -> None:
        self._there(Project, name)
        access_rules.check_empty_project(name, self._of(VMRecord), self._of(Image), self._of(Upload))
        self._end_grants(scope=project(name))
        self._kept[Limit].pop(project(name), None)
        del self._kept[Project][name]

    async def remove_role(self, name: str) -> None:
        self._there(Role, name)
        access_rules.check_role_unused(name, self._access())
        del self._kept[Role][name]

    def _of(self, kind: type[Record]) -> list[Record]:
        return [record for _, record in sorted(self._kept[kind].items())]

    def _access(self) -> Access:
        return access_rules.access_of(self._of)

    def _there(self, kind: type[Any], name: str) -> None:
        if name not in self._kept[kind]:
            raise rules.missing(rules.WORDS[kind], name)

    def _in_project(self, name: str) -> None:
        """What comes into a project: it must be there. Raises NotFound."""
        if name != DEFAULT_PROJECT:
            self._there(Project, name)

    def _within(self, of: Iterable[str], wanted: Use) -> None:
        """Raises OverLimit where one of these users and projects has as much as it may have."""
        limits = [self._kept[Limit][one] for one in of if one in self._kept[Limit]]
        open_tasks = [task for task in self._of(Task) if not task.state.ended]
        limit_rules.check(
            limits,
            wanted,
            lambda one: limit_rules.used(one, self._of(VMRecord), self._of(Image), self._of(Upload), open_tasks),
        )

    def _end_grants(self, *, who: str = "", scope: str = "") -> None:
        grants = self._kept[Grant].items()
        self._kept[Grant] = {key: one for key, one in grants if not access_rules.goes_with(one, who=who, scope=scope)}
