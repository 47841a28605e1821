"""Answers: what is asked about the cluster as a whole: top, history, tasks, events, schedules."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from vmctl import __version__
from vmctl.commands import cluster
from vmctl.decide import score
from vmctl.door import answers, views
from vmctl.door.services import Services
from vmctl.hosts.history import PERIODS_S
from vmctl.model import PowerState
from vmctl.observe import observed
from vmctl.ports import Clock
from vmctl.records import HostRecord, Task
from vmctl.records import Schedule as Kept
from vmctl.schedules import next_run
from vmctl.tasks import now


async def about(services: Services, _asked: cluster.About) -> answers.About:
    """Who answers."""
    return answers.About(__version__, os.getpid(), len(services.world.links))


async def top(services: Services, _asked: cluster.Top) -> answers.Top:
    """Everything at one moment."""
    seen = await observed(services.world)
    return answers.Top(
        at=seen.cluster.taken_at,
        score=[list(term) for term in score.terms(seen.cluster, services.world.policy)],
        running=sum(vm.power is PowerState.RUNNING for vm in seen.cluster.vms),
        hosts=views.hosts(services.world, seen),
        vms=views.vms(services.world, seen),
    )


async def history(services: Services, asked: cluster.History) -> answers.History:
    """A host's or VM's load."""
    store, since = services.world.store, services.world.clock.now() - asked.since_s
    key = (await store.get(HostRecord, asked.name)).name if asked.kind == "host" else (await store.vm(asked.name)).uuid
    subject = f"{asked.kind}/{key}"
    means = {str(period): await store.means(subject, period, since) for period in PERIODS_S}
    return answers.History(
        points=[{"at": at, **values} for at, values in services.world.loads.points(subject, since)],
        means={period: [{"at": mean.at, **mean.values} for mean in found] for period, found in means.items()},
    )


async def list_tasks(services: Services, asked: cluster.ListTasks) -> list[answers.ListedTask | answers.Broken]:
    """The newest tasks."""
    commands = services.tasks.commands

    def view(task: Task) -> answers.ListedTask:
        command = commands.get(task.kind)
        resumes = command is not None and command.resumes
        return views.wider(answers.ListedTask, now(task, services.tasks.live(task.id)), resumes=resumes)

    return views.each(await services.world.store.tasks(asked.most), view)


async def show_task(services: Services, asked: cluster.ShowTask) -> answers.ShownTask:
    """One task."""
    task = await services.world.store.get(Task, asked.number)
    live = now(task, services.tasks.live(asked.number))
    return views.wider(answers.ShownTask, live, report=task.journal.get("report"))


async def follow_task(services: Services, asked: cluster.FollowTask) -> AsyncIterator[answers.TaskNow]:
    """The task until it has ended."""
    await services.world.store.get(Task, asked.number)
    return services.tasks.follow(asked.number)


async def list_events(services: Services, asked: cluster.ListEvents) -> list[answers.Event]:
    """Events, oldest first."""
    return await services.world.store.events(asked.after, asked.most)


async def list_schedules(services: Services, _asked: cluster.ListSchedules) -> list[answers.Schedule | answers.Broken]:
    """What runs by the clock."""
    return views.each(await services.world.store.all(Kept), lambda kept: scheduled(kept, services.world.clock))


def scheduled(kept: Kept, clock: Clock) -> answers.Schedule:
    """A schedule, and when it comes next."""
    return views.wider(answers.Schedule, kept, next_run=next_run(kept.cron, clock))
