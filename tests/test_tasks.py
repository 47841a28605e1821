"""The task engine on a real registry: journalled before it acts, followed while it runs, brought to an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vmctl import tasks as engine
from vmctl.errors import NoHostFits, NotFound, Refused
from vmctl.model import Spec
from vmctl.records import Task, TaskState, VMRecord
from vmctl.store.store import Store
from vmctl.tasks import Handler, Job, Tasks

Result = dict[str, Any]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers hear of every change."""
    monkeypatch.setattr(engine, "FOLLOW_S", 0.0)


class Work:
    """A handler that goes on when the test says so."""

    def __init__(self) -> None:
        self.started, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, job: Job) -> Result:
        await job.note("first step", target="kvm2")
        job.say("half of it is done")
        job.show(percent=50)
        self.started.set()
        await self.go_on.wait()
        job.check_cancelled()
        await job.note("second step", disk="/a")
        return {"host": "kvm2"}


def running(registry: Store, handler: Handler) -> Tasks:
    made = Tasks(registry)
    made.handlers["test"] = handler
    return made


async def test_a_task_goes_through_its_states(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    accepted = await tasks.submit("test", "web1", "me", size=3)
    assert (accepted.state, accepted.args, accepted.who) == (TaskState.QUEUED, {"size": 3}, "me")
    assert await registry.get(Task, accepted.id) == accepted, "its row is there before it runs"
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

    async def handler(job: Job) -> Result:
        await job.note("destroying", victim="kvm1")
        found.append(await registry.get(Task, job.id))
        return {}

    tasks = running(registry, handler)
    await tasks.wait((await tasks.submit("test", "web1")).id)
    assert (found[0].step, found[0].journal) == ("destroying", {"victim": "kvm1"})


async def test_a_refusal_fails_with_its_words(registry: Store) -> None:
    async def handler(job: Job) -> Result:
        raise NoHostFits("no host can take web1", hint="vmctl top", lines=("kvm1: full",))

    tasks = running(registry, handler)
    ended = await tasks.wait((await tasks.submit("test", "web1")).id)
    assert ended.state is TaskState.FAILED
    assert ended.error == {
        "code": "NoHostFits",
        "exit_code": 3,
        "message": "no host can take web1",
        "hint": "vmctl top",
        "lines": ["kvm1: full"],
    }


async def test_a_bug_fails_with_a_sentence(registry: Store, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(job: Job) -> Result:
        raise ZeroDivisionError("division by zero")

    tasks = running(registry, handler)
    ended = await tasks.wait((await tasks.submit("test", "web1")).id)
    assert (ended.state, ended.error["exit_code"]) == (TaskState.FAILED, 1)
    assert ended.error["message"] == "ZeroDivisionError: division by zero"
    assert ended.error["hint"] == "the controller's log has the details"
    assert "Traceback" in caplog.text


async def test_a_task_stops_between_two_steps_when_asked_to(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    number = (await tasks.submit("test", "web1")).id
    await work.started.wait()
    await tasks.cancel(number)
    work.go_on.set()
    ended = await tasks.wait(number)
    assert (ended.state, ended.step) == (TaskState.CANCELLED, "first step")
    assert (ended.error["exit_code"], ended.error["message"]) == (130, f"task {number} was cancelled")
    assert [line for _, line in ended.log][-1] == "cancelling was asked for"


async def test_what_has_ended_or_never_was_cannot_be_cancelled(registry: Store) -> None:
    work = Work()
    work.go_on.set()
    tasks = running(registry, work)
    number = (await tasks.submit("test", "web1")).id
    await tasks.wait(number)
    with pytest.raises(Refused, match=f"task {number} has ended: done"):
        await tasks.cancel(number)
    with pytest.raises(NotFound):
        await tasks.cancel(99)


async def test_a_follower_sees_it_go_and_end(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    number = (await tasks.submit("test", "web1")).id
    seen = []
    async for state in tasks.follow(number):
        seen.append(state)
        if state["progress"]:
            work.go_on.set()
    assert [state["state"] for state in seen][-2:] == ["running", "done"]
    halfway = next(state for state in seen if state["progress"])
    assert (halfway["progress"], halfway["step"]) == ({"percent": 50}, "first step")
    assert halfway["log"][0][1] == "half of it is done", "the log is live"
    assert (seen[-1]["result"], seen[-1]["progress"]) == ({"host": "kvm2"}, {})


async def test_many_may_follow_one_task_and_late_ones_see_its_end(registry: Store) -> None:
    work = Work()
    tasks = running(registry, work)
    number = (await tasks.submit("test", "web1")).id
    waiting = [asyncio.create_task(tasks.wait(number)) for _ in range(5)]
    await work.started.wait()
    work.go_on.set()
    assert {task.state for task in await asyncio.gather(*waiting)} == {TaskState.DONE}
    assert [state["state"] async for state in tasks.follow(number)] == ["done"]


async def test_a_follower_of_nothing_is_told(registry: Store) -> None:
    with pytest.raises(NotFound):
        await Tasks(registry).wait(99)


@pytest.mark.parametrize("outcome", ["done", "failed", "broken", "cancelled"])
async def test_what_a_task_held_is_free_when_it_has_ended(registry: Store, outcome: str) -> None:
    await registry.add_vm(VMRecord(Spec("u1", "web1", 1, 128), 1.0))

    async def handler(job: Job) -> Result:
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
    ended = await tasks.wait((await tasks.submit("test", "web1")).id)
    assert str(ended.state) == {"broken": "failed"}.get(outcome, outcome)
    assert (await registry.vm("web1")).task is None


async def test_a_crash_leaves_a_task_to_the_next_controller(registry: Store) -> None:
    await registry.add_vm(VMRecord(Spec("u1", "web1", 1, 128), 1.0))

    async def stuck(job: Job) -> Result:
        await registry.claim(await registry.vm("web1"), job.id)
        return await work(job)

    work = Work()
    first = running(registry, stuck)
    number = (await first.submit("test", "web1")).id
    await work.started.wait()
    await first.close()
    (left,) = await registry.open_tasks()
    assert (left.id, left.state, left.step, left.journal) == (
        *(number, TaskState.RUNNING, "first step"),
        {"target": "kvm2"},
    )
    assert left.ended_at is None
    assert (await registry.vm("web1")).task == number, "nobody else takes the VM meanwhile"

    async def finish(job: Job) -> Result:
        return {"target": job.journal["target"], "was in": job.step}

    second = Tasks(registry)
    second.resume(left, finish)
    ended = await second.wait(number)
    assert (ended.state, ended.result) == (TaskState.DONE, {"target": "kvm2", "was in": "first step"})
    assert ended.started_at == left.started_at
    assert (await registry.vm("web1")).task is None


async def test_closing_with_nothing_to_do_is_no_work(registry: Store) -> None:
    await Tasks(registry).close()
