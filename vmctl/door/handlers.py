"""Who answers: for each command and query, the function that does it. What a row of the catalogue asks for is here.

What a handler returns is in its annotation, from which the API's document is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from vmctl.act import create, delete, finish, leases, lockfree, migrate, power, power_action, run, stop, storage
from vmctl.act.dropped import drop
from vmctl.act.fetch import fetch
from vmctl.act.hosts import Hosts
from vmctl.act.overtake import overtake_stop
from vmctl.act.plans import Plans
from vmctl.act.whereabouts import check_signature
from vmctl.commands import cluster, hosts, processes, storages, tasks, vms
from vmctl.commands.jobs import RunJob
from vmctl.door import (
    about_cluster,
    about_hosts,
    about_processes,
    about_vms,
    at_once,
    audit,
    jobs,
    limits,
    metrics,
    plans,
    uploads,
    users,
)
from vmctl.door.parts import ControllerParts
from vmctl.errors import NotAllowed
from vmctl.hosts import address
from vmctl.model.access import Use
from vmctl.model.rights import LOCAL_USER, Principal
from vmctl.services import Services
from vmctl.services.claims import handle
from vmctl.tasks import AnyJob, Handler

Action = Callable[[Services, Any], Awaitable[dict[str, Any]]]
Observation = Callable[[ControllerParts, Any], Awaitable[Any]]
AtOnce = Callable[[ControllerParts, Any, Principal], Awaitable[Any]]
Check = Callable[[ControllerParts, Any, Principal], Awaitable[None]]

QUERIES: Mapping[type[Any], Observation] = {
    cluster.About: about_cluster.about,
    cluster.Top: about_cluster.top,
    cluster.History: about_cluster.history,
    cluster.Dump: plans.dump,
    cluster.Metrics: metrics.metrics,
    cluster.PlanRebalance: plans.plan_rebalance,
    cluster.PlanCurve: plans.plan_curve,
    cluster.Capacity: plans.capacity,
    cluster.PlanReboots: plans.plan_reboots,
    tasks.ListTasks: about_cluster.list_tasks,
    tasks.ShowTask: about_cluster.show_task,
    tasks.FollowTask: about_cluster.follow_task,
    tasks.ListEvents: about_cluster.list_events,
    cluster.ListSchedules: about_cluster.list_schedules,
    processes.ListProcesses: about_processes.list_processes,
    processes.ListShortLived: about_processes.list_short_lived,
    processes.ShowProcess: about_processes.show_process,
    processes.Who: about_processes.who,
    processes.ListPrograms: about_processes.list_programs,
    hosts.ListHosts: about_hosts.list_hosts,
    hosts.ShowHost: about_hosts.show_host,
    hosts.PlanDrain: plans.plan_drain,
    storages.ListStorages: about_hosts.list_storages,
    storages.ShowStorage: about_hosts.show_storage,
    storages.ListImages: about_hosts.list_images,
    vms.ListVMs: about_vms.list_vms,
    vms.ShowVM: about_vms.show_vm,
    vms.WhereToCreate: about_vms.where_to_create,
    vms.WhereToStart: about_vms.where_to_start,
    vms.WhereNow: about_vms.where_now,
    vms.CheckMigration: about_vms.check_migration,
    vms.Why: about_vms.why,
    vms.ListHealth: about_vms.list_health,
    vms.ShowHealth: about_vms.show_health,
    **uploads.QUERIES,
    **users.QUERIES,
    **audit.QUERIES,
    **limits.QUERIES,
    **jobs.QUERIES,
}
AT_ONCE: Mapping[type[Any], AtOnce] = {
    hosts.LabelHost: at_once.label_host,
    hosts.UndrainHost: at_once.undrain_host,
    vms.SetAutostart: at_once.set_autostart,
    vms.SetHeal: at_once.set_heal,
    cluster.SetSchedule: at_once.set_schedule,
    cluster.RemoveSchedule: at_once.remove_schedule,
    tasks.CancelTask: at_once.cancel_task,
    **uploads.AT_ONCE,
    **users.AT_ONCE,
    **limits.AT_ONCE,
    **jobs.AT_ONCE,
}


def task_handlers(parts: ControllerParts) -> dict[str, Handler]:
    """Kind of task -> who carries it out."""
    attach, tasks = parts.attach, parts.tasks
    tied: dict[str, Action] = {
        "create": create.create,
        "start": power.start,
        "stop": stop.stop,
        "reboot": power.reboot,
        "reset": power_action.power_action,
        "pause": power_action.power_action,
        "resume": power_action.power_action,
        "delete": delete.delete,
        "migrate": migrate.migrate,
        "renew lease": leases.renew,
        "storage add": storage.add,
        "storage check": storage.check,
        "storage measure": lockfree.measure,
        "storage remove": storage.remove,
        "image add": storage.image_add,
        "image remove": storage.image_remove,
        "image finish": finish.finish,
        "image drop": drop,
        "image fetch": fetch,
        "host add": lambda services, job: Hosts(services, attach).add(job),
        "host check": lambda services, job: Hosts(services, attach).check(job),
        "host remove": lambda services, job: Hosts(services, attach).remove(job),
        "run": run.run,
        "rebalance": lambda services, job: Plans(services, handle(tasks, job.claim)).rebalance(job),
        "drain": lambda services, job: Plans(services, handle(tasks, job.claim)).drain(job),
    }
    return {kind: partial(_held, parts.services, action) for kind, action in tied.items()}


async def _held(services: Services, action: Action, job: AnyJob) -> dict[str, Any]:
    """Carry it out with hosts and a registry that end with the task's claim."""
    return await action(services.held_by(job.claim, job.id), job)


# -- what is refused before there is a task


async def _addresses(parts: ControllerParts, asked: hosts.AddHosts, _who: Principal) -> None:
    for text in asked.hosts:
        address.wanted(text)


async def _image(parts: ControllerParts, asked: storages.AddImage, who: Principal) -> None:
    # Its path is of the controller's own disk, of which nobody elsewhere may learn or use anything.
    if who is not LOCAL_USER:
        raise NotAllowed("a file of the controller's own disk is for its local user", hint="there: vmctl image add")
    await limits.check_room(parts, "", asked.project, Use(disk_bytes=1))


async def _known_hosts(parts: ControllerParts, asked: hosts.CheckHosts, _who: Principal) -> None:
    for name in asked.hosts:
        parts.services.link(name)


async def _new(parts: ControllerParts, asked: vms.Create, who: Principal) -> None:
    await about_vms.check_new(parts, asked, who)


async def _signature(parts: ControllerParts, asked: vms.Start | vms.Delete, _who: Principal) -> None:
    check_signature(await parts.services.store.vm(asked.vm), asked.i_know_it_is_off)


async def _stop(parts: ControllerParts, asked: vms.Stop, _who: Principal) -> None:
    vm = await parts.services.store.vm(asked.vm)
    check_signature(vm, asked.i_know_it_is_off)


async def _make_way(parts: ControllerParts, asked: vms.Stop, who: Principal) -> None:
    if asked.force:
        await overtake_stop(parts.services.store, parts.tasks, await parts.services.store.vm(asked.vm), who)


async def _target(parts: ControllerParts, asked: vms.Migrate, _who: Principal) -> None:
    if asked.to:
        parts.services.link(asked.to)


CHECKS: Mapping[type[Any], Check] = {
    vms.Create: _new,
    vms.Start: _signature,
    vms.Stop: _stop,
    vms.Delete: _signature,
    vms.Migrate: _target,
    storages.AddImage: _image,
    **uploads.CHECKS,
    hosts.AddHosts: _addresses,
    hosts.CheckHosts: _known_hosts,
    RunJob: jobs.check_run,
}
# What the controller adds to a command before it is accepted.
FILLED: Mapping[type[Any], Callable[[ControllerParts, Any, Principal], Awaitable[Any]]] = {RunJob: jobs.with_logins}
# What is done just before a task is accepted. A check does nothing: it is asked by a dry run, too.
BEFORE: Mapping[type[Any], Check] = {vms.Stop: _make_way}
