"""Cron text means what crontab(5) says, whatever apscheduler thinks a week begins with."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clock import SetClock
from vmctl.cluster import schedules
from vmctl.cluster.schedules import trigger
from vmctl.errors import Usage
from vmctl.local.config import Settings
from vmctl.model.records import Schedule
from vmctl.ports import SYSTEM
from vmctl.ports.store import Store
from vmctl.services import Services
from vmctl.tasks import Tasks

# 2026-02-01 was a Sunday
SUNDAY = datetime(2026, 2, 1, tzinfo=UTC)
NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def fires(cron: str, most: int = 7, after: datetime = SUNDAY) -> list[datetime]:
    """The next times."""

    def following() -> object:
        clock, found, now = trigger(cron), None, after
        while (found := clock.get_next_fire_time(found, now)) is not None:
            yield found
            now = found + timedelta(microseconds=1)

    return list(islice(following(), most))  # type: ignore[call-overload]


def days(field: str) -> list[str]:
    """The days of the first week on which `0 3 * * FIELD` fires."""
    return [NAMES[(at.weekday() + 1) % 7] for at in fires(f"0 3 * * {field}", 14) if at < SUNDAY + timedelta(days=7)]


@pytest.mark.parametrize("number", range(8))
def test_a_day_number_is_crontabs(number: int) -> None:
    assert days(str(number)) == [NAMES[number % 7]]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("*", list(NAMES)),
        ("0-6", list(NAMES)),
        ("1-7", list(NAMES)),
        ("1-5", ["mon", "tue", "wed", "thu", "fri"]),
        ("5-7", ["sun", "fri", "sat"]),
        ("0,6", ["sun", "sat"]),
        ("0,7", ["sun"]),
        ("0-0", ["sun"]),
        ("1-2,4", ["mon", "tue", "thu"]),
        ("*/2", ["sun", "tue", "thu", "sat"]),
        ("1-5/2", ["mon", "wed", "fri"]),
        ("0-6/3", ["sun", "wed", "sat"]),
        ("sun", ["sun"]),
        ("MON", ["mon"]),
        ("mon-fri", ["mon", "tue", "wed", "thu", "fri"]),
        ("sun-tue", ["sun", "mon", "tue"]),
        ("sat-sun", ["sun", "sat"]),
        ("mon-fri/2", ["mon", "wed", "fri"]),
        ("sat,1", ["mon", "sat"]),
    ],
)
def test_days_ranges_steps_and_names(field: str, expected: list[str]) -> None:
    assert days(field) == expected


@given(st.sets(st.integers(0, 7), min_size=1))
def test_any_list_of_days(numbers: set[int]) -> None:
    wanted = {NAMES[number % 7] for number in numbers}
    assert days(",".join(map(str, sorted(numbers)))) == [name for name in NAMES if name in wanted]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * 0", ["2026-02-01 02:30", "2026-02-08 02:30"]),
        ("30 2 * * 7", ["2026-02-01 02:30", "2026-02-08 02:30"]),
        ("30 2 * * 1", ["2026-02-02 02:30", "2026-02-09 02:30"]),
        ("*/20 * * * *", ["2026-02-01 00:00", "2026-02-01 00:20"]),
        ("0 22-23 * * 6", ["2026-02-07 22:00", "2026-02-07 23:00"]),
        ("5 4 1 3 *", ["2026-03-01 04:05", "2027-03-01 04:05"]),
        ("5 4 1 mar *", ["2026-03-01 04:05", "2027-03-01 04:05"]),
        # crontab(5): where both days are given, either is enough
        ("0 3 3 * 4", ["2026-02-03 03:00", "2026-02-05 03:00"]),
        ("0 3 */20 * 1", ["2026-06-01 03:00", "2026-09-21 03:00"]),
    ],
)
def test_the_next_times(cron: str, expected: list[str]) -> None:
    assert [f"{at:%Y-%m-%d %H:%M}" for at in fires(cron, 2)] == expected


@pytest.mark.parametrize("month", [3, 10])
def test_a_job_at_night_runs_once_a_day_when_clocks_change(month: int) -> None:
    times = fires("30 2 * * *", 31, datetime(2026, month, 1, tzinfo=UTC))
    assert [at.day for at in times] == list(range(1, 32))


@pytest.mark.parametrize(
    "bad",
    [
        *("", "* * * *", "* * * * * *", "@daily", "hello", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *"),
        *("* * * * 8", "* * * * -1", "* * * * 1-8", "* * * * 5-1", "* * * * x", "* * * * monday", "* * * * mon/"),
        *("* * * * */0", "* * * * */x", "*/0 * * * *", "a * * * *", "* * * * ,", "* * * * 1-", "* * * * mon-xyz"),
        *("0 3 31 2 *", "0 3 30 feb *", "0 3 31 4,6,9,11 *"),
    ],
)
def test_what_is_no_schedule_is_refused_with_an_example(bad: str) -> None:
    with pytest.raises(Usage, match="is not a schedule") as caught:
        trigger(bad)
    assert '"*/10 * * * *"' in caught.value.hint


@given(st.text(alphabet="0123456789*/,- amonsuL#?W", max_size=20))
def test_any_text_is_a_schedule_or_a_usage_error(text: str) -> None:
    try:
        trigger(f"* * * * {text}")
        trigger(text)
    except Usage:
        return


def test_what_the_controller_does_by_itself_is_well_formed() -> None:
    assert [f"{at:%H:%M}" for at in fires(schedules.PRUNE_CRON, 2)] == ["00:17", "01:17"]
    assert [f"{at:%d %H:%M}" for at in fires(schedules.DOCTOR_CRON, 2)] == ["01 04:23", "02 04:23"]


async def by_the_clock(
    registry: Store, tmp_path: Path, cron: str = "*/10 * * * *"
) -> tuple[SetClock, schedules.Scheduler, list[str]]:
    """A scheduler with one schedule, and what it has begun so far; each run takes until the test lets it end."""
    clock, begun = SetClock(), list[str]()
    services = Services(registry, Settings(), tmp_path, (), parts=replace(SYSTEM, clock=clock))
    await registry.put(Schedule("rebalance", cron, "advise"))
    scheduler = schedules.Scheduler(services, Tasks(registry))

    async def run(name: str) -> None:
        begun.append(name)
        await asyncio.sleep(3600.0 if name == "long" else 0.0)

    scheduler._run = run  # type: ignore[method-assign]
    await scheduler.start()
    return clock, scheduler, begun


async def test_a_clock_that_was_set_back_stops_no_schedule(registry: Store, tmp_path: Path) -> None:
    clock, scheduler, begun = await by_the_clock(registry, tmp_path)
    before = scheduler.comes()
    await scheduler.look()
    assert scheduler.comes() == before
    clock.by_s = -7200.0
    await scheduler.look()
    now = datetime.fromtimestamp(clock.now(), UTC)
    after = {name: at - now for name, at in scheduler.comes().items() if at is not None}
    assert timedelta() < after["schedule rebalance"] <= timedelta(minutes=10)
    assert after["prune"] <= timedelta(hours=1)
    assert not begun
    scheduler.close()


async def test_what_is_late_is_done_once_and_then_when_it_is_due(registry: Store, tmp_path: Path) -> None:
    clock, scheduler, begun = await by_the_clock(registry, tmp_path)
    clock.by_s = 7230.0  # it was held up for two hours: twelve runs of ten minutes
    await scheduler.look()
    await asyncio.sleep(0)
    await scheduler.look()
    await asyncio.sleep(0)
    assert begun == ["rebalance"]
    clock.by_s += 600.0
    await scheduler.look()
    await asyncio.sleep(0)
    assert begun == ["rebalance"] * 2
    scheduler.close()


@pytest.mark.parametrize(
    ("ran_s_ago", "off_s", "late"),
    [(600.0, 10.0, True), (5.0, 10.0, False), (600.0, 90.0, False), (None, 10.0, False), (-3600.0, 10.0, False)],
)
async def test_what_came_due_while_nobody_led_is_done_by_who_leads_next(
    registry: Store, tmp_path: Path, ran_s_ago: float | None, off_s: float, late: bool
) -> None:
    """A takeover takes some seconds. Once: not where it was done already, and not for who was off for long."""
    clock, scheduler, begun = await by_the_clock(registry, tmp_path, "* * * * *")
    scheduler.close()
    due = datetime.fromtimestamp(clock.now(), UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    clock.by_s += (due - datetime.fromtimestamp(clock.now(), UTC)).total_seconds() + off_s
    if off_s > 60.0:  # of an hour ago; the one of this minute comes by itself
        await registry.put(Schedule("rebalance", f"{(due - timedelta(minutes=30)).minute} * * * *"))
    if ran_s_ago is not None:
        await registry.change(Schedule, "rebalance", last_run=clock.now() - ran_s_ago)
    await scheduler.start()
    await scheduler.look()
    await asyncio.sleep(0)
    assert begun == (["rebalance"] if late else [])
    scheduler.close()


async def test_a_run_that_has_not_ended_is_not_begun_again(registry: Store, tmp_path: Path) -> None:
    clock, scheduler, begun = await by_the_clock(registry, tmp_path)
    scheduler._arm(Schedule("long", "*/10 * * * *", "act"))
    for _ in range(3):
        clock.by_s += 600.0
        await scheduler.look()
        await asyncio.sleep(0.01)  # one that takes no time has ended
    assert begun == ["rebalance", "long", "rebalance", "rebalance"]
    scheduler.close()
    await scheduler.look()
    assert scheduler.comes() == {}


def test_the_next_run_is_in_the_future_and_text_that_is_none_has_none() -> None:
    found = schedules.next_run("* * * * *")
    assert found is not None and 0 < found - datetime.now(UTC).timestamp() <= 60
    assert schedules.next_run("0 3 29 2 *") is not None, "once in four years is not never"
    assert schedules.next_run("0 3 31 2 *") is None and schedules.next_run("nonsense") is None
