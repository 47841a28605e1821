"""Answers: what is asked about the cluster as a whole: top, history, tasks, events, schedules."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from vmctl import __version__
from vmctl.cluster.schedules import next_run
from vmctl.commands import cluster, tasks
from vmctl.decide import score
from vmctl.door import answers, views
from vmctl.door.parts import ControllerParts
from vmctl.hosts.history import PERIODS_S
from vmctl.model.records import HostRecord, Task
from vmctl.model.records import Schedule as Kept
from vmctl.model.vms import PowerState
from vmctl.ports import Clock
from vmctl.services.observe import observed
from vmctl.tasks import now


async def about(parts: ControllerParts, _asked: cluster.About) -> answers.About:
    """Who answers."""
    return answers.About(__version__, os.getpid(), len(parts.services.links))


async def top(parts: ControllerParts, _asked: cluster.Top) -> answers.Top:
    """Everything at one moment."""
    seen = await observed(parts.services)
    return answers.Top(
        at=seen.cluster.taken_at,
        score=[list(term) for term in score.terms(seen.cluster, parts.services.policy)],
        running=sum(vm.power is PowerState.RUNNING for vm in seen.cluster.vms),
        hosts=views.hosts(parts.services, seen),
        vms=views.vms(parts.services, seen),
    )


async def history(parts: ControllerParts, asked: cluster.History) -> answers.History:
    """A host's or VM's load."""
    store, since = parts.services.store, parts.services.clock.now() - asked.since_s
    key = (await store.get(HostRecord, asked.name)).name if asked.kind == "host" else (await store.vm(asked.name)).uuid
    subject = f"{asked.kind}/{key}"
    means = {str(period): await store.means(subject, period, since) for period in PERIODS_S}
    return answers.History(
        points=[{"at": at, **values} for at, values in parts.services.loads.points(subject, since)],
        means={period: [{"at": mean.at, **mean.values} for mean in found] for period, found in means.items()},
    )


async def list_tasks(parts: ControllerParts, asked: tasks.ListTasks) -> list[answers.ListedTask | answers.Broken]:
    """The newest tasks."""
    commands = parts.tasks.commands

    def view(task: Task) -> answers.ListedTask:
        command = commands.get(task.kind)
        resumes = command is not None and command.resumes
        return views.wider(answers.ListedTask, now(task, parts.tasks.live(task.id)), resumes=resumes)

    return views.each(await parts.services.store.tasks(asked.most, parts.sight), view)


async def show_task(parts: ControllerParts, asked: tasks.ShowTask) -> answers.ShownTask:
    """One task."""
    task = await parts.services.store.get(Task, asked.number)
    live = now(task, parts.tasks.live(asked.number))
    return views.wider(answers.ShownTask, live, report=task.journal.get("report"))


async def follow_task(parts: ControllerParts, asked: tasks.FollowTask) -> AsyncIterator[answers.TaskNow]:
    """The task until it has ended."""
    await parts.services.store.get(Task, asked.number)
    return parts.tasks.follow(asked.number)


async def list_events(parts: ControllerParts, asked: tasks.ListEvents) -> list[answers.Event]:
    """Events, oldest first."""
    return await parts.services.store.events(asked.after, asked.most, parts.sight)


async def list_schedules(
    parts: ControllerParts, _asked: cluster.ListSchedules
) -> list[answers.Schedule | answers.Broken]:
    """What runs by the clock."""
    return views.each(await parts.services.store.all(Kept), lambda kept: scheduled(kept, parts.services.clock))


def scheduled(kept: Kept, clock: Clock) -> answers.Schedule:
    """A schedule, and when it comes next."""
    return views.wider(answers.Schedule, kept, next_run=next_run(kept.cron, clock))
