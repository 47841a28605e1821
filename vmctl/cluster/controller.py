"""The controller: the only room that knows the registry, the hosts and the hands.

It keeps a link to every host, brings the registry in line with what hosts show, runs tasks, and does by the clock what
is scheduled. Losing it changes nothing on hosts; the next one finds its open tasks in the journal. Of several that
share a registry the leader does all that (`member.py`); the others wait to take its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
from collections.abc import Callable, Coroutine
from typing import Any

from vmctl.act import leases
from vmctl.act.guestevents import GuestEvents
from vmctl.act.health import HealthMonitor
from vmctl.act.mounted import Mounts
from vmctl.act.presence import LOST_AFTER_S, follow_host, keep_boot
from vmctl.act.reconcile import learn_cpus, reconcile
from vmctl.act.restart import Restarts
from vmctl.act.unheld import free_unheld
from vmctl.cluster.jobprocesses import JobProcesses
from vmctl.cluster.keys import Keys
from vmctl.cluster.member import Member
from vmctl.cluster.schedules import Scheduler
from vmctl.cluster.standin import StandIn
from vmctl.cluster.watcher import Watcher
from vmctl.decide.search.warm import warm
from vmctl.door import ControllerParts, Door
from vmctl.door.handlers import task_handlers
from vmctl.errors import Refused
from vmctl.hosts.facts import RawSample
from vmctl.hosts.port import Link
from vmctl.local import logcontext
from vmctl.model.audit import head
from vmctl.model.records import HostRecord, VMRecord
from vmctl.ports.turns import come_last
from vmctl.services import Services
from vmctl.services.claims import Deposed
from vmctl.services.known import Known
from vmctl.services.meters import Meters
from vmctl.services.walls import wall
from vmctl.tasks import Tasks

log = logging.getLogger("vmctl.cluster.controller")
FIRST_LOOK_S = 2.0
KEEP_MEANS_EVERY_S = 60.0
KEEP_LEDGER_EVERY_S = 3.0
GUESTS_EVERY_S, JOBS_EVERY_S = 1.0, 5.0
KEEP_LOGS_EVERY_S = 1.0
VMS_EVERY_S = 5.0
CLOCK_EVERY_S = 2.0
WATCH_EVERY_S = 1.0
KEYS_EVERY_S = 5.0
LEAVE_EVERY_S, LEAVE_AFTER_S = 1.0, 60.0
BLIND_FOR_S = 30.0  # a leader that reaches no host, while others do, is not soon to be back
TELL_HEAD_EVERY_S = 3600.0
COMPILE_AFTER_S = 1.0
DEPOSED = 75  # exit code: it may be started again
audit_log = logging.getLogger("vmctl.audit")


class Controller:
    """Open with `start`, end with `close`. What it works on is given to it; `opening.py` has this machine's."""

    def __init__(
        self, services: Services, release: Callable[[], None] = lambda: None, member: Member | None = None
    ) -> None:
        """`release` is called at the very end, when nothing of it acts any more; `member`: the life it acts for."""
        self.services, self._release, self.cluster = services, release, member
        self.tasks = Tasks(services.store, clock=services.clock)
        self.guard = leases.Guard(self.services, self.tasks)
        self.mounts = Mounts(self.services)
        self.keys = Keys(self.services)
        self.guest_events = GuestEvents(self.services)
        self.job_processes = JobProcesses(self.services)
        self.health_monitor = HealthMonitor(self.services, self.tasks)
        self.restarts = Restarts(self.services, self.tasks)
        self.scheduler = Scheduler(self.services, self.tasks)
        self.known = Known(services.store, services.parts, services.settings.api.requests_per_s)
        self.meters = Meters(self.tasks.commands)
        self.tasks.on_end = self.meters.task_ended
        parts = ControllerParts(
            services=self.services,
            tasks=self.tasks,
            attach=self.attach,
            health_monitor=self.health_monitor,
            scheduler=self.scheduler,
            known=self.known,
            meters=self.meters,
        )
        self.tasks.handlers = task_handlers(parts)
        self.door = Door(parts)
        self._settling: dict[str, asyncio.Lock] = {}
        self._unsettled: set[str] = set()  # hosts of which something is new
        self._waits_for: set[Link] = set()  # hosts that are away, and looked at again in a moment
        self._closing = self._acts = False
        self._leaves_at = math.inf  # when a controller that drains waits no longer for its tasks, monotonic
        self.watcher = Watcher(services, member, self._watch) if member is not None and services.store.shared else None
        if member is not None and self.watcher is not None:
            self.door.stand_in = StandIn(services, member, self.known)
            member.outdone = self.watcher.outdone
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Act where it leads, else once it does."""
        member = self.cluster
        self._regularly(KEEP_LEDGER_EVERY_S, self.services.incarnations.flush, "write the ledger")
        self._regularly(GUESTS_EVERY_S, self.guest_events.look, "listen to guests")
        self._regularly(JOBS_EVERY_S, self.job_processes.look, "follow jobs' processes")
        if member is None:
            await self._act()
            return
        member.deposed = _end_at_once
        await member.join()
        if self.watcher is not None:
            self._regularly(WATCH_EVERY_S, self.watcher.look, "watch hosts for all controllers")
            self._regularly(KEEP_MEANS_EVERY_S, self._drop_means, "leave means to the leader")
        if member.leads:
            await self._act()
            member.acts()
        else:
            member.lead_begins = lambda: self._spawn(self._succeed(member), "take the leader's place")

    async def _succeed(self, member: Member) -> None:
        """Act as the one before did. Who cannot, for whatever reason, gives the lead up by its end."""
        with contextlib.ExitStack() as unless_it_acts:
            unless_it_acts.callback(self._give_up, member)
            await self._act()
            unless_it_acts.pop_all()
        member.acts()

    def _give_up(self, member: Member) -> None:
        if not self._closing:
            log.critical("this controller leads and cannot begin: it ends at once", exc_info=True)
            member.deposed()

    async def _act(self) -> None:
        """Begin the links, finish what an earlier controller left open, then do what the clock says."""
        self._leaves_at = self.services.clock.monotonic() + LEAVE_AFTER_S
        if self.door.stand_in is not None:
            self.door.stand_in.forget()
        await self.known.refresh()
        await self._go_on_with_ledgers()
        await self._attach_all()
        links = self.services.links.values()
        await asyncio.gather(*(link.wait_online(FIRST_LOOK_S) for link in links))  # the first answer is then true
        await self._resume_tasks()
        regularly: tuple[tuple[float, Callable[[], Coroutine[Any, Any, None]], str], ...] = (
            (KEEP_MEANS_EVERY_S, self._keep_means, "keep means"),
            (GUESTS_EVERY_S, self.health_monitor.look, "look after guests' health"),
            (KEEP_LOGS_EVERY_S, self.tasks.flush, "write the tasks' logs"),
            (VMS_EVERY_S, self._look_at_vms, "look at all VMs"),
            (CLOCK_EVERY_S, self.scheduler.look, "look at the clock"),
            *(((KEYS_EVERY_S, self.keys.look, "let controllers into hosts"),) if self.watcher is not None else ()),
            (LEAVE_EVERY_S, self._leave, "leave the lead to another one"),
            (TELL_HEAD_EVERY_S, self._tell_head, "write the audit's head down"),
        )
        for seconds, work, name in regularly:
            self._regularly(seconds, work, name)
        self._spawn(self._compile_search(), "compile the search")
        await self.scheduler.start()

    async def _attach_all(self) -> None:
        """Begin a link to every host. One that this controller has watched so far gets another one, too.

        What the one before has left on a host is ended at the log-in, before anything is looked at there.
        """
        async with self.watcher.changing if self.watcher is not None else contextlib.nullcontext():
            watched = dict(self.services.links)
            self.services.links.clear()
            await asyncio.gather(*(link.close() for link in watched.values()))
            self._acts = True
            for record in await self.services.store.all(HostRecord):
                self.attach(record).sample(self.watcher is None or record.name in self.watcher.held)

    async def _go_on_with_ledgers(self) -> None:
        """Of several controllers each keeps those of the hosts that it watches, and of the guests there."""
        await self.services.incarnations.start()
        await self.services.incarnations.end_of_gone()

    async def _leave(self) -> None:
        """One that drains, or that no host lets in, gives up the lead once nothing runs, or it has waited for long.

        It does so by the end of its life. What is accepted meanwhile is begun by the next one.
        """
        member, now, why = self.cluster, self.services.clock.monotonic(), self._why_leave()
        self.tasks.hold(bool(why))
        if member is None or not why:
            self._leaves_at = now + LEAVE_AFTER_S
        elif not (self.tasks.jobs() or self.door.at_once) or now >= self._leaves_at:
            log.warning("this controller %s: it ends this life, and begins another one that does not lead", why)
            await self.services.incarnations.flush()  # where that fails it goes on leading, until the next look
            self._closing = True
            await member.close(f"it {why}")
            member.deposed()

    def _why_leave(self) -> str:
        """Why the lead is to be left to another one that can; empty: it is not."""
        member, watcher = self.cluster, self.watcher
        if member is None or not member.replaceable:
            return ""
        if not member.me.takes_part:
            return "was drained"
        if watcher is not None and watcher.blind_s >= BLIND_FOR_S:
            return "reached no host, while others did"
        return ""

    async def _tell_head(self) -> None:
        """Write it where who changes the registry does not reach: this log, and the machine's."""
        newest = await self.services.store.newest_audited()
        told = f"the audit's head is {head(newest[0] if newest else None)}"
        audit_log.info(told)

    def attach(self, record: HostRecord) -> Link:
        """Begin the lasting link to a registered host."""
        if record.name in self.services.links:
            raise Refused(f"{record.name} has a link already", hint=f"vmctl host check {record.name}")
        return self._watch(record)

    def _watch(self, record: HostRecord) -> Link:
        link = self.services.new_link(record, self.services.runtime)
        link.on_sample = self._sampled
        link.on_domains = self._domains_changed
        self.services.links[record.name] = link
        link.start()
        return link

    def _sampled(self, link: Link, sample: RawSample) -> None:
        known = link.boot_id, self.services.lockds.get(link.name, "")
        link.boot_id, self.services.lockds[link.name] = sample.boot_id, sample.lockd or known[1]
        if known != (link.boot_id, self.services.lockds[link.name]):
            self._domains_changed(link)  # what is not there any more can be judged now, and leases looked at
        self.services.loads.add(link, sample)
        self.services.incarnations.host_sample(link, sample)

    async def _resume_tasks(self) -> None:
        """Tasks of a controller that died: those that can be looked after go on, the rest are reported failed."""
        for task in await self.services.store.open_tasks():
            log.info("task %s (%s %s) was left open in step %r", task.id, task.kind, task.subject, task.step)
            with wall(log, f"task {task.id}"):
                self.tasks.resume(task)

    async def _look_at_vms(self) -> None:
        """Start again what its host's reboot ended, and free what nobody holds; all hosts are asked about VMs' CPUs."""
        going_on = {job.id for job in self.tasks.jobs()}
        vms = await self.services.store.all(VMRecord)
        await self.restarts.look(vms)
        await free_unheld(self.services, vms, going_on)
        cpus = frozenset(vm.spec.cpu_xml for vm in vms) - {""}
        if cpus - self.services.cpus:
            self.services.cpus = cpus
            for link in self.services.links.values():
                if link.online:  # one that does not answer holds up nobody else
                    self._spawn(learn_cpus(self.services, link), f"ask {link.name} about CPUs")

    def _domains_changed(self, link: Link) -> None:
        if self._acts:  # else it is only watched here
            self._spawn(self._settle(link), f"reconcile {link.name}")

    async def _settle(self, link: Link) -> None:
        """Follow a host: one pass at a time, and another one when something was new meanwhile."""
        logcontext.only(host=link.name)  # whoever made it look again
        come_last()
        self._unsettled.add(link.name)
        lock = self._settling.setdefault(link.name, asyncio.Lock())
        if lock.locked():
            return
        async with lock:
            while link.name in self._unsettled and self.services.links.get(link.name) is link:
                self._unsettled.discard(link.name)
                with wall(log, link.name):
                    await follow_host(self.services, link)
                    await reconcile(self.services, link)
                    await keep_boot(self.services, link)
                with wall(log, f"the storages of {link.name}"):
                    await self.mounts.look(link)
                with wall(log, f"the leases on {link.name}"):
                    await self.guard.look(link)
        # Whether it is lost is told once it stayed away for a while. One look at a time: while the registry is away,
        # too, nothing is told, and each look would lead to more of them.
        if not link.online and link not in self._waits_for:
            self._waits_for.add(link)
            asyncio.get_running_loop().call_later(LOST_AFTER_S, self._still_away, link)

    def _still_away(self, link: Link) -> None:
        self._waits_for.discard(link)
        away = not link.online and not link.told_lost and self.services.links.get(link.name) is link
        if away and not self._closing:
            self._domains_changed(link)

    async def _compile_search(self) -> None:
        """So that the first plan does not wait for it; a little later, as it would delay the first answer."""
        await asyncio.sleep(COMPILE_AFTER_S)
        await self.services.threads.run(warm)

    async def _keep_means(self) -> None:
        await self.services.store.add_means(self.services.loads.finished_means(self.services.clock.now()))

    async def _drop_means(self) -> None:
        """Only whoever acts writes them: it hears of all hosts. With the others they would gather for ever."""
        if not self._acts:
            self.services.loads.finished_means(self.services.clock.now())

    async def _every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Do it again and again; one time that fails is logged and does not end the next."""
        while True:
            await asyncio.sleep(seconds)
            try:
                with wall(log, name):
                    await work()
            except (asyncio.CancelledError, Deposed):  # not only our own end: a link that is lost does that, too
                task = asyncio.current_task()
                if self._closing or (task is not None and task.cancelling()):
                    raise

    def _regularly(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._spawn(self._every(seconds, work, name), name)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s broke", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Stop. Tasks that run are left to the next controller; hosts and VMs go on."""
        self._closing = True
        self.scheduler.close()
        await self.tasks.close()
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.services.guests.close()
        await self.services.logins.close()
        await asyncio.gather(*(link.close() for link in self.services.links.values()))
        await self.services.incarnations.flush()
        if self.cluster is not None:
            await self.cluster.close("it was stopped")
        await self.services.reports.close()
        await self.services.store.close()
        self._release()


def _end_at_once() -> None:
    """As a kill would: nothing is undone, no handler runs on."""
    logging.shutdown()
    os._exit(DEPOSED)
