"""Hosts that are lost, come back and were rebooted are told once; what should run is started again, within a budget."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.act.crash import Died, Life
from tests.act.hosts import UUID, FakeHost, domain
from vmctl.act.presence import follow_host, keep_boot
from vmctl.act.reconcile import reconcile
from vmctl.act.restart import Restarts
from vmctl.decide.restart import RESTS_S, WINDOW_S, wait_s
from vmctl.hosts.link import HostLink
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.tasks import AnyJob, Tasks

RUNNING, STOPPED = PowerState.RUNNING, PowerState.STOPPED


async def look(services: Services, host: FakeHost) -> None:
    """What the controller does whenever something of a host is new."""
    link = cast(HostLink, host)
    await follow_host(services, link)
    await reconcile(services, link)
    await keep_boot(services, link)


async def told(services: Services) -> list[str]:
    return [event.kind for event in await services.store.events()]


async def web1(services: Services) -> VMRecord:
    return await services.store.vm(UUID)


@pytest.fixture
async def wanted(services: Services, kvm1: FakeHost) -> FakeHost:
    """web1 is wanted running, and its host was seen in its first boot."""
    await services.store.change(VMRecord, UUID, wanted="running")
    kvm1.shows(RUNNING)
    await look(services, kvm1)
    return kvm1


async def test_a_lost_host_is_told_once_with_its_vms(services: Services, wanted: FakeHost) -> None:
    wanted.silent()
    for _ in range(3):
        await look(services, wanted)
    [event] = [event for event in await services.store.events() if event.kind == "host lost"]
    assert "no route" in event.text and "what ran there may go on: web1" in event.text
    wanted.online = True
    for _ in range(2):
        await look(services, wanted)
    assert (await told(services)).count("host back") == 1


@pytest.mark.parametrize("online", [False, True])
async def test_a_controller_that_dies_loses_no_event(
    services: Services, wanted: FakeHost, life: Life, online: bool
) -> None:
    """At each write of telling that a host is lost, or that it is back and was rebooted."""
    wanted.silent()
    if online:
        await look(services, wanted)
        wanted.shows(None)
        wanted.online, wanted.boot_id = True, "boot-2"
    for step in range(20):
        life.left = step
        with contextlib.suppress(Died):
            await look(services, wanted)
        life.left = None
        wanted.told_lost = wanted.rebooted = False  # the next controller remembers nothing
    assert (await told(services)).count("host lost") == 1
    assert (await told(services)).count("host back") == (await told(services)).count("host rebooted") == online


async def test_a_reboot_that_a_controller_died_over_starts_again_what_its_shutdown_ended(
    services: Services, wanted: FakeHost, life: Life
) -> None:
    """The guest ended just before its host: that it is wanted again is written before the new boot is."""
    wanted.lost_since = time.time()
    await services.store.change(VMRecord, UUID, power=STOPPED, wanted="stopped", ended=["kvm1", time.time()], host="")
    wanted.shows(None)
    wanted.boot_id = "boot-2"
    for step in range(8):
        life.left = step
        with contextlib.suppress(Died):
            await look(services, wanted)
        life.left = None
        wanted.rebooted = False
        if (await services.store.get(HostRecord, "kvm1")).boot_id == "boot-2":
            break
    assert (await web1(services)).wanted == "running"


async def test_a_host_that_was_not_tried_yet_is_not_lost(services: Services, kvm1: FakeHost) -> None:
    kvm1.silent()
    kvm1.tried = False
    await look(services, kvm1)
    assert await told(services) == []


async def test_a_guest_that_ends_by_itself_is_not_wanted_any_more(services: Services, wanted: FakeHost) -> None:
    wanted.shows(None)
    await look(services, wanted)
    vm = await web1(services)
    assert (vm.power, vm.wanted) == (STOPPED, "stopped")


async def test_a_guest_that_ended_with_its_hosts_boot_is_still_wanted(services: Services, wanted: FakeHost) -> None:
    wanted.shows(None)
    wanted.boot_id = "boot-2"
    await look(services, wanted)
    vm = await web1(services)
    assert (vm.power, vm.wanted) == (STOPPED, "running")
    assert (await services.store.get(HostRecord, "kvm1")).boot_id == "boot-2"
    assert (await told(services)).count("host rebooted") == 1
    await look(services, wanted)
    assert (await told(services)).count("host rebooted") == 1


async def test_before_the_boot_is_known_nothing_is_said_of_what_is_gone(services: Services, wanted: FakeHost) -> None:
    wanted.shows(None)
    wanted.boot_id, wanted.since = "", time.time()
    await look(services, wanted)
    assert (await web1(services)).power is RUNNING


def restarts(services: Services, done: list[str]) -> tuple[Restarts, Tasks]:
    async def start(job: AnyJob) -> dict[str, Any]:
        done.append(job.task.who)
        return {}

    tasks = Tasks(services.store)
    tasks.handlers["start"] = start
    return Restarts(services, tasks), tasks


@pytest.mark.parametrize(("change", "started"), [
    ({}, 1),
    ({"wanted": "stopped"}, 0),
    ({"autostart": False}, 0),
    ({"adopted": True}, 0),
    ({"task": 7}, 0),
    ({"power": PowerState.UNKNOWN}, 0),
    ({"restarts": [time.time() + 3600]}, 1),  # the clock was set back: it says nothing of how long ago it was
])  # fmt: skip
async def test_only_what_should_run_is_started_again(services: Services, change: dict[str, Any], started: int) -> None:
    await services.store.change(VMRecord, UUID, **({"wanted": "running", "power": STOPPED, "host": ""} | change))
    done: list[str] = []
    again, tasks = restarts(services, done)
    await again.look(await services.store.all(VMRecord))
    for job in tasks.jobs():
        await tasks.wait(job.id)
    assert done == ["autostart"] * started
    assert len((await web1(services)).restarts) == started + len(change.get("restarts", ()))


async def test_the_budget_outlives_a_controller_and_its_end_is_told_once(services: Services) -> None:
    now = time.time()
    tries = [now - 10, now - 400, now - 1000]
    await services.store.change(VMRecord, UUID, wanted="running", power=STOPPED, host="", restarts=tries)
    done: list[str] = []
    for _ in range(2):
        # a new one each time
        await restarts(services, done)[0].look(await services.store.all(VMRecord))
    assert done == [] and (await told(services)).count("autostart") == 1
    assert "3 starts in an hour did not help" in (await web1(services)).why


def test_each_start_again_waits_longer() -> None:
    assert wait_s([]) == 0.0
    assert wait_s([10.0]) == RESTS_S[1] - 10.0
    assert wait_s([RESTS_S[2] + 1, 2000.0]) == 0.0
    assert wait_s([1.0, 2.0, 3.0]) is None
    assert wait_s([-7200.0, -7100.0, -10.0]) == 0.0, "the clock was set back"
    assert wait_s([WINDOW_S + 1, WINDOW_S + 2, WINDOW_S + 3]) == 0.0


async def test_a_boot_that_is_heard_of_in_the_middle_changes_no_judgement(services: Services, wanted: FakeHost) -> None:
    """The host is back, and its first sample comes between two steps of following it."""
    wanted.shows(None)
    wanted.boot_id, wanted.since = "", time.time()
    link = cast(HostLink, wanted)
    await follow_host(services, link)
    wanted.boot_id = "boot-2"
    await reconcile(services, link)
    await keep_boot(services, link)
    assert ((await web1(services)).power, (await web1(services)).wanted) == (RUNNING, "running")
    await look(services, wanted)
    assert ((await web1(services)).power, (await web1(services)).wanted) == (STOPPED, "running")
    assert "host rebooted" in await told(services)


async def test_of_a_host_that_left_the_pool_nothing_is_followed(services: Services, wanted: FakeHost) -> None:
    other = FakeHost("kvm1")
    other.domains = {"9": replace(domain(RUNNING), uuid="9", name="ghost")}
    await reconcile(services, cast(HostLink, other))
    assert await services.store.find_vm("ghost") is None
