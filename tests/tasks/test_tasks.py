"""The task engine on a real registry: journalled before it acts, followed while it runs, brought to an end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest

from vmctl.commands import catalogue
from vmctl.commands.rows import Command
from vmctl.commands.vms import Create
from vmctl.errors import NoHostFits, NotFound, Refused, RegistryUnusable
from vmctl.model.audit import Entry
from vmctl.model.records import Task, TaskState, VMRecord
from vmctl.model.rights import Permission, Principal
from vmctl.model.vms import Spec
from vmctl.ports.store import Store
from vmctl.ports.turns import come_last, comes_last
from vmctl.store.sql import SqlStore
from vmctl.tasks import AnyJob, Handler, Job, Tasks, engine
from vmctl.tasks.journals import JOURNALS, Journal

Result = dict[str, Any]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers hear of every change, and the tests' command has its journal."""
    monkeypatch.setitem(JOURNALS, "test", Noted)
    monkeypatch.setattr(engine, "FOLLOW_S", 0.0)
    monkeypatch.setattr(engine, "ELSEWHERE_S", 0.0)


@dataclass(frozen=True, slots=True)
class Asked:
    """Arguments of a command that only these tests have."""

    size: int = 0


@dataclass(frozen=True, slots=True)
class Noted(Journal):
    """And its journal."""

    target: str = ""
    disk: str = ""
    victim: str = ""


COMMAND = Command(Asked, "", Permission.POWER, "test", task=True, resumes=True)
ME = Principal("me")


class Work:
    """A handler that goes on when the test says so."""

    def __init__(self) -> None:
        self.started, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, job: AnyJob) -> Result:
        await job.note("first step", target="kvm2")
        job.say("half of it is done")
        job.show(percent=50)
        self.started.set()
        await self.go_on.wait()
        job.check_cancelled()
        await job.note("second step", disk="/a")
        return {"host": "kvm2"}


def running(registry: Store, handler: Handler, command: Command = COMMAND) -> Tasks:
    made = Tasks(registry, {"test": command})
    made.handlers["test"] = handler
    return made


async def test_a_task_does_not_come_last_whoever_gave_it(registry: Store) -> None:
    """What looks after hosts gives tasks, and comes last at the registry: somebody may wait for the task."""
    seen: list[bool] = []

    async def look(_job: AnyJob) -> Result:
        seen.append(comes_last())
        return {}

    tasks = running(registry, look)

    async def look_after() -> int:
        come_last()
        return (await tasks.submit(Asked(), ME, "web1")).id

    await tasks.wait(await asyncio.create_task(look_after()))
    assert seen == [False]


async def test_a_task_goes_through_its_states(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    accepted = await tasks.submit(Asked(size=3), ME, "web1")
    assert (accepted.state, accepted.args, accepted.who) == (TaskState.QUEUED, {"size": 3}, "me")
    row = await registry.get(Task, accepted.id)
    begun: dict[str, Any] = {"state": TaskState.QUEUED, "started_at": None, "step": "", "journal": {}}
    assert replace(row, **begun) == accepted, "its row is there at once, whether it has begun or not"
    await work.started.wait()
    row = await registry.get(Task, accepted.id)
    assert (row.state, row.step, row.journal) == (TaskState.RUNNING, "first step", {"target": "kvm2"})
    assert row.started_at is not None and row.ended_at is None
    assert [job.id for job in tasks.jobs()] == [accepted.id]
    work.go_on.set()
    ended = await tasks.wait(accepted.id)
    assert (ended.state, ended.result, ended.error) == (TaskState.DONE, {"host": "kvm2"}, {})
    assert ended.journal == {"target": "kvm2", "disk": "/a"}, "steps add to the journal"
    assert (ended.step, [line for _, line in ended.log]) == ("second step", ["half of it is done"])
    assert ended.ended_at is not None
    assert tasks.jobs() == [] and tasks.live(accepted.id) is None
    assert await registry.open_tasks() == []


async def test_what_a_step_needs_is_journalled_before_it_is_taken(registry: Store) -> None:
    found: list[Task] = []

    async def handler(job: AnyJob) -> Result:
        await job.note("destroying", victim="kvm1")
        found.append(await registry.get(Task, job.id))
        return {}

    tasks = running(registry, handler)
    await tasks.wait((await tasks.submit(Asked(), ME, "web1")).id)
    assert (found[0].step, found[0].journal) == ("destroying", {"victim": "kvm1"})


async def test_a_refusal_fails_with_its_words(registry: Store) -> None:
    async def handler(job: AnyJob) -> Result:
        raise NoHostFits("no host can take web1", hint="vmctl top", lines=("kvm1: full",))

    tasks = running(registry, handler)
    ended = await tasks.wait((await tasks.submit(Asked(), ME, "web1")).id)
    assert ended.state is TaskState.FAILED
    assert ended.error == {
        "code": "NoHostFits",
        "exit_code": 3,
        "message": "no host can take web1",
        "hint": "vmctl top",
        "lines": ["kvm1: full"],
    }


async def test_a_bug_fails_with_a_sentence(registry: Store, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(job: AnyJob) -> Result:
        raise ZeroDivisionError("division by zero")

    tasks = running(registry, handler)
    ended = await tasks.wait((await tasks.submit(Asked(), ME, "web1")).id)
    assert (ended.state, ended.error["exit_code"]) == (TaskState.FAILED, 1)
    assert ended.error["message"] == "ZeroDivisionError: division by zero"
    assert ended.error["hint"] == "the controller's log has the details"
    assert "Traceback" in caplog.text


async def test_a_task_stops_between_two_steps_when_asked_to(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    number = (await tasks.submit(Asked(), ME, "web1")).id
    await work.started.wait()
    await tasks.cancel(number, ME)
    work.go_on.set()
    ended = await tasks.wait(number)
    assert (ended.state, ended.step) == (TaskState.CANCELLED, "first step")
    assert (ended.error["exit_code"], ended.error["message"]) == (130, f"task {number} was cancelled")
    assert [line for _, line in ended.log][-1] == "me asked to cancel it"


async def test_one_that_leaves_accepts_and_begins_nothing(registry: Store) -> None:
    work = Work()
    work.go_on.set()
    tasks = running(registry, work)
    tasks.hold(True)
    tasks.hold(True)
    task = await tasks.submit(Asked(), ME, "web1", may_wait=True)
    child = await tasks.submit(Asked(), ME, "web2")
    assert (await tasks.wait(child.id)).state is TaskState.DONE, "what a running task gives does not wait"
    assert not tasks.jobs() and (await registry.get(Task, task.id)).state is TaskState.QUEUED
    with pytest.raises(Refused, match="on its way to another controller"):
        await tasks.cancel(task.id, ME)

    async def followed() -> list[TaskState]:
        return [seen.state async for seen in tasks.follow(task.id)]

    following = asyncio.create_task(followed())
    successor = running(registry, work)
    [left] = await registry.open_tasks()
    successor.resume(left)
    await successor.wait(task.id)
    assert await following == [TaskState.DONE]


async def test_one_that_does_not_leave_after_all_begins_what_it_accepted(registry: Store) -> None:
    work = Work()
    work.go_on.set()
    tasks = running(registry, work)
    tasks.hold(True)
    task = await tasks.submit(Asked(), ME, "web1", may_wait=True)
    tasks.hold(False)
    assert (await tasks.wait(task.id)).state is TaskState.DONE
    assert (await tasks.wait((await tasks.submit(Asked(), ME, "web1", may_wait=True)).id)).state is TaskState.DONE


async def test_what_has_ended_or_never_was_cannot_be_cancelled(registry: Store) -> None:
    work = Work()
    work.go_on.set()
    tasks = running(registry, work)
    number = (await tasks.submit(Asked(), ME, "web1")).id
    await tasks.wait(number)
    with pytest.raises(Refused, match=f"task {number} has ended: done"):
        await tasks.cancel(number, ME)
    with pytest.raises(NotFound):
        await tasks.cancel(99, ME)


async def test_a_follower_sees_it_go_and_end(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    number = (await tasks.submit(Asked(), ME, "web1")).id
    seen = []
    async for state in tasks.follow(number):
        seen.append(state)
        if state.progress:
            work.go_on.set()
    assert [str(state.state) for state in seen][-2:] == ["running", "done"]
    halfway = next(state for state in seen if state.progress)
    assert (halfway.progress, halfway.step) == ({"percent": 50}, "first step")
    assert halfway.log[0][1] == "half of it is done", "the log is live"
    assert (seen[-1].result, seen[-1].progress) == ({"host": "kvm2"}, {})


async def test_many_may_follow_one_task_and_late_ones_see_its_end(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    number = (await tasks.submit(Asked(), ME, "web1")).id
    waiting = [asyncio.create_task(tasks.wait(number)) for _ in range(5)]
    await work.started.wait()
    work.go_on.set()
    assert {task.state for task in await asyncio.gather(*waiting)} == {TaskState.DONE}
    assert [str(state.state) async for state in tasks.follow(number)] == ["done"]


async def test_a_follower_of_a_task_that_goes_on_elsewhere_hears_of_its_end_there(registry: Store) -> None:
    work = Work()

    async def deposed(job: AnyJob) -> Result:
        result = await work(job)
        job.claim.lose()
        return result

    tasks, seen = running(registry, deposed), list[str]()
    number = (await tasks.submit(Asked(), ME, "web1")).id

    async def follow() -> None:
        async for state in tasks.follow(number):
            seen.append(str(state.state))

    following = asyncio.create_task(follow())
    await work.started.wait()
    work.go_on.set()
    assert not (await tasks.wait(number)).state.ended
    await asyncio.sleep(0.1)
    assert not following.done(), "what goes on elsewhere has not ended"
    entry = Entry(2.0, "me", "test", "web1", "done")
    await registry.end_task(number, entry=entry, state=TaskState.DONE, ended_at=2.0)
    await asyncio.wait_for(following, 5)
    assert seen[-1] == "done"


async def test_a_follower_of_nothing_is_told(registry: Store) -> None:
    with pytest.raises(NotFound):
        await Tasks(registry).wait(99)


@pytest.mark.parametrize("outcome", ["done", "failed", "broken", "cancelled"])
async def test_what_a_task_held_is_free_when_it_has_ended(registry: Store, outcome: str) -> None:
    await registry.add_vm(VMRecord(Spec("u1", "web1", 1, 128), 1.0))

    async def handler(job: AnyJob) -> Result:
        vm = await registry.claim(await registry.vm("web1"), job.id)
        assert vm.task == job.id
        if outcome == "failed":
            raise Refused("no")
        if outcome == "broken":
            raise RuntimeError("a bug")
        if outcome == "cancelled":
            job.cancel_asked.set()
            job.check_cancelled()
        return {}

    tasks = running(registry, handler)
    ended = await tasks.wait((await tasks.submit(Asked(), ME, "web1")).id)
    assert str(ended.state) == {"broken": "failed"}.get(outcome, outcome)
    assert (await registry.vm("web1")).task is None


async def test_a_crash_leaves_a_task_to_the_next_controller(registry: Store) -> None:
    await registry.add_vm(VMRecord(Spec("u1", "web1", 1, 128), 1.0))

    async def stuck(job: AnyJob) -> Result:
        await registry.claim(await registry.vm("web1"), job.id)
        return await work(job)

    work = Work()
    first = running(registry, stuck)
    number = (await first.submit(Asked(), ME, "web1")).id
    await work.started.wait()
    await first.close()
    (left,) = await registry.open_tasks()
    assert (left.id, left.state, left.step, left.journal) == (
        *(number, TaskState.RUNNING, "first step"),
        {"target": "kvm2"},
    )
    assert left.ended_at is None
    assert (await registry.vm("web1")).task == number, "nobody else takes the VM meanwhile"

    async def finish(job: AnyJob) -> Result:
        return {"target": job.journal.target, "was in": job.step}

    second = running(registry, finish)
    second.resume(left)
    ended = await second.wait(number)
    assert (ended.state, ended.result) == (TaskState.DONE, {"target": "kvm2", "was in": "first step"})
    assert ended.started_at == left.started_at
    assert (await registry.vm("web1")).task is None


async def test_what_an_earlier_version_called_otherwise_is_read_as_what_it_is(registry: Store) -> None:
    """A create that waits in the queue must not lose what its host has to carry."""
    row = Task(1, "create", "x", 1.0, args={"name": "x", "image": "i", "mem_mib": 64, "labels": {"a": "b"}, "old": 1})
    job: AnyJob = Job(row, catalogue.tasks()["create"], registry)
    assert job.args == Create("x", "i", 64, needs={"a": "b"})


async def test_a_row_that_cannot_be_read_ends_as_failed(registry: Store) -> None:
    """It keeps no controller from starting, and is not open for ever."""
    tasks = running(registry, _nothing)
    number = await registry.add(Task(0, "test", "web1", 1.0, state=TaskState.RUNNING, journal={"target": "kvm2"}))
    alien = await registry.add(Task(0, "of tomorrow", "web1", 1.0))
    monkey = Command(Create, "", Permission.POWER, "test", task=True, resumes=True)
    later = running(registry, _nothing, monkey)
    for one in (number, alien):
        later.resume(await registry.get(Task, one))
    async with asyncio.timeout(10):
        while await registry.open_tasks():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "cannot be read" in (await registry.get(Task, number)).error["message"]
    assert "the controller ended" in (await registry.get(Task, alien)).error["message"]
    await tasks.close()


async def test_closing_with_nothing_to_do_is_no_work(registry: Store) -> None:
    await Tasks(registry).close()


# -- what must not be lost


async def test_the_end_is_written_again_until_it_is_written(registry: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry's disk is full just when a task ends."""
    monkeypatch.setattr(engine, "FIRST_RETRY_S", 0.0)
    real, left = SqlStore.end_task, [3]

    async def full(self: SqlStore, task: int, **values: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError("database or disk is full")
        await real(self, task, **values)

    monkeypatch.setattr(SqlStore, "end_task", full)
    tasks = running(registry, _nothing)
    task = await tasks.submit(Asked(), ME, "web1")
    assert (await tasks.wait(task.id)).state is TaskState.DONE
    assert left == [0] and tasks.jobs() == []


async def _nothing(_job: AnyJob) -> Result:
    return {}


@pytest.mark.parametrize("written", [True, False])
async def test_a_command_is_accepted_or_not_also_where_the_registrys_answer_is_lost(
    registry: Store, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row may wait there for the next start after its asker was told no."""
    real = SqlStore.accept

    async def lost(self: SqlStore, task: Task, entry: Entry, **more: Any) -> int:
        if written:
            await real(self, task, entry, **more)
        raise RegistryUnusable("no answer")

    tasks = running(registry, _nothing)
    earlier = await tasks.submit(Asked(), ME, "web1")
    monkeypatch.setattr(SqlStore, "accept", lost)
    if not written:
        with pytest.raises(RegistryUnusable):
            await tasks.submit(Asked(), ME, "web1")
        assert [task.id for task in await registry.tasks()] == [earlier.id]
        return
    task = await tasks.submit(Asked(), ME, "web1")
    assert task.id != earlier.id
    assert (await tasks.wait(task.id)).state is TaskState.DONE
    assert await registry.open_tasks() == []


async def test_a_start_that_cannot_be_written_ends_the_task(registry: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = SqlStore.change

    async def full(self: SqlStore, kind: type[Any], key: Any, **values: Any) -> None:
        if "started_at" in values:
            raise OSError("database or disk is full")
        await real(self, kind, key, **values)

    monkeypatch.setattr(SqlStore, "change", full)
    tasks = running(registry, _nothing)
    ended = await tasks.wait((await tasks.submit(Asked(), ME, "web1")).id)
    assert ended.state is TaskState.FAILED and "full" in ended.error["message"]


async def test_every_follower_hears_of_every_change(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    task = await tasks.submit(Asked(), ME, "web1")

    async def follow() -> list[str]:
        return [str(state.state) async for state in tasks.follow(task.id)]

    followers = [asyncio.create_task(follow()) for _ in range(3)]
    await work.started.wait()
    work.go_on.set()
    async with asyncio.timeout(10):
        assert all(states[-1] == "done" for states in await asyncio.gather(*followers))


async def test_a_successor_knows_that_cancelling_was_asked_for(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    task = await tasks.submit(Asked(), ME, "web1")
    await work.started.wait()
    await tasks.cancel(task.id, ME)
    await tasks.close()  # it dies before the task has looked
    row = await registry.get(Task, task.id)
    assert row.cancel_asked and not row.state.ended
    later = running(registry, work)
    work.go_on.set()
    later.resume(row)
    assert (await later.wait(task.id)).state is TaskState.CANCELLED


async def test_what_was_said_is_in_the_registry_with_the_next_step(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    task = await tasks.submit(Asked(), ME, "web1")
    await work.started.wait()
    await tasks.flush()
    assert [sentence for _, sentence in (await registry.get(Task, task.id)).log] == ["half of it is done"]
    work.go_on.set()
    await tasks.wait(task.id)


@pytest.mark.parametrize(("resumable", "state"), [(True, TaskState.DONE), (False, TaskState.FAILED)])
async def test_a_lost_link_is_no_interruption(registry: Store, resumable: bool, state: TaskState) -> None:
    """A future that nobody of ours cancelled: the handler is run again, or what it did is not known."""
    tries: list[int] = []

    async def handler(job: AnyJob) -> Result:
        tries.append(job.id)
        if len(tries) == 1:
            lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lost.cancel()
            await lost
        return {"tries": len(tries)}

    tasks = running(registry, handler, replace(COMMAND, resumes=resumable))
    ended = await tasks.wait((await tasks.submit(Asked(), ME, "web1")).id)
    assert ended.state is state
    assert ended.result == {"tries": 2} if resumable else "whether it was done is not known" in ended.error["message"]


@pytest.mark.parametrize(
    ("journalled", "resumable", "state"),
    [(True, True, TaskState.DONE), (True, False, TaskState.FAILED), (False, True, TaskState.FAILED)],
)
async def test_a_registry_that_takes_nothing_ends_no_task_that_has_begun(
    registry: Store, monkeypatch: pytest.MonkeyPatch, journalled: bool, resumable: bool, state: TaskState
) -> None:
    """What has begun is looked after again, as by a successor; what has not is told as not done."""
    monkeypatch.setattr(engine, "TRY_AGAIN_S", 0.01)
    tries: list[int] = []

    async def handler(job: AnyJob) -> Result:
        tries.append(job.id)
        if journalled:
            await job.note("copying", target="kvm2")
        if len(tries) < 3:
            raise RegistryUnusable("the registry's disk is full")
        return {"tries": len(tries)}

    tasks = running(registry, handler, replace(COMMAND, resumes=resumable))
    ended = await tasks.wait((await tasks.submit(Asked(), ME, "web1")).id)
    assert ended.state is state
    assert len(tries) == (3 if state is TaskState.DONE else 1)


async def test_a_registry_that_takes_nothing_for_long_ends_it_at_last(
    registry: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "TRY_AGAIN_S", 0.01)
    monkeypatch.setattr(engine, "PATIENCE_S", 0.1)

    async def handler(job: AnyJob) -> Result:
        await job.note("copying", target="kvm2")
        raise RegistryUnusable("/secret/place/registry.db is full")

    tasks = running(registry, handler)
    ended = await tasks.wait((await tasks.submit(Asked(), ME, "web1")).id)
    assert ended.state is TaskState.FAILED and "took nothing" in ended.error["message"]
    assert "/secret" not in str(ended.error), "a task is shown elsewhere, too"


async def test_an_end_lets_go_of_promises_and_slots(registry: Store) -> None:
    vm = VMRecord(Spec("u1", "web1", 1, 128), 1.0, host="kvm1")
    other = VMRecord(Spec("u2", "web2", 1, 128), 1.0, host="kvm1")
    for one in (vm, other):
        await registry.add_vm(one)
    tasks = [await registry.add(Task(0, "migrate", "web1", 1.0)) for _ in range(2)]
    await registry.claim(vm, tasks[0])
    await registry.change(VMRecord, "u1", moving_to="kvm2")
    assert await registry.take_slot(vm, "kvm2", 1, 1) is None
    assert await registry.take_slot(other, "kvm3", 1, 1) == f"kvm1 already sends 1 (task {tasks[0]})"
    assert await registry.take_slot(other, "kvm3", 2, 1) is None
    await registry.end_task(tasks[0], state=TaskState.FAILED)
    kept = await registry.vm("u1")
    assert (kept.task, kept.moving_to, kept.copying) == (None, "", False)
