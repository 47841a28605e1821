"""Jobs on real machines behind real sshds: begun once, found again, ended, told with the truth."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import replace

import pytest

from tests.act.jobpool import NAMES, Pool
from vmctl.act import run as running
from vmctl.act import runplaces
from vmctl.commands.jobs import RunJob
from vmctl.errors import NoHostFits, NotFound, OverLimit
from vmctl.hosts import runs
from vmctl.model.access import Project
from vmctl.model.jobs import RunState, run_of
from vmctl.model.records import TaskState, VMRecord
from vmctl.model.rights import LOCAL_USER
from vmctl.model.vms import Spec


async def test_it_runs_where_placement_says_and_its_end_is_told(pool: Pool) -> None:
    number = await pool.give("sh", "-c", "cat; echo no >&2; exit 7", stdin=base64.b64encode(b"given\n").decode())
    task = await pool.end(number)
    (one,) = await pool.runs(number)
    assert (task.state, task.result) == (
        TaskState.DONE,
        {"runs": 1, "bad": 1, "host": one.host, "code": 7, "outcome": "exit code 7"},
    )
    assert one.host in NAMES and one.host in one.why and "promised with it there" in one.why
    assert (one.code, one.out_bytes, one.err_bytes, one.state) == (7, 6, 3, RunState.ENDED)
    assert await pool.out(one) == b"given\n"
    assert (await pool.registry.decisions(one.id))[0].host == one.host


async def test_it_is_asked_for_in_the_registry_before_its_host_is(pool: Pool) -> None:
    seen = []

    async def look() -> None:
        seen.append((await pool.registry.open_tasks())[0].journal["runs"][0])

    for host in pool.hosts.values():
        host.before.append(look)
    number = await pool.give("true")
    await pool.end(number)
    assert run_of(seen[0]).state is RunState.BEGINNING and run_of(seen[0]).asked_at


async def test_all_hosts_each_with_its_line(pool: Pool) -> None:
    number = await pool.give("sh", "-c", "case $HOME in *kvm2*) exit 3;; esac", everywhere=True)
    task = await pool.end(number)
    assert [(one.host, one.code) for one in await pool.runs(number)] == [("kvm1", 0), ("kvm2", 3)]
    assert task.result == {"runs": 2, "bad": 1}


async def test_hosts_are_meant_by_name_and_by_label(pool: Pool) -> None:
    for more in ({"hosts": ["kvm2", "kvm2"]}, {"labels": {"rack": "2"}}):
        number = await pool.give("true", **more)
        await pool.end(number)
        assert [one.host for one in await pool.runs(number)] == ["kvm2"]
    with pytest.raises(NotFound, match="there is no host 'kvm9'"):
        await runplaces.meant(pool.registry, RunJob(["true"], hosts=["kvm9"]))
    with pytest.raises(NotFound, match="no host carries rack=9"):
        await runplaces.meant(pool.registry, RunJob(["true"], labels={"rack": "9"}))


async def test_a_host_that_is_away_is_told_and_holds_up_no_other(pool: Pool) -> None:
    pool.hosts["kvm2"].silent()
    number = await pool.give("true", everywhere=True)
    task = await pool.end(number)
    first, second = await pool.runs(number)
    assert (first.code, second.code, second.why) == (0, None, "kvm2 does not answer: no route")
    assert task.result["bad"] == 1 and pool.hosts["kvm2"].asked == []


async def test_a_lost_answer_to_its_beginning_begins_it_once(pool: Pool) -> None:
    host = pool.hosts["kvm1"]
    host.after_it.append(host.lose)
    number = await pool.give("sh", "-c", f"echo once >>{pool.file}; sleep 0.5", hosts=["kvm1"])
    await asyncio.sleep(1.0)
    await host.connect()
    task = await pool.end(number)
    assert task.result["code"] == 0 and pool.file.read_text() == "once\n"
    assert host.asked.count("BEGIN") == 2


async def test_what_was_not_asked_for_is_asked_for_again(pool: Pool) -> None:
    host = pool.hosts["kvm1"]
    host.before.append(host.lose)
    number = await pool.give("sh", "-c", f"echo once >>{pool.file}", hosts=["kvm1"])
    await asyncio.sleep(0.5)
    await host.connect()
    assert (await pool.end(number)).result["code"] == 0
    assert pool.file.read_text() == "once\n"


@pytest.mark.parametrize("what", ["rebooted", "half a day"])
async def test_what_its_host_may_have_forgotten_is_not_begun_again(
    pool: Pool, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = pool.hosts["kvm1"]
    host.before.append(host.lose)
    number = await pool.give("sh", "-c", f"echo once >>{pool.file}", hosts=["kvm1"])
    await asyncio.sleep(0.5)
    if what == "rebooted":
        host.boot_id = "boot-2"
    else:
        monkeypatch.setattr(running, "AGAIN_WITHIN_S", 0.0)
    await host.connect()
    task = await pool.end(number)
    (one,) = await pool.runs(number)
    assert (one.code, one.unsure) == (None, True) and "nothing of it any more" in task.result["outcome"]
    assert not pool.file.exists()


async def test_the_controller_dies_while_it_runs_and_the_next_one_has_its_code(pool: Pool) -> None:
    number = await pool.give("sh", "-c", f"echo line >>{pool.file}; sleep 1; exit 7", hosts=["kvm1"])
    begun = await pool.until(number, RunState.RUNNING)
    await pool.die()
    assert pool.services.promises.on("kvm1").runs == 0
    await pool.go_on()
    task = await pool.end(number)
    assert task.result["code"] == 7 and pool.file.read_text() == "line\n"
    assert (await pool.runs(number))[0].pid == begun.pid
    assert pool.hosts["kvm1"].asked.count("BEGIN") == 1


async def test_the_controller_dies_before_it_hears_of_the_beginning(pool: Pool) -> None:
    host, hangs = pool.hosts["kvm1"], asyncio.Event()

    async def hang() -> None:
        hangs.set()
        await asyncio.sleep(60)

    host.after_it.append(hang)
    number = await pool.give("sh", "-c", f"echo line >>{pool.file}; exit 7", hosts=["kvm1"])
    await hangs.wait()
    await pool.die()
    await pool.go_on()
    assert (await pool.end(number)).result["code"] == 7
    assert pool.file.read_text() == "line\n"


async def test_sshd_is_restarted_while_it_runs(pool: Pool) -> None:
    host = pool.hosts["kvm1"]
    number = await pool.give("sh", "-c", f"sleep 2; echo line >>{pool.file}; exit 7", hosts=["kvm1"])
    await pool.until(number, RunState.RUNNING)
    host.silent()
    host.sshd.stop()
    host.sshd.start()
    await host.connect()
    assert (await pool.end(number)).result["code"] == 7
    assert pool.file.read_text() == "line\n"


async def test_its_host_leaves_the_pool(pool: Pool) -> None:
    number = await pool.give("sleep", "30", hosts=["kvm1"])
    await pool.until(number, RunState.RUNNING)
    pool.services.links.pop("kvm1")
    task = await pool.end(number)
    (one,) = await pool.runs(number)
    assert one.unsure and "removed from the pool" in task.result["outcome"]


async def test_a_cancelled_one_is_ended(pool: Pool) -> None:
    number = await pool.give("sleep", "30", everywhere=True)
    for run in (1, 2):
        await pool.until(number, RunState.RUNNING, run)
    began = time.monotonic()
    await pool.tasks.cancel(number, LOCAL_USER)
    task = await pool.end(number)
    assert task.state is TaskState.CANCELLED and time.monotonic() - began < 8
    assert task.error["lines"] == ["kvm1: ended by signal 15", "kvm2: ended by signal 15"]


async def test_its_time_is_over(pool: Pool) -> None:
    number = await pool.give("sleep", "30", hosts=["kvm1"], timeout_s=1)
    task = await pool.end(number)
    assert task.result["outcome"] == "ended by signal 15 (its time was over)"


async def test_what_it_is_promised_counts_while_it_runs(pool: Pool) -> None:
    number = await pool.give("sleep", "1", cpus=2, mem_mib=1000, count=2)
    for run in (1, 2):
        await pool.until(number, RunState.RUNNING, run)
    there = [pool.services.promises.on(name) for name in NAMES]
    assert [(one.runs, one.cpus, one.mem_mib) for one in there] == [(1, 2, 1000)] * 2, "they are spread out"
    await pool.end(number)
    assert [pool.services.promises.on(name).runs for name in NAMES] == [0, 0]


async def test_all_of_its_runs_fit_or_none_begins(pool: Pool) -> None:
    number = await pool.give("sh", "-c", f"echo ran >>{pool.file}", mem_mib=5000, count=3)
    task = await pool.end(number)
    assert task.state is TaskState.FAILED and task.error["code"] == NoHostFits.__name__
    assert "2 of 3 runs fit" in task.error["message"] and not pool.file.exists()
    assert [pool.services.promises.on(name).runs for name in NAMES] == [0, 0]


async def test_who_waits_for_room_comes_in_order(pool: Pool) -> None:
    words = ("sh", "-c", f"cat >>{pool.file}; sleep 0.4")
    given = [base64.b64encode(f"{turn}\n".encode()).decode() for turn in range(5)]
    numbers = [await pool.give(*words, mem_mib=5000, queue=True, stdin=one) for one in given]
    for number in numbers:
        assert (await pool.end(number)).result["code"] == 0
    assert sorted(pool.file.read_text().split()) == list("01234")
    asked = [(await pool.runs(number))[0].asked_at for number in numbers]
    assert asked == sorted(asked, key=lambda at: at or 0)


async def test_a_failed_one_is_tried_again_and_one_of_which_nobody_knows_is_not(pool: Pool) -> None:
    words = f"echo try >>{pool.file}; [ $(wc -l <{pool.file}) = 3 ]"
    number = await pool.give("sh", "-c", words, retry=5)
    task = await pool.end(number)
    (one,) = await pool.runs(number)
    assert (task.result["code"], one.tries, pool.file.read_text()) == (0, 3, "try\n" * 3)
    number = await pool.give("sleep", "30", retry=5)
    one = await pool.until(number, RunState.RUNNING)
    pool.services.links.pop(one.host)
    await pool.end(number)
    assert (await pool.runs(number))[0].tries == 1


async def test_so_many_run_side_by_side(pool: Pool) -> None:
    words = f"echo begin >>{pool.file}; sleep 0.5; echo end >>{pool.file}"
    number = await pool.give("sh", "-c", words, everywhere=True, at_once=1)
    await pool.end(number)
    assert pool.file.read_text().split() == ["begin", "end"] * 2


async def test_a_shell_reads_the_words_only_where_it_is_asked_for(pool: Pool) -> None:
    number = await pool.give("echo", "$((1 + 1))", ";", "id", hosts=["kvm1"])
    await pool.end(number)
    assert await pool.out((await pool.runs(number))[0]) == b"$((1 + 1)) ; id\n"
    number = await pool.give("echo", "$((1 + 1))", "|", "cat", hosts=["kvm1"], shell=True)
    await pool.end(number)
    assert await pool.out((await pool.runs(number))[0]) == b"2\n"


async def test_a_host_where_nothing_can_be_written_says_so(pool: Pool) -> None:
    (pool.folder / "kvm1" / "runs").write_text("a file")
    number = await pool.give("true", hosts=["kvm1"])
    task = await pool.end(number)
    assert "runs is somebody else's" in task.result["outcome"] and not (await pool.runs(number))[0].unsure


async def test_many_at_once(pool: Pool) -> None:
    numbers = [await pool.give("sh", "-c", "sleep 0.5; exit 3", hosts=[NAMES[n % 2]]) for n in range(40)]
    for number in numbers:
        assert (await pool.end(number)).result["code"] == 3


async def test_who_waits_behind_others_can_be_cancelled(pool: Pool) -> None:
    numbers = [await pool.give("sleep", "20", mem_mib=7000, queue=True) for _ in range(4)]
    for number in numbers[:2]:
        await pool.until(number, RunState.RUNNING)
    await pool.tasks.cancel(numbers[3], LOCAL_USER)
    task = await pool.end(numbers[3])
    assert task.state is TaskState.CANCELLED
    await pool.tasks.cancel(numbers[0], LOCAL_USER)
    await pool.end(numbers[0])
    await pool.until(numbers[2], RunState.RUNNING)


async def test_what_cannot_be_asked_again_is_not_told_as_never_begun(pool: Pool) -> None:
    """Its first beginning may be on its way yet, or was: nobody knows."""
    host = pool.hosts["kvm1"]
    host.before.append(host.lose)
    number = await pool.give("true", hosts=["kvm1"])
    await asyncio.sleep(0.5)
    (pool.folder / "kvm1" / "runs").write_text("a file")
    await host.connect()
    task = await pool.end(number)
    (one,) = await pool.runs(number)
    assert one.unsure and "whether it began before is not known" in task.result["outcome"]


async def limit(pool: Pool, vcpus: int, mem_mib: int | None = None) -> None:
    await pool.registry.set_limit("project:default", lambda kept: replace(kept, vcpus=vcpus, mem_mib=mem_mib))


async def test_the_limit_of_a_project_is_not_exceeded(pool: Pool) -> None:
    await limit(pool, vcpus=2, mem_mib=300)
    for more in ({"count": 3}, {"mem_mib": 301}, {"cpus": 3, "hosts": ["kvm1"]}):
        task = await pool.end(await pool.give("touch", str(pool.file), **more))
        assert (task.state, task.error["code"]) == (TaskState.FAILED, OverLimit.__name__), more
        assert [pool.services.promises.on(name).runs for name in NAMES] == [0, 0]
    number = await pool.give("sh", "-c", f"until [ -e {pool.file} ]; do sleep 0.1; done", count=2)
    await pool.until(number, RunState.RUNNING, 2)
    with pytest.raises(OverLimit, match="project default has 2 vCPUs of 2 vCPUs"):
        await pool.registry.add_vm(VMRecord(Spec("u1", "web1", 1, 16), 1.0), made=True)
    assert (await pool.end(await pool.give("true"))).error["code"] == OverLimit.__name__
    pool.file.touch()
    assert (await pool.end(number)).result["bad"] == 0
    assert (await pool.end(await pool.give("true"))).result["code"] == 0, "what has ended counts no more"


async def test_who_queues_waits_for_room_within_the_limit(pool: Pool) -> None:
    await limit(pool, vcpus=2)
    words = f"echo begin >>{pool.file}; sleep 0.5; echo end >>{pool.file}"
    numbers = [await pool.give("sh", "-c", words, queue=True, count=2) for _ in range(3)]
    for number in numbers:
        assert (await pool.end(number)).result["bad"] == 0
    running = most = 0
    for line in pool.file.read_text().split():
        running += 1 if line == "begin" else -1
        most = max(most, running)
    assert most == 2 and running == 0


async def test_who_waits_for_room_within_the_limit_can_be_cancelled(pool: Pool) -> None:
    await limit(pool, vcpus=1)
    first, second = [await pool.give("sleep", "20", queue=True) for _ in range(2)]
    await pool.until(first, RunState.RUNNING)
    await pool.shows(second, "1 vCPU of 1 vCPU")
    await pool.tasks.cancel(second, LOCAL_USER)
    assert (await pool.end(second)).state is TaskState.CANCELLED
    assert (await pool.runs(second))[0].host == "" and (await pool.runs(first))[0].state is RunState.RUNNING
    await pool.tasks.cancel(first, LOCAL_USER)


async def test_who_waits_for_a_limit_of_his_own_keeps_nobody_else_waiting(pool: Pool) -> None:
    await pool.registry.insert(Project("blue", 1.0))
    await pool.registry.set_limit("project:blue", lambda kept: replace(kept, vcpus=1))
    first, second = [await pool.give("sleep", "20", queue=True, project="blue") for _ in range(2)]
    await pool.until(first, RunState.RUNNING)
    await pool.shows(second, "1 vCPU of 1 vCPU")
    assert (await pool.end(await pool.give("true", queue=True))).result["code"] == 0
    for number in (second, first):
        await pool.tasks.cancel(number, LOCAL_USER)
        await pool.end(number)


async def test_the_next_controller_keeps_the_places_of_those_that_wait_for_their_turn(pool: Pool) -> None:
    number = await pool.give("sleep", "2", count=2, at_once=1, mem_mib=3000)
    await pool.until(number, RunState.RUNNING)
    await pool.die()
    await pool.go_on()
    await asyncio.sleep(0.3)
    assert sum(pool.services.promises.on(name).mem_mib for name in NAMES) == 6000
    assert (await pool.end(number)).result["bad"] == 0
    assert sum(pool.services.promises.on(name).mem_mib for name in NAMES) == 0


async def test_the_next_controller_counts_what_was_promised(pool: Pool) -> None:
    await limit(pool, vcpus=1)
    number = await pool.give("sleep", "3")
    await pool.until(number, RunState.RUNNING)
    await pool.die()
    assert (await pool.end(await pool.give("true"))).error["code"] == OverLimit.__name__
    await pool.go_on()
    assert (await pool.end(number)).result["code"] == 0


async def test_a_host_that_begins_nothing_is_not_asked_for_ever(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SUPERVISE", "exit 1")
    number = await pool.give("true", hosts=["kvm1"])
    task = await pool.end(number)
    assert task.result["outcome"] == "its host did not begin it"
    assert pool.hosts["kvm1"].asked.count("BEGIN") == running.MOST_UNDECIDED
