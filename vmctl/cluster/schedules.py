"""What runs by the clock: rebalancing as the admin scheduled it, pruning, the daily doctor, abandoned uploads.

Cron text means what crontab(5) says. apscheduler counts a week from Monday and crontab from Sunday, so days of the week
are turned into names first. Times are UTC: a job at 02:30 then runs once a day on every day of the year.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from vmctl.act import plans
from vmctl.act.dropped import take_abandoned
from vmctl.commands.cluster import Rebalance
from vmctl.commands.hosts import CheckHosts
from vmctl.errors import Usage
from vmctl.model.records import Schedule
from vmctl.model.rights import SCHEDULE
from vmctl.ports import SYSTEM, Clock
from vmctl.services import Services
from vmctl.services.walls import wall
from vmctl.tasks import Tasks

log = logging.getLogger("vmctl.cluster.schedules")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
MODES = ("advise", "act")
JOBS = ("rebalance",)
MOMENT = timedelta(microseconds=1)
MISSED = timedelta(seconds=60)  # a takeover takes about ten; who was off for longer has missed what was due
SET_BACK_S = 60.0  # a clock that was set back by less harms nothing
PRUNE_CRON, DOCTOR_CRON, UPLOADS_CRON = "17 * * * *", "23 4 * * *", "*/10 * * * *"


def trigger(cron: str, clock: Clock = SYSTEM.clock) -> BaseTrigger:
    """A trigger for five fields of cron text. Raises Usage, also for a date that never comes."""
    fields = cron.split()
    if len(fields) != 5:
        raise Usage(f"{cron!r} is not a schedule: five fields are needed", hint='for example "*/10 * * * *"')
    try:
        made = _trigger(*fields)
    except (ValueError, IndexError) as err:
        raise Usage(f"{cron!r} is not a schedule: {err}", hint='for example "*/10 * * * *"') from err
    if _next(made, clock) is None:
        raise Usage(f"{cron!r} is not a schedule: that date never comes", hint='for example "*/10 * * * *"')
    return made


def next_run(cron: str, clock: Clock = SYSTEM.clock) -> float | None:
    """When a schedule comes next, in UTC seconds; None for text that is none."""
    try:
        found = _next(trigger(cron, clock), clock)
    except Usage:
        return None
    return found.timestamp() if found else None


def _next(made: BaseTrigger, clock: Clock) -> datetime | None:
    found: datetime | None = made.get_next_fire_time(None, datetime.fromtimestamp(clock.now(), UTC))
    return found


def _trigger(minute: str, hour: str, day: str, month: str, weekday: str) -> BaseTrigger:
    days = [(day, _day_names(weekday))]
    if not day.startswith("*") and not weekday.startswith("*"):  # where both are given, either is enough
        days = [(day, "*"), ("*", _day_names(weekday))]
    return OrTrigger([CronTrigger.from_crontab(f"{minute} {hour} {d} {month} {w}", timezone=UTC) for d, w in days])


def _day_names(field: str) -> str:
    """Days of the week as names, ranges and steps written out: what apscheduler makes of them is not crontab's."""
    days: list[str] = []
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
        begin, end = _day(first), _day(last if dash else first)
        if end == 0 < begin:
            end = 7  # sat-sun
        if begin > end or (slash and not step.isdecimal()):
            raise ValueError(f"{part!r} is no range of days")
        days += [DAYS[n] for n in range(begin, end + 1)[:: int(step) if slash else 1]]
    return "*" if field == "*" else ",".join(dict.fromkeys(days))


def _day(text: str) -> int:
    if re.fullmatch("[0-7]", text):
        return int(text)
    if text.lower() in DAYS:
        return DAYS.index(text.lower())
    raise ValueError(f"{text!r} is no day of the week")


@dataclass(slots=True)
class Due:
    """Something that is done by the clock: when it comes next, and whether it still runs."""

    trigger: BaseTrigger
    work: Callable[[], Coroutine[Any, Any, None]]
    at: datetime | None
    running: asyncio.Task[None] | None = None


class Scheduler:
    """Runs while its controller does; schedules live in the registry.

    The library says when something comes next; whether that is now says our own clock, which may be set, or simulated.
    However late it is, it is done once: a controller that was held up must not lose a day.
    """

    def __init__(self, services: Services, tasks: Tasks) -> None:
        self._services = services
        self._tasks = tasks
        self._dues: dict[str, Due] = {}
        self._looked = self._now()

    async def start(self) -> None:
        """Begin."""
        self._plan("prune", PRUNE_CRON, self._prune)
        self._plan("doctor", DOCTOR_CRON, self._doctor)
        self._plan("uploads", UPLOADS_CRON, functools.partial(take_abandoned, self._services))
        for schedule in await self._services.store.all(Schedule):
            with wall(log, f"the schedule of {schedule.name}"):  # an earlier version took dates that never come
                self._arm(schedule, self._missed_since(schedule))

    def _missed_since(self, schedule: Schedule) -> datetime:
        """From when on what was due is done late: while no controller led, or this one began, nobody looked."""
        now = self._now()
        ran = datetime.fromtimestamp(schedule.last_run, UTC) if schedule.last_run is not None else now
        return min(now, max(ran, now - MISSED))

    async def look(self) -> None:
        """Begin what is due. Where the clock was set back, what is to come comes by the new time."""
        now, before = self._now(), self._looked
        self._looked = now
        for name, due in self._dues.items():
            if (before - now).total_seconds() > SET_BACK_S:
                log.warning("%s comes by a clock that was set back", name)
                due.at = due.trigger.get_next_fire_time(None, now)
            if due.at is None or now < due.at:
                continue
            due.at = due.trigger.get_next_fire_time(None, now + MOMENT)
            if due.running is None or due.running.done():  # else this run is left out
                due.running = asyncio.create_task(self._begin(name, due), name=f"by the clock: {name}")

    async def _begin(self, name: str, due: Due) -> None:
        with wall(log, name):
            await due.work()

    def close(self) -> None:
        """Stop."""
        for due in self._dues.values():
            if due.running is not None:
                due.running.cancel()
        self._dues.clear()

    def comes(self) -> dict[str, datetime | None]:
        """What comes by the clock, and when."""
        return {name: due.at for name, due in self._dues.items()}

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._services.clock.now(), UTC)

    def _plan(
        self, name: str, cron: str, work: Callable[[], Coroutine[Any, Any, None]], since: datetime | None = None
    ) -> None:
        made = trigger(cron, self._services.clock)
        self._dues[name] = Due(made, work, made.get_next_fire_time(None, since or self._now()))

    async def set(self, name: str, cron: str, mode: str) -> Schedule:
        """Schedule a job, or change its schedule. Raises Usage."""
        if name not in JOBS:
            raise Usage(f"nothing called {name!r} can be scheduled", hint=f"known: {', '.join(JOBS)}")
        if mode not in MODES:
            raise Usage(f"{mode!r} is not a mode", hint=f"--mode {'|'.join(MODES)}")
        trigger(cron, self._services.clock)
        schedule = Schedule(name, cron, mode)
        await self._services.store.put(schedule)
        self._arm(schedule)
        return schedule

    async def remove(self, name: str) -> None:
        """Take a schedule away. Raises NotFound."""
        await self._services.store.get(Schedule, name)
        await self._services.store.remove(Schedule, name)
        self._dues.pop(f"schedule {name}", None)

    def _arm(self, schedule: Schedule, since: datetime | None = None) -> None:
        self._plan(f"schedule {schedule.name}", schedule.cron, functools.partial(self._run, schedule.name), since)

    async def _run(self, name: str) -> None:
        schedule = await self._services.store.get(Schedule, name)
        if schedule.mode == "advise":
            result = (await plans.plan_rebalance(self._services, SCHEDULE.name, Rebalance())).why
            await self._services.record_event("advice", "cluster", f"rebalance: {result}")
        elif any(job.task.kind == name for job in self._tasks.jobs()):
            result = "skipped: the last one still runs"
        else:
            ended = await self._tasks.wait((await self._tasks.submit(Rebalance(), SCHEDULE, "cluster")).id)
            result = str(ended.result.get("why") or ended.error.get("message"))
        await self._services.store.change(Schedule, name, last_run=self._services.clock.now(), last_result=result)

    async def _prune(self) -> None:
        await self._services.store.prune(self._services.clock.now())
        await self._services.incarnations.prune(self._services.clock.now())

    async def _doctor(self) -> None:
        """Ask the doctor about every host; what it finds wrong becomes an event."""
        asked = CheckHosts()
        ended = await self._tasks.wait((await self._tasks.submit(asked, SCHEDULE, asked.subject)).id)
        report: dict[str, Any] = ended.result.get("hosts", {})
        for host, row in report.items():
            for check in row["checks"]:
                if check["verdict"] == "FAIL":
                    await self._services.record_event("doctor", host, f"{host}: {check['name']}: {check['text']}")
