"""The two tables: every command, and every query. Pure.

A row gives a command its route, its entry in the API's document, its permission, its task and journal, and a command
line where it has none of its own. Who carries it out is in `door/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from vmctl.commands import cluster, hosts, journals, vms
from vmctl.commands.fields import Needs, mark
from vmctl.commands.journals import Journal
from vmctl.commands.permissions import Permission, Principal
from vmctl.errors import NotAllowed

May = Permission


@dataclass(frozen=True, slots=True)
class Asked:
    """What commands and queries have in common.

    `way` is the route: a method, and a path in which {argument} stands for an argument. Empty: no client can ask.
    """

    arguments: type[Any]
    way: str
    needs: Permission

    @property
    def method(self) -> str:
        """GET, POST, PUT or DELETE."""
        return self.way.partition(" ")[0]

    @property
    def path(self) -> str:
        """The route's path below /api/v1/."""
        return self.way.partition(" ")[2]

    @property
    def summary(self) -> str:
        """The first sentence of what it is."""
        return (self.arguments.__doc__ or "").partition("\n")[0]

    def check_permission(self, who: Principal, asked: Any) -> None:
        """Raises NotAllowed where `who` may not ask for this, or not with these arguments."""
        wanted = [self.needs]
        for field in fields(self.arguments):
            given = getattr(asked, field.name) != field.default
            if given and (more := mark(self.arguments, field.name, Needs)) is not None:
                wanted.append(more.permission)
        if missing := [permission for permission in wanted if permission not in who.may]:
            raise NotAllowed(f"{who.name} has no permission {', '.join(missing)}")


@dataclass(frozen=True, slots=True)
class Command(Asked):
    """Something that changes something.

    `kind` names it in tasks, events and on the command line. With a `journal` it is a task, which is accepted at once
    and followed; without one it is done when the answer comes.
    """

    kind: str
    journal: type[Journal] | None = None
    # Whoever takes it over finds in the journal what happened, or does no harm by doing it again. If not, a task that
    # a controller left open is reported as interrupted.
    resumes: bool = False
    meanwhile: str = ""  # it holds its VM, whose silence means nothing: what is said of that VM
    begins_anew: bool = False  # nothing has been heard of its VM's guest after that


@dataclass(frozen=True, slots=True)
class Query(Asked):
    """Something that is only looked at."""


def _task(
    kind: str, arguments: type[Any], way: str, needs: Permission, journal: type[Journal] = Journal, **more: Any
) -> Command:
    return Command(arguments, way, needs, kind, journal, **more)


# fmt: off
COMMANDS: tuple[Command, ...] = (
    _task("create", vms.Create, "POST vms", May.CREATE, journals.Creating, resumes=True),
    _task("start", vms.Start, "POST vms/{vm}/start", May.POWER, journals.Starting, resumes=True,
          meanwhile="being started", begins_anew=True),
    _task("stop", vms.Stop, "POST vms/{vm}/stop", May.POWER, journals.Stopping, resumes=True,
          meanwhile="being stopped", begins_anew=True),
    _task("reboot", vms.Reboot, "POST vms/{vm}/reboot", May.POWER, journals.Rebooting, resumes=True,
          meanwhile="being rebooted", begins_anew=True),
    _task("reset", vms.Reset, "POST vms/{vm}/reset", May.POWER, journals.Poking,
          meanwhile="being reset", begins_anew=True),
    _task("pause", vms.Pause, "POST vms/{vm}/pause", May.POWER, journals.Poking, meanwhile="being paused"),
    _task("resume", vms.Resume, "POST vms/{vm}/resume", May.POWER, journals.Poking, meanwhile="being resumed"),
    _task("delete", vms.Delete, "DELETE vms/{vm}", May.DELETE, journals.Deleting, resumes=True),
    _task("migrate", vms.Migrate, "POST vms/{vm}/migrate", May.MOVE, journals.Migrating, resumes=True,
          meanwhile="being migrated"),
    _task("renew lease", vms.RenewLease, "", May.POWER, journals.Renewing, resumes=True,
          meanwhile="taking its lease again"),
    _task("host add", hosts.AddHosts, "POST hosts", May.HOSTS, journals.Reporting),
    _task("host check", hosts.CheckHosts, "POST hosts/check", May.HOSTS, resumes=True),
    _task("host remove", hosts.RemoveHost, "DELETE hosts/{host}", May.HOSTS),
    _task("drain", hosts.DrainHost, "POST hosts/{host}/drain", May.PLAN, journals.CarryingOut, resumes=True),
    _task("rebalance", cluster.Rebalance, "POST rebalance", May.PLAN, journals.CarryingOut),
    _task("storage add", hosts.AddStorage, "POST storages", May.STORAGES),
    _task("storage check", hosts.CheckStorage, "POST storages/{name}/check", May.STORAGES, resumes=True),
    _task("storage measure", hosts.MeasureStorage, "POST storages/{name}/measure", May.STORAGES),
    _task("storage remove", hosts.RemoveStorage, "DELETE storages/{name}", May.STORAGES),
    _task("image add", hosts.AddImage, "POST images", May.IMAGES, journals.Making, resumes=True),
    _task("image remove", hosts.RemoveImage, "DELETE images/{name}", May.IMAGES, journals.RemovingImage, resumes=True),
    Command(hosts.LabelHost, "PUT hosts/{host}/labels", May.HOSTS, "host label"),
    Command(hosts.UndrainHost, "POST hosts/{host}/undrain", May.PLAN, "undrain"),
    Command(vms.SetAutostart, "PUT vms/{vm}/autostart", May.SET, "autostart"),
    Command(vms.SetHeal, "PUT vms/{vm}/heal", May.SET, "heal"),
    Command(cluster.SetSchedule, "PUT schedules/{name}", May.SCHEDULES, "schedule set"),
    Command(cluster.RemoveSchedule, "DELETE schedules/{name}", May.SCHEDULES, "schedule remove"),
    Command(cluster.CancelTask, "POST tasks/{number}/cancel", May.CANCEL, "task cancel"),
)
QUERIES: tuple[Query, ...] = (
    Query(cluster.About, "GET about", May.LOOK),
    Query(cluster.Top, "GET top", May.LOOK),
    Query(cluster.History, "GET history/{kind}/{name}", May.LOOK),
    Query(cluster.Dump, "GET snapshot", May.LOOK),
    Query(hosts.ListHosts, "GET hosts", May.LOOK),
    Query(hosts.ShowHost, "GET hosts/{host}", May.LOOK),
    Query(hosts.PlanDrain, "GET hosts/{host}/drain", May.LOOK),
    Query(hosts.ListStorages, "GET storages", May.LOOK),
    Query(hosts.ShowStorage, "GET storages/{name}", May.LOOK),
    Query(hosts.ListImages, "GET images", May.LOOK),
    Query(vms.ListVMs, "GET vms", May.LOOK),
    Query(vms.WhereToCreate, "POST vms/dry-run", May.LOOK),
    Query(vms.ShowVM, "GET vms/{vm}", May.LOOK),
    Query(vms.WhereToStart, "POST vms/{vm}/start/dry-run", May.LOOK),
    Query(vms.WhereNow, "GET vms/{vm}/placement", May.LOOK),
    Query(vms.CheckMigration, "GET vms/{vm}/migrate/check", May.LOOK),
    Query(vms.Why, "GET vms/{vm}/why", May.LOOK),
    Query(vms.ListHealth, "GET health", May.LOOK),
    Query(vms.ShowHealth, "GET vms/{vm}/health", May.LOOK),
    Query(cluster.PlanRebalance, "GET rebalance", May.LOOK),
    Query(cluster.PlanCurve, "GET rebalance/curve", May.LOOK),
    Query(cluster.Capacity, "GET capacity", May.LOOK),
    Query(cluster.PlanReboots, "GET reboot-plan", May.LOOK),
    Query(cluster.ListTasks, "GET tasks", May.LOOK),
    Query(cluster.ShowTask, "GET tasks/{number}", May.LOOK),
    Query(cluster.FollowTask, "GET tasks/{number}/follow", May.LOOK),
    Query(cluster.ListEvents, "GET events", May.LOOK),
    Query(cluster.ListSchedules, "GET schedules", May.LOOK),
    Query(cluster.ListProcesses, "GET processes", May.LOOK),
    Query(cluster.ListShortLived, "GET processes/short-lived", May.LOOK),
    Query(cluster.ShowProcess, "GET processes/{name}", May.LOOK),
    Query(cluster.Who, "GET who/{endpoint}", May.LOOK),
    Query(cluster.ListPrograms, "GET programs", May.LOOK),
)
# fmt: on


def by_arguments(rows: Iterable[Asked]) -> dict[type[Any], Asked]:
    """Rows by their class of arguments."""
    return {row.arguments: row for row in rows}


def row(arguments: type[Any]) -> Asked:
    """The row of a class of arguments."""
    return next(one for one in (*COMMANDS, *QUERIES) if one.arguments is arguments)


def tasks(rows: Iterable[Command] = COMMANDS) -> dict[str, Command]:
    """The commands that are tasks, by kind."""
    return {row.kind: row for row in rows if row.journal is not None}
