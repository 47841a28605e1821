"""The door: what is named, then permission, then whoever answers.

Everything that a client wants passes here, whichever way it came; nothing else decides who may do what. What somebody
may not see does not exist for him.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Collection, Iterable
from dataclasses import replace
from typing import Any, Protocol, get_type_hints

from vmctl.commands import catalogue
from vmctl.commands.rows import Asked, Command
from vmctl.commands.users import LogIn
from vmctl.door import dry, given, handlers, held, users
from vmctl.door import feed as feeds
from vmctl.door.answers import DryRun
from vmctl.door.console import Consoles, End, Wire
from vmctl.door.how import AGAIN, PLAINLY, How
from vmctl.door.others import Others, here
from vmctl.door.parts import ControllerParts
from vmctl.door.things import About, named, seen_vm, subject_of
from vmctl.door.user_answers import NewToken
from vmctl.errors import NotAllowed, OverLimit, Usage, VmctlError
from vmctl.guests.details import GuestDetails
from vmctl.model.records import Given
from vmctl.model.replicas import LeaderHeard
from vmctl.model.rights import CLUSTER, Permission, Principal, project
from vmctl.tasks import TaskNow, now
from vmctl.tasks.audit import asked as asked_for
from vmctl.tasks.audit import entry


class StandIn(Protocol):
    """What a controller knows that does not lead."""

    async def read(self) -> LeaderHeard | None:
        """Read it. When a leader was last heard; None: not known. Raises RegistryUnusable."""

    def forget(self) -> None:
        """It leads from now on."""


class Door:
    """`ask` takes commands and queries alike: frozen values of the classes in `vmctl.commands`."""

    def __init__(self, parts: ControllerParts, rows: Iterable[Asked] | None = None) -> None:
        self.rows = catalogue.ROWS if rows is None else tuple(rows)
        self._by_arguments = {row.arguments: row for row in self.rows}
        self._parts = parts
        self.meters = parts.meters
        self._consoles = Consoles(parts.services)
        self._feeds = held.Few("feeds")
        self.at_once = 0  # commands that are being done just now, and are no tasks
        self.stand_in: StandIn | None = None  # what is answered from while this controller does not lead

    async def ask(self, asked: Any, who: Principal, how: How = PLAINLY) -> Any:
        """Answer a query, do a command, or accept one that is a task. Raises NotFound, NotAllowed first."""
        row, parts = self._by_arguments[type(asked)], self._parts
        new = self._given(row, asked, who, how)
        if new is not None and (found := await given.earlier(parts.services.store, parts.tasks, new)) is not None:
            return found
        about = await self._allowed(row, asked, who, again=how.again)
        if (problem := _problem(asked)) is not None:
            raise Usage(problem)
        parts = replace(parts, who=who, sight=who.sight, expected=how.expected)
        if not isinstance(row, Command):
            answer = await handlers.QUERIES[row.arguments](parts, about.asked)
            return held.stream(parts.known, who, answer) if isinstance(answer, AsyncIterator) else answer
        if (check := handlers.CHECKS.get(row.arguments)) is not None:
            await self._checked(check(parts, about.asked, who), who, row, about)
        if how.dry:
            return await self._dry(parts, row, about, who)
        if row.task:
            return await self._accept(parts, about, who, new)
        return await self._at_once(parts, row, about, who, new)

    def guests_read_here(self, vms: Collection[str]) -> dict[str, GuestDetails]:
        """What guests have told whose ports this controller reads: for another controller, which asks for somebody."""
        return here(self._parts.services, vms)

    @property
    def others(self) -> Others:
        """The other controllers, as they are asked by this one."""
        return self._parts.others

    def _given(self, row: Asked, asked: Any, who: Principal, how: How) -> Given | None:
        """What is kept of a command with a key; None where it has none. Raises Usage for what a row cannot heed."""
        if how.expected and not (isinstance(row, Command) and row.edits):
            raise Usage("this edits nothing that has a version", hint="without If-Match")
        if how.dry and (not isinstance(row, Command) or row.quiet):
            raise Usage("there is no dry run of this", hint="without dry_run")
        # What is quiet may come twice anyway.
        if not (isinstance(row, Command) and how.key) or how.dry or row.quiet:
            return None
        return given.given(row, asked, who, how, self._parts.services.clock.now())

    async def _dry(self, parts: ControllerParts, row: Command, about: About, who: Principal) -> DryRun:
        """What it would do."""
        detail = None
        if (query := dry.query(about.asked)) is not None:
            detail = await handlers.QUERIES[type(query)](parts, query)
        elif not row.task and not row.on_hosts:
            detail = await dry.at_once(parts, about, who, handlers.AT_ONCE[row.arguments])
        return await dry.told(parts.services.store, row, about, detail)

    async def _accept(self, parts: ControllerParts, about: About, who: Principal, new: Given | None) -> Any:
        """The task that it is from now on."""
        if (before := handlers.BEFORE.get(type(about.asked))) is not None:
            await before(parts, about.asked, who)
        if (fill := handlers.FILLED.get(type(about.asked))) is not None:
            about = replace(about, asked=await fill(parts, about.asked, who))

        async def submit() -> TaskNow:
            task = await parts.tasks.submit(about.asked, who, about.subject, about.thing, new, may_wait=True)
            return now(task, parts.tasks.live(task.id))

        return await (submit() if new is None else given.accepted(parts.services.store, parts.tasks, new, submit))

    async def _at_once(
        self, parts: ControllerParts, row: Command, about: About, who: Principal, new: Given | None
    ) -> Any:
        """Do it, once where it has a key."""

        async def do() -> Any:
            return await self._audited(parts, row, about, who)

        self.at_once += 1
        try:
            return await (do() if new is None else given.once(parts.services.store, parts.tasks, new, do))
        finally:
            self.at_once -= 1

    async def _audited(self, parts: ControllerParts, row: Command, about: About, who: Principal) -> Any:
        """Do it, between two entries of the audit: what cannot be written down is not begun."""
        if row.quiet:
            return await handlers.AT_ONCE[row.arguments](parts, about.asked, who)
        await self._audit(who, _called(row), about, "accepted", asked_for(about.asked))
        try:
            answer = await handlers.AT_ONCE[row.arguments](parts, about.asked, who)
        except VmctlError as err:
            await self._audit(who, _called(row), about, "failed", {"why": err.message})
            raise
        await self._audit(who, _called(row), about, "done", {})
        return answer

    async def _audit(self, who: Principal, what: str, about: About, outcome: str, detail: dict[str, Any]) -> None:
        at = self._parts.services.clock.now()
        await self._parts.services.store.audit(entry(at, who, what, about.subject, about.thing, outcome, detail))

    async def _checked(self, check: Awaitable[None], who: Principal, row: Asked, about: About) -> None:
        """What is refused before it is begun is in the audit, too."""
        try:
            await check
        except (NotAllowed, OverLimit) as err:
            await self._audit(who, _called(row), about, "refused", {"why": err.message})
            raise

    async def _allowed(self, row: Asked, asked: Any, who: Principal, *, again: bool = False) -> About:
        """What it is about, and that `who` may do it there; a refusal is audited. Raises NotFound, NotAllowed."""
        about = About(asked, subject_of(asked))
        try:
            if row.on_cluster:  # before a name is looked up: who may not ask learns of none
                row.check_permission(who, asked, CLUSTER)
            about = await named(self._parts.services.store, row, asked, who)
            if not about.own:
                row.check_permission(who, about.asked, about.thing, about.subject)
        except NotAllowed as err:
            if not again:
                await self._audit(who, _called(row), about, "refused", {"why": err.message})
            raise
        if who.token and about.thing.project and not again:
            self._parts.known.count_of(project(about.thing.project), f"project {about.thing.project}")
        return about

    async def feed(
        self, asked: Iterable[tuple[str, Any]], who: Principal, last: int | None, *, events: bool
    ) -> AsyncIterator[feeds.Told]:
        """What changes in what somebody looks at. Raises NotFound, NotAllowed for a view; TooManyRequests."""
        store, known = self._parts.services.store, self._parts.known
        place = self._feeds.take(who)  # before anything is looked up
        views = {one: feeds.View(name, one) for name, one in asked}  # one that is named twice in other words is one
        for view in views.values():
            await self._allowed(self._by_arguments[type(view.asked)], view.asked, who)
        newest = await store.events(most=1)
        seen = last if last is not None else (newest[-1].id or 0) if newest else 0
        told = feeds.feed(
            lambda one: self.ask(one, known.now(who), AGAIN),
            list(views.values()),
            (lambda after: store.events(after, feeds.EVENTS_AT_ONCE, known.now(who).sight)) if events else None,
            seen,
            self._parts.services.clock,
        )
        return held.stream(known, who, place.holding(told))

    async def console(self, name: str, who: Principal, label: str, wire: Wire, *, force: bool) -> tuple[End, str]:
        """A VM's serial console, until either side ends it; `label` is what other users are told of this one."""
        vm = await seen_vm(self._parts.services.store, who, name)
        about, detail = About(None, vm.name, vm.thing), {"force": force}
        if not who.may(Permission.CONSOLE, vm.thing):
            why = f"{who.name} has no permission {Permission.CONSOLE} on VM {vm.name}"
            await self._audit(who, "console", about, "refused", {"why": why})
            raise NotAllowed(why)
        await self._audit(who, "console", about, "accepted", detail)
        opened = self._consoles.open(vm.uuid, label, wire, force=force)
        ended = await held.until(self._parts.known, who, opened)
        end, why = (End.ENDED, held.WHY) if ended is None else ended
        await self._audit(who, "console", about, "done", {"end": end.value, "why": why})
        return end, why

    def bearer(self, token: str) -> Principal | None:
        """Who asks by a token; None where it opens nothing. Raises TooManyRequests."""
        return self._parts.known.asks(token)

    async def log_in(self, asked: LogIn, address: str) -> NewToken:
        """A token for a password. Raises NotLoggedIn, TooManyRequests."""
        return await users.log_in(self._parts, asked, address)

    def new_id(self) -> str:
        """A name for a request that has none."""
        return self._parts.services.ids.token()

    def trouble(self) -> str:
        """Why what is shown may be older than what was done, in words; empty: it is not."""
        return self._parts.services.store.trouble


def _called(row: Asked) -> str:
    """What the audit calls it."""
    return row.kind if isinstance(row, Command) else row.arguments.__name__


def _problem(asked: Any) -> str | None:
    """What does not go together in what is asked for."""
    problem: str | None = asked.problem() if hasattr(asked, "problem") else None
    return problem


def answer_type(row: Asked) -> Any:
    """What a row's handler returns."""
    if isinstance(row, Command) and row.task:
        return TaskNow
    handler: Any = {**handlers.QUERIES, **handlers.AT_ONCE}[row.arguments]
    return get_type_hints(handler)["return"]
