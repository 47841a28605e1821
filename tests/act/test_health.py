"""What guests say becomes few events, a crash loop is told once, and a sick guest is treated as its owner allows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.act.hosts import UUID, FakeHost
from vmctl.act.guestevents import EVENTS_IN, LOOP_LIVES, GuestEvents
from vmctl.act.health import HealthMonitor
from vmctl.commands.vms import Reboot
from vmctl.guests import Follower, Guests
from vmctl.model.policy import HealthPolicy
from vmctl.model.records import DecisionRecord, Event, VMRecord
from vmctl.model.rights import Principal
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.tasks import AnyJob, Tasks


def event(what: str = "exited", unit: str = "tomcat.service", **more: Any) -> dict[str, Any]:
    return {"what": what, "watch": "tomcat", "unit": unit, "pid": 7, "why": "", **more}


@pytest.fixture
def follower(services: Services, kvm1: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Follower:
    """web1 as it runs on kvm1; nothing reads its port."""

    async def nothing(_self: Guests) -> None:
        return

    monkeypatch.setattr(Guests, "look", nothing)
    kvm1.shows(PowerState.RUNNING)
    made = services.guests.followers[UUID] = Follower(UUID, host="kvm1")
    made.guest.picture.os = {"boot_id": "boot-1"}
    return made


@pytest.fixture
def health_monitor(services: Services, follower: Follower) -> HealthMonitor:
    """Looks at web1; what it submits is done by nobody."""

    async def nobody(_job: AnyJob) -> dict[str, Any]:
        return {}

    tasks = Tasks(services.store)
    tasks.handlers = dict.fromkeys(("reboot", "reset"), nobody)
    return HealthMonitor(services, tasks)


@pytest.fixture
def guest_events(services: Services, follower: Follower) -> GuestEvents:
    """Hears what the guest of web1 tells."""
    return GuestEvents(services)


async def told(services: Services, kind: str) -> list[Event]:
    return [event for event in await services.store.events() if event.kind == kind]


async def test_a_flood_of_events_is_told_in_part(
    services: Services, guest_events: GuestEvents, follower: Follower
) -> None:
    for number in range(10):
        follower.guest.events.extend(event("failed", f"{number}.{i}") for i in range(20))
        await guest_events.look()
    assert len(await told(services, "failed")) == EVENTS_IN


async def test_a_crash_loop_is_told_once(services: Services, guest_events: GuestEvents, follower: Follower) -> None:
    for _ in range(LOOP_LIVES + 1):
        follower.guest.events.append(event())
        await guest_events.look()
    [loop] = await told(services, "crash loop")
    assert f"tomcat.service ended {LOOP_LIVES} times" in loop.text


async def test_services_that_end_once_are_no_loop(
    services: Services, guest_events: GuestEvents, follower: Follower
) -> None:
    follower.guest.events.extend(event(unit=f"{number}.service") for number in range(LOOP_LIVES + 4))
    await guest_events.look()
    assert await told(services, "crash loop") == []


async def _sick(services: Services, follower: Follower, level: str) -> None:
    object.__setattr__(services.settings, "health", HealthPolicy(heal_after_s=0.0))
    await services.store.change(VMRecord, UUID, heal=level)
    follower.guest.heard_at = float("inf")  # just now, whenever it is asked
    follower.guest.picture.watches["web"] = {"name": "web", "ok": False, "why": "no answer"}


@pytest.mark.parametrize(("level", "verbs"), [("off", []), ("reboot", ["reboot"]), ("reset", ["reboot"])])
async def test_a_sick_guest_is_treated_as_allowed(
    services: Services, health_monitor: HealthMonitor, follower: Follower, level: str, verbs: list[str]
) -> None:
    await _sick(services, follower, level)
    await health_monitor.look()
    await health_monitor.look()
    assert [task.kind for task in await services.store.tasks(10)] == verbs
    assert [event.text.split(": ")[1] for event in await told(services, "heal")] == verbs
    decided = [one for one in await services.store.all(DecisionRecord) if one.kind == "heal"]
    assert len(decided) == len(verbs)


async def test_nothing_is_done_to_a_paused_one(
    services: Services, health_monitor: HealthMonitor, follower: Follower, kvm1: FakeHost
) -> None:
    await _sick(services, follower, "reset")
    kvm1.shows(PowerState.PAUSED)
    await health_monitor.look()
    assert await services.store.tasks(10) == []


async def test_health_is_told_when_it_has_changed_since_it_was_told(
    services: Services, health_monitor: HealthMonitor, follower: Follower
) -> None:
    follower.guest.heard_at = float("inf")
    watch = follower.guest.picture.watches["web"] = {"name": "web", "ok": None, "why": "no answer yet"}
    for ok in (None, True, None, True, False, None, False, None, True):
        watch["ok"] = ok
        await health_monitor.look()
    assert [event.text.split(":")[0] for event in await told(services, "health")] == [
        "web1 is degraded",
        "web1 is well",
    ]


@pytest.mark.parametrize("known_as", ["web1", UUID])
async def test_a_vm_that_a_task_holds_is_not_judged(
    services: Services, health_monitor: HealthMonitor, follower: Follower, known_as: str
) -> None:
    """Also by its name, as tasks of an earlier version know it."""

    async def takes_long(_job: AnyJob) -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {}

    vm = await services.store.vm("web1")
    health_monitor._tasks.handlers["reboot"] = takes_long
    await health_monitor._tasks.submit(Reboot(known_as), Principal("me"), "web1")
    held, restarting = health_monitor._held()
    assert health_monitor._frozen(vm, follower, held) and restarting == {known_as}
    follower.guest.heard_at = 1.0
    await health_monitor.look()
    assert follower.guest.heard_at is None, "its guest begins anew"
    await health_monitor._tasks.close()


async def test_a_vm_that_nobody_follows_says_why(services: Services, health_monitor: HealthMonitor) -> None:
    vm = await services.store.vm("web1")
    assert health_monitor.of(vm)[0].why == "kvm1 has not shown it yet"
    assert health_monitor.of(replace(vm, power=PowerState.STOPPED))[0].why == "it is stopped"
    object.__setattr__(services.settings, "read_guests", False)
    assert health_monitor.of(vm)[0].why == "guests are not read, by the settings"
