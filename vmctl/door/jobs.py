"""Answers: jobs. Where a command would run, what runs, and what it prints."""

from __future__ import annotations

import asyncio
import base64
import io
import tarfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from vmctl.act import runplaces
from vmctl.act.runend import outcome
from vmctl.commands import jobs
from vmctl.commands.jobs import CollectJob, FetchFile, FollowOutput, ListJobs, RunJob, ShowJob, WhereToRun, WhyRun
from vmctl.decide.place import place
from vmctl.door import answers, views
from vmctl.door.limits import check_room
from vmctl.door.parts import ControllerParts
from vmctl.door.printed import Output, job_of, jobs_of, runs_of
from vmctl.errors import HostError, NotAllowed, NotFound, Refused, Usage
from vmctl.hosts import runs
from vmctl.model.access import Use
from vmctl.model.decisions import placed
from vmctl.model.jobs import JobRun, RunState, called
from vmctl.model.records import Task
from vmctl.model.rights import Permission, Principal
from vmctl.services.observe import measured
from vmctl.store import limit_rules
from vmctl.store.rules import missing
from vmctl.tasks import now

Asked = TypeVar("Asked", bound=RunJob)
MOST_UNPACKED = 64 << 20
MOST_FETCHED, FETCH_S = 32 << 20, 60.0  # characters of base64 that one file may come to; how long that may take


async def with_logins(parts: ControllerParts, asked: Asked, who: Principal) -> Asked:
    """The same with the log-ins by which it runs. Raises NotAllowed.

    Whoever may manage hosts has the pool's own; who else asks has those that he was given.
    """
    if who.may(Permission.HOSTS):
        return replace(asked, logins=[f"{asked.login}@*"] if asked.login else [])
    kept = parts.known.access.users.get(who.name)
    logins = kept.logins if kept is not None else []
    fitting = [one for one in logins if asked.login in ("", one.partition("@")[0])]
    if not fitting:
        what = f"is not {asked.login} on any host" if logins and asked.login else "has no log-in on hosts"
        raise NotAllowed(f"{who.name} {what}", hint=f"an admin: vmctl user map {who.name} --login LOGIN@HOSTS")
    return replace(asked, logins=fitting)


async def check_run(parts: ControllerParts, asked: RunJob, who: Principal) -> None:
    """Raises Usage, NotFound, NotAllowed."""
    await _check_files(parts, asked)
    asked, hosts = await _meant(parts, asked, who)
    await _check_room(parts, asked, who, len(hosts) or asked.count)


async def _check_room(parts: ControllerParts, asked: RunJob, who: Principal, runs: int) -> None:
    """Say at once what is over a limit; of what waits for room only what never can be had. Raises OverLimit."""
    if asked.queue:
        kept = [parts.known.access.limits.get(of) for of in limit_rules.whose(who.name, asked.project)]
        limits = [limit for limit in kept if limit is not None]
        limit_rules.check(limits, runplaces.use(asked, 1), lambda _of: Use())
    else:
        await check_room(parts, who.name, asked.project, runplaces.use(asked, runs))


async def _meant(parts: ControllerParts, asked: Asked, who: Principal) -> tuple[Asked, list[str]]:
    """The same with its log-ins, and the hosts that are meant. Raises NotFound, NotAllowed."""
    asked = await with_logins(parts, asked, who)
    return asked, await runplaces.meant(parts.services.store, asked)


async def _check_files(parts: ControllerParts, asked: RunJob) -> None:
    if asked.files:
        await parts.services.threads.run(_check_archive, base64.b64decode(asked.files))


def _check_archive(data: bytes) -> None:
    """That it is one, and no small one that becomes a large one. Raises Usage."""
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as packed:
            for member in packed:
                size += member.size
                if size > MOST_UNPACKED:
                    raise Usage(f"files: unpacked they are larger than {MOST_UNPACKED >> 20} MiB")
    except (tarfile.TarError, EOFError, ValueError, OSError, zlib.error) as err:
        raise Usage(f"files: it is no archive (tar): {err}") from err


async def where_to_run(parts: ControllerParts, asked: WhereToRun) -> answers.Placed | answers.MeantHosts:
    """Where it would run."""
    await _check_files(parts, asked)
    asked, hosts = await _meant(parts, asked, parts.who)
    if hosts:
        return answers.MeantHosts(hosts)
    cluster = runplaces.allowed(await measured(parts.services), asked)
    vm = runplaces.guest("new", asked.subject, asked)
    return placed(await parts.services.threads.run(place, vm, cluster, parts.services.policy, ""), cluster)


async def list_jobs(parts: ControllerParts, asked: ListJobs) -> list[answers.ListedJob | answers.Broken]:
    """The newest jobs that one may see, or has given."""
    return views.each(await jobs_of(parts, asked.most), lambda task: _listed(parts, task))


async def show_job(parts: ControllerParts, asked: ShowJob) -> answers.ShownJob:
    """One job."""
    task = await job_of(parts, asked.number)
    listed, told = _listed(parts, task), now(task, parts.tasks.live(task.id))
    return views.wider(
        answers.ShownJob, listed, args=told.args, log=told.log, error=told.error, each=runs_of(parts, task)
    )


async def why_run(parts: ControllerParts, asked: WhyRun) -> answers.Decided | answers.NotDecided:
    """Why a run is where it is."""
    one = await _run(parts, asked.number, asked.run)
    name = called(asked.number, one.number)
    if not (found := await parts.services.store.decisions(one.id)):
        meant = "its host was meant by whoever asked" if one.host else "its host is not chosen yet"
        return answers.NotDecided(name, "", meant, one.host, [])
    kept: dict[str, Any] = {field.name: getattr(found[-1], field.name) for field in fields(found[-1])}
    age_s = round(parts.services.clock.now() - found[-1].made_at, 1)
    return answers.Decided(**kept, age_s=age_s, now_on=one.host)


async def _run(parts: ControllerParts, number: int, run: int) -> JobRun:
    runs = runs_of(parts, await job_of(parts, number))
    if not 0 < run <= len(runs):
        raise missing("run", f"{run} of job {number}")
    return runs[run - 1]


async def follow_output(parts: ControllerParts, asked: FollowOutput) -> AsyncIterator[answers.Printed]:
    """What its runs print."""
    await job_of(parts, asked.number)
    return Output(parts, asked).told()


async def fetch_file(parts: ControllerParts, asked: FetchFile) -> answers.Archive:
    """What a run left."""
    one = await _run(parts, asked.number, asked.run)
    if one.asked_at is None:
        raise NotFound(f"run {asked.run} of job {asked.number} has not begun", hint=f"vmctl job show {asked.number}")
    shell = await parts.services.logins.shell(one.host, one.login)
    told = await shell.run(runs.fetch(one.id, asked.path), check=False, max_bytes=MOST_FETCHED, timeout_s=FETCH_S)
    if told.status:
        raise NotFound(f"there is no {asked.path} where run {asked.run} ran on {one.host}", hint="--get names it")
    return answers.Archive("".join(told.out.split()))


async def collect(parts: ControllerParts, asked: CollectJob, _who: Principal) -> answers.Collected:
    """Take away what hosts keep of it."""
    task, by_login = await job_of(parts, asked.number), dict[tuple[str, str], list[JobRun]]()
    if parts.tasks.live(task.id) is not None:
        raise Refused(f"job {task.id} goes on", hint=f"vmctl job cancel {task.id}")
    for one in runs_of(parts, task):
        if one.asked_at is not None:
            by_login.setdefault((one.host, one.login), []).append(one)
    left = await asyncio.gather(*(_collect(parts, *who, there) for who, there in by_login.items()))
    return answers.Collected([name for names in left for name in names])


async def _collect(parts: ControllerParts, host: str, login: str, there: list[JobRun]) -> list[str]:
    try:
        left = await parts.services.logins.ask(host, login, runs.collect([one.id for one in there]))
    except (HostError, NotAllowed, NotFound):
        left = [one.id for one in there]
    return [f"{one.number} on {host}" for one in there if one.id in left]


QUERIES: Mapping[type[Any], Callable[[ControllerParts, Any], Awaitable[Any]]] = {
    jobs.WhereToRun: where_to_run,
    jobs.ListJobs: list_jobs,
    jobs.ShowJob: show_job,
    jobs.FollowOutput: follow_output,
    jobs.WhyRun: why_run,
    jobs.FetchFile: fetch_file,
}
AT_ONCE: Mapping[type[Any], Callable[[ControllerParts, Any, Principal], Awaitable[Any]]] = {jobs.CollectJob: collect}


def _listed(parts: ControllerParts, task: Task) -> answers.ListedJob:
    told, runs = now(task, parts.tasks.live(task.id)), runs_of(parts, task)
    ended = [one for one in runs if one.state is RunState.ENDED]
    return answers.ListedJob(
        id=task.id,
        command=task.subject,
        state=told.state,
        who=task.who,
        project=task.project,
        created_at=task.created_at,
        started_at=told.started_at,
        ended_at=told.ended_at,
        runs=len(runs),
        ended=len(ended),
        bad=sum(not one.good for one in ended),
        hosts=list(dict.fromkeys(one.host for one in runs if one.host)),
        outcome=_outcome(told.state.ended, task, runs, str(told.progress.get("text") or told.step)),
    )


def _outcome(ended: bool, task: Task, runs: list[JobRun], doing: str) -> str:
    if task.error:
        return str(task.error.get("message", ""))
    if len(runs) == 1 and runs[0].state is RunState.ENDED:
        return outcome(runs[0])
    bad = sum(one.state is RunState.ENDED and not one.good for one in runs)
    return f"{bad} of {len(runs)} failed" if ended and bad else "all well" if ended else doing
