"""However a migration ended: both hosts are read, the registry follows, and no copy that may run is touched."""

from __future__ import annotations

import pytest

from tests.act.crash import job_again
from tests.act.hosts import FakeHost
from vmctl.act import conclude as ending
from vmctl.act import migrate
from vmctl.errors import Cancelled, LibvirtError, MigrationFailed, NoAnswer, Uncertain, VmctlError
from vmctl.model.records import Task, VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.tasks import AnyJob

RUNNING, PAUSED = PowerState.RUNNING, PowerState.PAUSED
PROBLEM = MigrationFailed("libvirt said no")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture gets no time to become clear by itself, where a test does not say so."""
    monkeypatch.setattr(ending, "QUIET_S", 0.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets all the time it needs."""
    monkeypatch.setattr(ending, "QUIET_S", 600.0)
    monkeypatch.setattr(ending, "SETTLE_FOR_S", 600.0)


@pytest.fixture
def hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting ends at once."""
    monkeypatch.setattr(ending, "SETTLE_FOR_S", 0.0)


async def job_of(services: Services, **journal: str) -> AnyJob:
    """A migration's task as its controller left it."""
    number = await services.store.add(Task(0, "migrate", "web1", 1.0, args={"vm": "web1"}, journal=dict(journal)))
    return await job_again(services, number)


async def conclude(services: Services, problem: VmctlError | None = PROBLEM) -> dict[str, object]:
    """The end of a migration from kvm1 to kvm2."""
    job = await job_of(services)
    vm = await services.store.lease(await services.store.vm("web1"), "kvm1", PowerState.MIGRATING)
    return await ending.conclude(services, job, vm, "kvm1", "kvm2", problem, 1.5)


async def told(services: Services) -> list[str]:
    """The kinds of events so far."""
    return [event.kind for event in await services.store.events()]


async def at(services: Services) -> tuple[str, PowerState]:
    """Where the registry says the VM is."""
    vm: VMRecord = await services.store.vm("web1")
    return vm.host, vm.power


async def test_the_happy_end(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm2.shows(RUNNING)
    result = await conclude(services, None)
    assert (result["source"], result["host"], result["downtime_ms"], result["seconds"]) == ("kvm1", "kvm2", 42, 1.5)
    assert result["checked"] == ["kvm1: not there", "kvm2: running"]
    assert await at(services) == ("kvm2", RUNNING)
    assert (await services.store.vm("web1")).moved_at is not None
    assert kvm1.done == kvm2.done == []
    assert await told(services) == ["migrated"]


async def test_a_lost_reply_left_the_source_paused(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(PAUSED, why="migrating")
    kvm2.shows(RUNNING)
    assert (await conclude(services))["host"] == "kvm2"
    assert (kvm1.done, kvm2.done) == (["destroy"], [])
    assert await at(services) == ("kvm2", RUNNING)


@pytest.mark.parametrize("why", ["by request", "I/O error"])
async def test_what_somebody_paused_on_its_target_has_arrived(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, why: str
) -> None:
    kvm2.shows(PAUSED, why=why)
    assert (await conclude(services))["host"] == "kvm2"
    vm = await services.store.vm("web1")
    assert (vm.host, vm.power, vm.why) == ("kvm2", PAUSED, why)
    assert kvm1.done == kvm2.done == []


@pytest.mark.parametrize(("put_out", "wanted"), [(True, "stopped"), (False, "running")])
async def test_what_somebody_destroyed_while_it_migrated_is_not_started_again(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, put_out: bool, wanted: str
) -> None:
    """A QEMU that broke in our migration is; as libvirt told which of the two it was."""
    vm = await services.store.vm("web1")
    await services.store.change(VMRecord, vm.uuid, wanted="running")
    kvm1.put_out = {vm.uuid} if put_out else set()
    with pytest.raises(MigrationFailed, match="web1 runs nowhere"):
        await conclude(services)
    assert (await services.store.vm("web1")).wanted == wanted


@pytest.mark.parametrize("there", [PAUSED, RUNNING, None])
async def test_after_a_broken_post_copy_no_half_is_ended_by_itself(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, hopeless: None, there: PowerState | None
) -> None:
    """Each host has a part of its memory; and nobody is told to destroy one of them."""
    kvm1.shows(PAUSED, why="post-copy failed")
    kvm2.shows(there, why="post-copy failed" if there is PAUSED else "")
    with pytest.raises(Uncertain, match="its post-copy broke") as caught:
        await conclude(services)
    assert kvm1.done == kvm2.done == []
    assert caught.value.hint == "vmctl stop --force web1, then vmctl start web1"
    assert "destroy" not in str(caught.value) + (await services.store.events())[-1].text


async def test_the_source_never_stopped(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(RUNNING)
    with pytest.raises(MigrationFailed, match="was not migrated and runs on kvm1: libvirt said no"):
        await conclude(services)
    assert kvm1.done == kvm2.done == []
    assert await at(services) == ("kvm1", RUNNING)


async def test_cancelled_is_said_as_such(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(RUNNING)
    with pytest.raises(Cancelled, match="as asked; web1 runs on kvm1"):
        await conclude(services, Cancelled("cancelled, as asked"))
    assert await at(services) == ("kvm1", RUNNING)


async def test_a_half_made_copy_on_the_target_is_dropped(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(RUNNING)
    kvm2.shows(PAUSED)
    with pytest.raises(MigrationFailed, match="runs on kvm1"):
        await conclude(services)
    assert (kvm1.done, kvm2.done) == ([], ["destroy"])


async def test_a_paused_source_goes_on_when_the_target_has_nothing(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    kvm1.shows(PAUSED)
    with pytest.raises(MigrationFailed, match="runs on kvm1"):
        await conclude(services)
    assert (kvm1.done, kvm2.done) == (["resume"], [])
    assert await at(services) == ("kvm1", RUNNING)


async def test_of_two_paused_copies_the_whole_one_goes_on(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(PAUSED)
    kvm2.shows(PAUSED)
    with pytest.raises(MigrationFailed, match="runs on kvm1"):
        await conclude(services)
    assert (kvm1.done, kvm2.done) == (["resume"], ["destroy"])


@pytest.mark.usefixtures("patient")
async def test_a_target_that_is_about_to_run_is_waited_for(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(PAUSED)
    kvm2.shows(PAUSED)
    kvm2.later = [lambda: kvm2.shows(RUNNING)]
    assert (await conclude(services))["host"] == "kvm2"
    assert (kvm1.done, kvm2.done) == (["destroy"], [])


@pytest.mark.usefixtures("patient")
async def test_a_source_whose_job_still_runs_is_waited_for(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(RUNNING, has_job=True)
    kvm2.shows(PAUSED)
    kvm1.later, kvm2.later = [lambda: kvm1.shows(None)], [lambda: kvm2.shows(RUNNING)]
    assert (await conclude(services))["host"] == "kvm2"
    assert kvm1.done == kvm2.done == []


async def test_two_that_run_are_not_touched(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(RUNNING)
    kvm2.shows(RUNNING)
    with pytest.raises(Uncertain, match="both run") as caught:
        await conclude(services)
    assert caught.value.lines == ("kvm1: running", "kvm2: running")
    assert kvm1.done == kvm2.done == []
    assert await at(services) == ("kvm1", PowerState.UNKNOWN)
    assert await told(services) == ["alarm"]


async def test_it_runs_nowhere(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    with pytest.raises(MigrationFailed, match="runs nowhere: libvirt said no") as caught:
        await conclude(services)
    assert caught.value.hint == "vmctl start web1"
    assert await at(services) == ("", PowerState.STOPPED)
    assert await told(services) == ["lost"]


async def test_a_silent_source_does_not_hide_a_target_that_runs(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    kvm1.silent()
    kvm2.shows(RUNNING)
    assert (await conclude(services))["host"] == "kvm2"
    assert kvm1.done == kvm2.done == []


@pytest.mark.usefixtures("hopeless")
@pytest.mark.parametrize(("source", "target"), [(None, "silent"), (PAUSED, "silent"), ("silent", None)])
async def test_what_only_a_silent_host_knows_stays_uncertain(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, source: PowerState | str | None, target: PowerState | str | None
) -> None:
    for host, sight in ((kvm1, source), (kvm2, target)):
        host.silent() if sight == "silent" else host.shows(PAUSED if sight else None)
    with pytest.raises(Uncertain, match="not certain") as caught:
        await conclude(services)
    assert any("does not answer (no route)" in line for line in caught.value.lines)
    assert kvm1.done == kvm2.done == []
    assert await at(services) == ("kvm1", PowerState.UNKNOWN)


@pytest.mark.usefixtures("patient")
async def test_a_host_that_answers_again_in_time_is_heard(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm2.shows(RUNNING)
    kvm2.silent()
    kvm1.later = [lambda: None, lambda: setattr(kvm2, "online", True)]
    assert (await conclude(services))["host"] == "kvm2"


@pytest.mark.parametrize("trouble", [LibvirtError("busy"), NoAnswer("did not answer")])
async def test_an_act_that_fails_is_tried_again_after_another_look(
    services: Services, kvm1: FakeHost, kvm2: FakeHost, trouble: LibvirtError | NoAnswer
) -> None:
    kvm1.shows(PAUSED)
    kvm2.shows(RUNNING)
    kvm1.fails = [trouble]
    assert (await conclude(services))["host"] == "kvm2"
    assert kvm1.done == ["destroy", "destroy"]


@pytest.mark.usefixtures("hopeless")
async def test_an_act_that_never_works_ends_uncertain(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(PAUSED)
    kvm2.shows(RUNNING)
    kvm1.fails = [LibvirtError("busy")] * 100
    with pytest.raises(Uncertain):
        await conclude(services)
    assert await at(services) == ("kvm1", PowerState.UNKNOWN)


@pytest.mark.usefixtures("hopeless")
async def test_what_becomes_clear_at_the_last_moment_is_still_finished(
    services: Services, kvm1: FakeHost, kvm2: FakeHost
) -> None:
    kvm1.shows(PAUSED)
    kvm2.shows(RUNNING)
    assert (await conclude(services))["host"] == "kvm2"


async def test_the_next_controller_finishes_what_it_finds(services: Services, kvm1: FakeHost, kvm2: FakeHost) -> None:
    kvm1.shows(PAUSED)
    kvm2.shows(RUNNING)
    job = await job_of(services, source="kvm1", target="kvm2", socket="/tmp/vmctl-x.sock")
    assert (await migrate.migrate(services, job))["host"] == "kvm2"
    assert await at(services) == ("kvm2", RUNNING)
    assert (await services.store.vm("web1")).task == job.id
    await services.store.end_task(job.id, state="done")
    vm = await services.store.vm("web1")
    assert (vm.task, vm.moving_to, vm.copying) == (None, "", False)
