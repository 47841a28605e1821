"""Jobs at the door: what is taken, by whom, as whom, and what is told of it."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from dataclasses import asdict
from typing import Any

import pytest

from tests.api.conftest import Server
from tests.hosts.test_load import BASE
from tests.ledger.test_incarnations import link
from vmctl.commands.jobs import (
    MOST_GIVEN,
    MOST_WORDS,
    CollectJob,
    FollowOutput,
    ListJobs,
    RunJob,
    ShowJob,
    WhereToRun,
    WhyRun,
)
from vmctl.commands.processes import ListProcesses, ShowProcess
from vmctl.commands.tasks import CancelTask
from vmctl.commands.users import MapUser
from vmctl.door.answers import MeantHosts
from vmctl.door.how import How
from vmctl.errors import NotAllowed, NotFound, Usage
from vmctl.hosts.facts import Daemon
from vmctl.ledger import ProcessSample
from vmctl.ledger.incarnations import Besides
from vmctl.model.access import Project, User
from vmctl.model.identity import Incarnation
from vmctl.model.jobs import JobRun
from vmctl.model.records import DecisionRecord, HostRecord, Task
from vmctl.model.rights import BUILT_IN, LOCAL_USER, Principal, Right
from vmctl.tasks import Job

GOOD: dict[str, Any] = {"words": ["uptime"]}
JSON = {"Content-Type": "application/json"}


def bomb() -> bytes:
    """65 MiB of nothing, in some KiB."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as packed:
        member = tarfile.TarInfo("zeros")
        member.size = 65 << 20
        packed.addfile(member, io.BytesIO(bytes(member.size)))
    return made.getvalue()


def runner(name: str = "anna", on: str = "project:blue", role: str = "runner") -> Principal:
    return Principal(name, (Right(BUILT_IN[role], on),))


@pytest.fixture
async def filled(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Two hosts, three users, a project; no job is ever carried out."""
    store = server.controller.services.store
    for name in ("kvm1", "big1"):
        await store.put(HostRecord(name, "127.0.0.1", "k", "f", 1.0, labels={"size": name[:3]}))
    await store.insert(Project("blue", 1.0))
    for name in ("anna", "ben"):
        await store.insert(User(name, 1.0))
    await server.controller.known.refresh()
    began: list[Job[Any, Any]] = []

    async def carry_out(job: Job[Any, Any]) -> dict[str, Any]:
        began.append(job)
        return {"runs": 0, "bad": 0}

    server.controller.tasks.handlers["run"] = carry_out
    return server


async def ask(server: Server, asked: Any, who: Principal = LOCAL_USER, how: How | None = None) -> Any:
    return await (server.controller.door.ask(asked, who, how) if how else server.controller.door.ask(asked, who))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"words": []}, "words: "),
        ({"words": ["a\0b"]}, "without the character 0"),
        ({"words": ["\ud800"]}, "is text"),
        ({"words": ["x" * (70 << 10)]}, "is too long"),
        ({"words": ["x" * 1000] * 120}, f"at most {MOST_WORDS} bytes in all"),
        ({"hosts": ["kvm1"], "everywhere": True}, "one of these"),
        ({"hosts": ["kvm1"], "count": 2}, "whose hosts placement chooses"),
        ({"everywhere": True, "queue": True}, "whose hosts placement chooses"),
        ({"count": 0}, "count: at least 1"),
        ({"timeout_s": -1}, "timeout_s: at least 0"),
        ({"stdin": "not base64!"}, "stdin: it is not base64"),
        ({"stdin": base64.b64encode(bytes(MOST_GIVEN + 1)).decode()}, f"at most {MOST_GIVEN}"),
        ({"files": base64.b64encode(b"no archive").decode()}, "files: it is no archive"),
        ({"files": base64.b64encode(bomb()).decode()}, "unpacked they are larger than 64 MiB"),
        ({"login": "Root!"}, "is not LOGIN@HOSTS"),
        ({"login": "root"}, "root is nobody's log-in"),
        ({"logins": ["anna@*"]}, "logins: is not known here"),
        ({"hosts": ["nosuch"]}, "there is no host 'nosuch'"),
        ({"labels": {"size": "nosuch"}}, "no host carries size=nosuch"),
        ({"project": "nosuch"}, "nosuch"),
    ],
)
async def test_what_cannot_be_run_is_refused_with_why(filled: Server, more: dict[str, Any], words: str) -> None:
    for path in ("jobs", "jobs/dry-run"):
        answer = await filled.ask("POST", path, content=json.dumps(GOOD | more), headers=JSON)
        assert 400 <= answer.status_code < 500 and words in answer.text, answer.text
    assert await filled.controller.services.store.tasks() == []


async def test_words_may_be_anything_but_what_ends_them(filled: Server) -> None:
    words = ["".join(map(chr, range(1, 128))), "", "\n", "a\u2028b"]
    answer = await filled.ask("POST", "jobs", json={"words": words})
    assert answer.status_code == 202 and answer.json()["args"]["words"] == words
    assert answer.json()["subject"].isprintable()


async def test_nobody_but_who_manages_hosts_runs_anything_without_a_log_in_of_his_own(filled: Server) -> None:
    anna = runner()
    with pytest.raises(NotAllowed, match="anna has no log-in on hosts") as refused:
        await ask(filled, RunJob(["id"], project="blue"), anna)
    assert "vmctl user map anna" in refused.value.hint
    await ask(filled, MapUser("anna", ["anna@kvm*", "batch@kvm*"]))
    with pytest.raises(NotAllowed, match="no log-in for this on big1"):
        await ask(filled, RunJob(["id"], ["big1"], project="blue"), anna)
    with pytest.raises(NotAllowed, match="anna is not ben on any host"):
        await ask(filled, RunJob(["id"], ["kvm1"], login="ben", project="blue"), anna)
    given = await ask(filled, RunJob(["id"], ["kvm1"], project="blue"), anna)
    assert given.args["logins"] == ["anna@kvm*", "batch@kvm*"]
    given = await ask(filled, RunJob(["id"], ["kvm1"], login="batch", project="blue"), anna)
    assert given.args["logins"] == ["batch@kvm*"]
    assert (await ask(filled, WhereToRun(["id"], everywhere=True, project="blue"), anna)) == MeantHosts(["kvm1"])
    admin = await ask(filled, RunJob(["id"], ["kvm1"]))
    assert admin.args["logins"] == []
    refusals = [
        entry for entry in await filled.controller.services.store.chain(0, 50) if entry.entry.outcome == "refused"
    ]
    assert len(refusals) == 3


async def test_his_log_ins_are_those_of_when_he_asked(filled: Server) -> None:
    """Who loses them while his job waits does not get the pool's own."""
    await ask(filled, MapUser("anna", ["anna@kvm*"]))
    given = await ask(filled, RunJob(["id"], ["kvm1"], project="blue"), runner())
    await ask(filled, MapUser("anna", []))
    kept = await filled.controller.services.store.get(Task, given.id)
    assert kept.args["logins"] == ["anna@kvm*"]


@pytest.mark.parametrize("role", ["viewer", "operator", "creator"])
async def test_other_roles_run_nothing(filled: Server, role: str) -> None:
    await ask(filled, MapUser("ben", ["ben@*"]))
    for one in (RunJob(["id"], project="blue"), WhereToRun(["id"], project="blue")):
        with pytest.raises(NotAllowed, match="has no permission run"):
            await ask(filled, one, runner("ben", role=role))


async def test_what_another_one_runs_is_neither_read_nor_ended(filled: Server) -> None:
    await ask(filled, MapUser("anna", ["anna@*"]))
    number = (await ask(filled, RunJob(["id"], ["kvm1"], project="blue"), runner())).id
    await filled.controller.tasks.wait(number)
    for one in (ShowJob(number), FollowOutput(number), CollectJob(number), CancelTask(number)):
        with pytest.raises(NotFound):
            await ask(filled, one, runner("ben", "project:default"))
        if not isinstance(one, ShowJob):
            with pytest.raises(NotAllowed):
                await ask(filled, one, runner("ben", role="viewer"))
    assert await ask(filled, ListJobs(), runner("ben", "project:default")) == []
    assert [job.id for job in await ask(filled, ListJobs(), runner())] == [number], (
        "his own, though he may look at none"
    )
    assert (await ask(filled, ShowJob(number), runner())).command == "id"


async def test_what_it_is_given_is_told_by_its_length_alone(filled: Server) -> None:
    store, secret = filled.controller.services.store, base64.b64encode(b"a secret").decode()
    given = await ask(filled, RunJob(["cat"], ["kvm1"], stdin=secret))
    assert given.args["stdin"] == f"{len(secret)} characters"
    await filled.controller.tasks.wait(given.id)
    assert secret not in repr(await store.chain(0, 50)) + repr(await store.tasks())


async def test_a_dry_run_runs_nothing(filled: Server) -> None:
    told = await ask(filled, RunJob(["id"], everywhere=True), how=How(dry=True))
    assert told.detail == MeantHosts(["big1", "kvm1"])
    assert await filled.controller.services.store.tasks() == []


async def test_only_who_manages_hosts_gives_log_ins(filled: Server) -> None:
    with pytest.raises(NotAllowed):
        await ask(filled, MapUser("anna", ["anna@*"]), Principal("ben", (Right(BUILT_IN["admin"], "project:blue"),)))
    for wrong in ("root@kvm1", "anna", "anna@", "anna@kvm 1", "-x@kvm1"):
        answer = await filled.ask("PUT", "users/anna/logins", json={"logins": [wrong]})
        assert answer.status_code == 422, wrong
    with pytest.raises(NotFound):
        await ask(filled, MapUser("nosuch", ["anna@*"]))


async def test_what_is_no_job_is_none(filled: Server) -> None:
    number = await filled.controller.services.store.add(Task(0, "start", "web1", 1.0))
    for one in (ShowJob(number), ShowJob(99), FollowOutput(number), CollectJob(number)):
        with pytest.raises(NotFound):
            await ask(filled, one)


@pytest.mark.parametrize("after", ["x", "1:2:3", "1:1:a:b", ":::"])
async def test_where_one_stopped_reading_is_four_numbers(filled: Server, after: str) -> None:
    number = (await ask(filled, RunJob(["id"], ["kvm1"]))).id
    with pytest.raises(Usage, match="RUN:TRY:OUT:ERR"):
        await ask(filled, FollowOutput(number, after=after))


async def test_why_a_run_is_where_it_is(filled: Server) -> None:
    store, run = filled.controller.services.store, JobRun(1, "kvm1", id="0a" * 16)
    journal = {"runs": [asdict(run), asdict(JobRun(2, "big1", id="0b" * 16))]}
    number = await store.add(Task(0, "run", "uptime", 1.0, journal=journal))
    await store.add(DecisionRecord("run", run.id, "kvm1: it is the best", 2.0, host="kvm1", name="job 1 run 1"))
    first = await ask(filled, WhyRun(number))
    assert (first.why, first.now_on, first.name) == ("kvm1: it is the best", "kvm1", "job 1 run 1")
    second = await ask(filled, WhyRun(number, 2))
    assert (second.why, second.now_on) == ("its host was meant by whoever asked", "big1")
    with pytest.raises(NotFound, match="run"):
        await ask(filled, WhyRun(number, 3))


HOST = "aaaaaaaa-2222-3333-4444-555555555555"


async def test_one_sees_the_processes_of_his_own_jobs_and_nothing_else_of_hosts(filled: Server) -> None:
    """Nor what a run of his names as its own: the ledger says whose it is."""
    services = filled.controller.services
    await services.store.put(HostRecord("kvm1", "127.0.0.1", "k", "f", 1.0, about={"host_uuid": HOST}))
    pids, numbers = {"anna": 20, "ben": 21, "claims": 22}, dict[str, int]()
    names = {name: str(Incarnation(HOST, 0, BASE.boot_id, pid, 900).uuid) for name, pid in pids.items()}
    for name, pid in pids.items():
        owner = "ben" if name == "ben" else "anna"
        one = JobRun(1, "kvm1", pid=pid, ticks=900, boot_id=BASE.boot_id, process=names[name])
        given = Task(0, "run", "x", 1.0, journal={"runs": [asdict(one)]}, who=owner, project="blue")
        numbers[name] = await services.store.add(given)
    shown = link(HOST)
    seen = tuple(
        ProcessSample(pids[name], 900, program="sh", command=f"job {numbers[name]} run 1: x")
        for name in ("anna", "ben")
    )
    services.incarnations.host_besides(shown, Besides(BASE.boot_id, seen))
    sshd = Daemon(pids["claims"], 900, "sshd", 1, 0, 0, 1)
    services.incarnations.host_sample(shown, BASE._replace(vms=(), daemons=(sshd,)))
    # Of one project both see both; by a role on another one each sees his own.
    for who, mine in ((runner("anna", "project:default"), "anna"), (runner("ben", "project:default"), "ben")):
        assert [life.uuid for life in await ask(filled, ListProcesses(jobs=True), who)] == [names[mine]]
        assert (await ask(filled, ShowProcess(names[mine]), who)).machine == "kvm1"
        assert await ask(filled, ListProcesses(), who) == []
        for other in names.keys() - {mine}:
            with pytest.raises(NotFound):
                await ask(filled, ShowProcess(names[other]), who)
    everything = await ask(filled, ListProcesses())
    assert {life.program for life in everything} == {"sh", "sshd"} and len(everything) == 3
