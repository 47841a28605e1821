"""What runs by the clock: rebalancing as the admin scheduled it, pruning, the daily doctor.

Cron text means what crontab(5) says. apscheduler counts a week from Monday and crontab from Sunday, so day numbers are
turned into names first. Times are UTC: a job at 02:30 then runs once a day on every day of the year.
"""

from __future__ import annotations

import re
import time
from datetime import UTC
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from vmctl.act import plans
from vmctl.errors import Usage
from vmctl.records import Schedule
from vmctl.tasks import Tasks
from vmctl.world import World

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
MODES = ("advise", "act")
JOBS = ("rebalance",)
PRUNE_CRON, DOCTOR_CRON = "17 * * * *", "23 4 * * *"


def trigger(cron: str) -> CronTrigger:
    """A trigger for five fields of cron text. Raises Usage."""
    fields = cron.split()
    if len(fields) != 5:
        raise Usage(f"{cron!r} is not a schedule: five fields are needed", hint='for example "*/10 * * * *"')
    try:
        fields[4] = _day_names(fields[4])
        return CronTrigger.from_crontab(" ".join(fields), timezone=UTC)
    except (ValueError, IndexError) as err:
        raise Usage(f"{cron!r} is not a schedule: {err}", hint='for example "*/10 * * * *"') from err


def _day_names(field: str) -> str:
    """Day numbers (0 and 7 are Sunday) as names, ranges written out: apscheduler's week begins on another day."""
    days: list[str] = []
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            numbers = range(0, 7)
        elif re.fullmatch(r"[0-7]", first) and (not dash or re.fullmatch(r"[0-7]", last)):
            numbers = range(int(first), int(last if dash else first) + 1)
        else:
            days.append(part)  # names, which mean the same to both
            continue
        days += [DAYS[n] for n in numbers[:: int(step) if slash else 1]]
    return "*" if field == "*" else ",".join(dict.fromkeys(days))


class Scheduler:
    """Runs while its controller does; schedules live in the registry."""

    def __init__(self, world: World, tasks: Tasks) -> None:
        self._world = world
        self._tasks = tasks
        self._clock = AsyncIOScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})

    async def start(self) -> None:
        """Begin."""
        self._clock.add_job(self._prune, trigger(PRUNE_CRON), id="prune")
        self._clock.add_job(self._doctor, trigger(DOCTOR_CRON), id="doctor")
        for schedule in await self._world.store.all(Schedule):
            self._arm(schedule)
        self._clock.start()

    def close(self) -> None:
        """Stop."""
        if self._clock.running:
            self._clock.shutdown(wait=False)

    async def set(self, name: str, cron: str, mode: str) -> Schedule:
        """Schedule a job, or change its schedule. Raises Usage."""
        if name not in JOBS:
            raise Usage(f"nothing called {name!r} can be scheduled", hint=f"known: {', '.join(JOBS)}")
        if mode not in MODES:
            raise Usage(f"{mode!r} is not a mode", hint=f"--mode {'|'.join(MODES)}")
        trigger(cron)
        schedule = Schedule(name, cron, mode)
        await self._world.store.put(schedule)
        self._arm(schedule)
        return schedule

    async def remove(self, name: str) -> None:
        """Take a schedule away. Raises NotFound."""
        await self._world.store.get(Schedule, name)
        await self._world.store.remove(Schedule, name)
        self._clock.remove_job(f"schedule {name}")

    def _arm(self, schedule: Schedule) -> None:
        self._clock.add_job(
            self._run, trigger(schedule.cron), [schedule.name], id=f"schedule {schedule.name}", replace_existing=True
        )

    async def _run(self, name: str) -> None:
        schedule = await self._world.store.get(Schedule, name)
        if schedule.mode == "advise":
            result = (await plans.plan_rebalance(self._world, "schedule")).why
            await self._world.tell("advice", "cluster", f"rebalance: {result}")
        elif any(job.task.kind == name for job in self._tasks.jobs()):
            result = "skipped: the last one still runs"
        else:
            ended = await self._tasks.wait((await self._tasks.submit(name, "cluster", "schedule")).id)
            result = str(ended.result.get("why") or ended.error.get("message"))
        await self._world.store.change(Schedule, name, last_run=time.time(), last_result=result)

    async def _prune(self) -> None:
        await self._world.store.prune(time.time())

    async def _doctor(self) -> None:
        """Ask the doctor about every host; what it finds wrong becomes an event."""
        ended = await self._tasks.wait((await self._tasks.submit("host check", "all hosts", "schedule", hosts=[])).id)
        report: dict[str, Any] = ended.result.get("hosts", {})
        for host, row in report.items():
            for check in row["checks"]:
                if check["verdict"] == "FAIL":
                    await self._world.tell("doctor", host, f"{host}: {check['name']}: {check['text']}")
