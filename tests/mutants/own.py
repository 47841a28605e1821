"""Faults of our own thinking, one for each thing that the controller must not forget."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from typing import Any

from tests.mutants.faults import (
    Mutant,
    answers,
    given,
    later_answers,
    later_nothing,
    never,
    nothing,
    outcome,
    value,
    vm_as_it_is,
)
from vmctl.act.mounted import host_with as host_with_it
from vmctl.act.whereabouts import Observation
from vmctl.cluster.controller import FIRST_LOOK_S
from vmctl.decide.health import Health, HealthStatus
from vmctl.decide.outcome import DomainPresence, Resolution
from vmctl.errors import MigrationFailed, Refused
from vmctl.model.records import VMRecord
from vmctl.model.uploads import as_dict
from vmctl.model.vms import PowerState
from vmctl.storage import kind_of


def without(*names: str) -> Any:
    """It is given nothing under these names."""
    return given(**dict.fromkeys(names, ()))


def silent_is_gone(was: Any) -> Any:
    """A host that says nothing shows nothing."""

    async def ask(services: Any, host: str, uuid: str) -> Observation:
        answer = await was(services, host, uuid)
        silent = answer.sight is DomainPresence.SILENT
        return Observation(host, DomainPresence.GONE) if silent else answer

    return ask


def uncertain_is_refused(_was: Any) -> Any:
    """What is not known is called a failure."""

    async def not_known(_services: Any, vm: Any, host: str, _answer: Any) -> None:
        raise Refused(f"{vm.name} was not started on {host}")

    return not_known


def never_journalled(_was: Any) -> Any:
    """What a successor must know is not written."""

    async def note(self: Any, step: str, **facts: Any) -> None:
        self.step = step
        self.keep(**facts)

    return note


def always_stopped(was: Any) -> Any:
    """Who may still run somewhere is called stopped."""

    def leased(vm: Any, host: str, power: PowerState, *args: Any, **more: Any) -> Any:
        values = was(vm, host, power, *args, **more)
        if power is PowerState.STOPPED:
            values |= {"power": power, "may_run_on": {}}
        return values

    return leased


def not_held(_was: Any) -> Any:
    """Two tasks may hold one VM."""

    async def claim(self: Any, vm: Any, task: int) -> Any:
        await self.change(VMRecord, vm.uuid, task=task)
        return await self.vm(vm.uuid)

    return claim


def forgets_anyway(_was: Any) -> Any:
    """A VM is forgotten whoever holds it."""

    async def forget_vm(self: Any, vm: Any, **more: Any) -> None:
        await self.remove(VMRecord, vm.uuid, **more)

    return forget_vm


def written_blindly(was: Any) -> Any:
    """A write whose answer was lost is done again without a look."""

    async def patiently(self: Any, write: Any, written: Any = None) -> Any:
        return await was(self, write)

    return patiently


def written_once(_was: Any) -> Any:
    """A registry that takes nothing is not waited for."""

    async def patiently(_self: Any, write: Any, written: Any = None) -> Any:
        return await write()

    return patiently


def unjudged(was: Any) -> Any:
    """That another task holds the VM now ends nothing."""
    return lambda target, claim, judge=None: was(target, claim)


def unchecked_after(_was: Any) -> Any:
    """Whether the claim was lost meanwhile is not asked."""

    def checked(call: Any, claim: Any, _judge: Any) -> Any:
        async def only_before(*args: Any, **more: Any) -> Any:
            claim.check()
            return await call(*args, **more)

        only_before.__name__ = call.__name__
        return only_before

    return checked


def cancel_forgotten(was: Any) -> Any:
    """Who takes over does not know that it was to be cancelled."""

    def init(self: Any, task: Any, *args: Any) -> None:
        was(self, dataclasses.replace(task, cancel_asked=False), *args)

    return init


def not_waited_for(was: Any) -> Any:
    """A task that is taken over waits for no link: only the controller itself does, for a moment."""

    async def wait_online(self: Any, limit_s: float) -> bool:
        return bool(self.online) if limit_s > FIRST_LOOK_S else await was(self, limit_s)

    return wait_online


def any_bytes(_was: Any) -> Any:
    """What was sent before at that place, and not counted, does not count."""
    return lambda upload, piece: dataclasses.replace(upload, pending=as_dict(piece))


def by_any_host(_was: Any) -> Any:
    """Whoever answers takes it away."""
    return lambda services, storage, _upload: host_with_it(services, storage)


def sick_whatever(was: Any) -> Any:
    """How a guest is does not count."""

    def next_step(level: str, health: Health, *args: Any) -> Any:
        return was(level, dataclasses.replace(health, status=HealthStatus.DEGRADED), *args)

    return next_step


def without_budget(was: Any) -> Any:
    """What was done before does not count."""
    return lambda level, health, sick_s, _taken, *more: was(level, health, sick_s, (), *more)


def at_once(was: Any) -> Any:
    """Its own agent has no time for a repair."""
    return lambda level, health, _sick_s, *more: was(level, health, 1e9, *more)


def heard_now(was: Any) -> Any:
    """What was ever heard was heard just now."""
    return lambda self, now: 0.0 if was(self, now) is not None else None


def pause_is_silence(was: Any) -> Any:
    """What was done to a VM says nothing of its guest's silence since."""

    def seen(self: Any, now: float, frozen: str = "") -> Any:
        found = was(self, now, frozen)
        self.thawed_at = -math.inf
        return found if found.heard_s is None else dataclasses.replace(found, heard_s=self.heard_s(now))

    return seen


def not_lost(_was: Any) -> Any:
    """Something of what a guest said was lost, and what it says next is believed to be all."""

    def lose(self: Any, why: str) -> None:
        self.refused = why
        self.refusals += 1

    return lose


def as_it_came(_was: Any) -> Any:
    """What a guest says is not looked at."""
    return lambda _kind, body: body


def unlocked(was: Any) -> Any:
    """Two VMs are placed at the same time."""

    class NoLock:
        async def __aenter__(self) -> None:
            await asyncio.sleep(0)

        async def __aexit__(self, *_: object) -> None:
            return

    def post_init(self: Any) -> None:
        was(self)
        self.placing = NoLock()

    return post_init


def host_with(**changed: Any) -> Any:
    """A host is placed upon as if that were so."""

    def made(was: Any) -> Any:
        def host(*args: Any) -> Any:
            found = was(*args)
            return dataclasses.replace(found, **{name: what(found) for name, what in changed.items()})

        return host

    return made


def not_back(_was: Any) -> Any:
    """What could not be started on its target is left off."""

    async def start_back(_services: Any, _job: Any, vm: Any, why: str) -> Any:
        raise MigrationFailed(f"{vm.name} was not moved: {why}")

    return start_back


def wanted_again(_was: Any) -> Any:
    """How it ended does not count: it is wanted as before."""
    return lambda vm, _link: vm.wanted


def always_ours(_was: Any) -> Any:
    """What lies in another's folder is its own, too."""
    return lambda storage, spec: [
        kind_of(storage).name(storage, disk.path) for disk in spec.disks if disk.storage == storage.name
    ]


R, P, G, S = DomainPresence.RUNNING, DomainPresence.PAUSED, DomainPresence.GONE, DomainPresence.SILENT
VMS: tuple[Mutant, ...] = (
    # -- starting
    Mutant("a start asks nobody where it runs", "vmctl.act.power:prove_off", vm_as_it_is),
    Mutant("a silent host is taken for one without it", "vmctl.act.whereabouts:ask_for_sure", silent_is_gone),
    Mutant("nothing is journalled", "vmctl.tasks.job:Job.note", never_journalled),
    Mutant("a mount that is missing is not noticed", "vmctl.act.power:refuse_unmounted", later_nothing),
    Mutant("a key that was taken is not made again", "vmctl.act.disks:look_for_key", later_nothing),
    Mutant("where a start may have moved to is not asked", "vmctl.act.power:refuse_departed", later_nothing),
    Mutant("a create that may have moved is undone", "vmctl.act.create:refuse_departed", later_nothing),
    Mutant("a cold move forgets who else may move it", "vmctl.act.coldmove:refuse_departed", later_nothing),
    Mutant("somebody's copy is taken for the cold move's own", "vmctl.act.coldmove:_somebody_else", later_nothing),
    Mutant("an unknown VM counts as seen off", "vmctl.act.power:seen_off", vm_as_it_is),
    Mutant("what is not known is called a failure", "vmctl.act.power:_not_known", uncertain_is_refused),
    Mutant("what is only half there starts", "vmctl.act.power:_refuse_half", nothing),
    Mutant("a start that may still begin is not waited for", "vmctl.act.power:LOOK_AGAIN_S", value(0.0)),
    Mutant("two VMs are placed at once", "vmctl.services.services:Services.__post_init__", unlocked),
    # -- stopping and deleting
    Mutant("a delete believes a mount that is lost meanwhile", "vmctl.act.delete:refuse_unmounted", later_nothing),
    Mutant("a delete leaves the disks", "vmctl.act.disks:remove", later_answers([])),
    Mutant("an end is believed before it is seen", "vmctl.act.power:halt", later_nothing),
    Mutant("a stop by force waits for the one before", "vmctl.door.handlers:overtake_stop", later_nothing),
    Mutant("a disk goes that another VM needs", "vmctl.act.delete:refuse_if_needed", later_nothing),
    Mutant("a delete follows links", "vmctl.act.delete:refuse_links", later_nothing),
    Mutant("a delete takes what is not its own", "vmctl.act.disks:names", always_ours),
    # -- creating
    Mutant("a create that failed is not undone", "vmctl.act.create:_undo", later_nothing),
    Mutant("a create that failed leaves its files", "vmctl.act.made:Made.undo", later_nothing),
    Mutant("what a host refused to make is taken away, too", "vmctl.act.made:LibvirtError", never),
    Mutant("an undo follows links", "vmctl.act.made:refuse_links", later_nothing),
)
MOVES: tuple[Mutant, ...] = (
    Mutant("a cold move believes an end that it has not seen", "vmctl.act.coldmove:halt", later_nothing),
    Mutant("a cold move that fails leaves it off", "vmctl.act.coldmove:_start_back", not_back),
    Mutant("a cold move overwrites a definition", "vmctl.act.coldmove:_refuse_definition", later_nothing),
    Mutant("libvirt is believed that it is on the target", "vmctl.act.conclude:resolve", answers(Resolution.ON_TARGET)),
    Mutant("a silent target is no target", "vmctl.decide.outcome:OUTCOMES", outcome((P, S, Resolution.RESUME_SOURCE))),
    Mutant("a copy that runs is dropped", "vmctl.decide.outcome:OUTCOMES", outcome((P, R, Resolution.DROP_TARGET))),
    Mutant("two copies that run are no alarm", "vmctl.decide.outcome:OUTCOMES", outcome((R, R, Resolution.ON_TARGET))),
    Mutant("nothing half made is dropped", "vmctl.act.conclude:_do", later_answers(False)),
    Mutant("an unclear picture gets no time", "vmctl.act.conclude:SETTLE_FOR_S", value(0.0)),
    Mutant("a successor lets a migration be", "vmctl.act.migrate:_take_over", later_answers({})),
    Mutant("the socket of a dead migration stays", "vmctl.act.migrate:_remove_socket", later_nothing),
    Mutant("a socket stays", "vmctl.act.migrate:_withdrawn", later_answers(True)),
    Mutant("libvirt is waited for that says nothing", "vmctl.act.monitor:MigrationMonitor.check_it_goes_on", nothing),
    Mutant("an abort that hangs is waited for", "vmctl.act.monitor:MigrationMonitor._drop_target", later_nothing),
    Mutant("no slot is taken", "vmctl.store.memory:MemoryStore.take_slot", later_answers(None)),
    Mutant("a slot is not waited for", "vmctl.services.services:Slots.take", later_nothing),
    Mutant("a drain does not wait for holders", "vmctl.act.plans:Plans._wait_for_holders", later_nothing),
    Mutant("a move does not wait for room", "vmctl.act.plans:leave_first", answers([])),
)
REGISTRY: tuple[Mutant, ...] = (
    Mutant("two tasks hold one VM", "vmctl.store.memory:MemoryStore.claim", not_held),
    Mutant("two tasks hold one VM, in SQL", "vmctl.store.sql:SqlStore.claim", not_held),
    Mutant("a VM is forgotten that a task holds, in SQL", "vmctl.store.sql:SqlStore.forget_vm", forgets_anyway),
    Mutant("no slot is taken, in SQL", "vmctl.store.sql:SqlStore.take_slot", later_answers(None)),
    Mutant("an end frees nothing", "vmctl.store.rules:FREED", lambda _was: {}),
    Mutant("a lease forgets no host", "vmctl.store.rules:leased", without("gone")),
    Mutant("a migration's lease names one host", "vmctl.store.rules:leased", without("also")),
    Mutant("who may run is called stopped", "vmctl.store.rules:leased", always_stopped),
    Mutant("an answer that was lost is not looked for", "vmctl.store.patience:Patient.patiently", written_blindly),
    Mutant("a full registry is not waited for", "vmctl.store.patience:Patient.patiently", written_once),
    Mutant("a command whose answer was lost is refused", "vmctl.tasks.engine:Tasks._find", later_answers(None)),
    Mutant("an image in use goes", "vmctl.store.rules:check_unused", nothing),
    Mutant(
        "one path becomes two storages",
        "vmctl.act.storage:check_new_storage vmctl.store.rules:check_new_storage",
        nothing,
    ),
    Mutant("one machine becomes two hosts", "vmctl.store.rules:check_new_host", nothing),
    Mutant("what is young is pruned", "vmctl.store.rules:TOLD_KEPT_S", value(0.0)),
    Mutant("an ended VM's processes go on, in the ledger", "vmctl.ledger.incarnations:Incarnations._end", nothing),
    Mutant("the ports of a process that ended stay open", "vmctl.ledger.machine:Ledger._close", nothing),
    Mutant("the ledger is not written", "vmctl.ledger.incarnations:Incarnations.flush", later_nothing),
)
HOSTS: tuple[Mutant, ...] = (
    # -- following what they show
    Mutant("nothing is followed", "vmctl.cluster.controller:reconcile", later_nothing),
    Mutant("an end is not followed", "vmctl.act.reconcile:_gone", later_nothing),
    Mutant("what is absent is ended without another look", "vmctl.act.reconcile:_surely_gone", later_answers(True)),
    Mutant("a change of state is not followed", "vmctl.act.reconcile:_changed", later_nothing),
    Mutant("who was left paused stays paused", "vmctl.act.reconcile:_let_go_on", later_answers(False)),
    Mutant("strangers are not taken up", "vmctl.act.reconcile:_adopt", later_nothing),
    Mutant("two copies are nobody's business", "vmctl.act.reconcile:_alarm", later_nothing),
    Mutant("what somebody ended is started again", "vmctl.act.reconcile:_still_wanted", wanted_again),
    Mutant("nobody looks after leases", "vmctl.act.leases:Guard.look", later_nothing),
    Mutant("a reboot is nobody's business", "vmctl.act.restart:Restarts.look", later_nothing),
    Mutant("what does not stay up is started for ever", "vmctl.act.restart:wait_s", answers(0.0)),
    Mutant("nobody notes a host's boot", "vmctl.cluster.controller:keep_boot", later_nothing),
    Mutant("an orderly reboot leaves its guests off", "vmctl.act.presence:_want_again", later_nothing),
    Mutant("nobody looks after mounts", "vmctl.act.mounted:Mounts.look", later_nothing),
    Mutant("nobody tells that a host is lost", "vmctl.cluster.controller:follow_host", later_nothing),
    # -- adding them, and storages
    Mutant("a host with failures joins", "vmctl.act.hosts:Candidate.failures", value([])),
    Mutant("a host without a lock gets VMs", "vmctl.services.observe:_host", host_with(no_lock=lambda _host: "")),
    Mutant(
        "a host without the storage gets VMs",
        "vmctl.services.observe:_host",
        host_with(storages=lambda host: host.storages | host.lost_storages),
    ),
    Mutant("a storage is taken that is not shared", "vmctl.act.storage:_refuse_new", later_nothing),
    Mutant("an upload is not read back", "vmctl.act.storage:_read_back", later_nothing),
    Mutant("who made a file is not asked to take it away", "vmctl.act.made:Made.may_come", answers(False)),
    Mutant("an upload asks for no room", "vmctl.act.storage:_check_room", later_nothing),
    Mutant("a host sees what nobody has looked at", "vmctl.act.uploads:_check_head", nothing),
    Mutant("other bytes are taken where some may still come", "vmctl.act.uploads:begun", any_bytes),
    Mutant("a checksum is compared with nothing", "vmctl.act.finish:_compare", nothing),
    Mutant("an upload goes while its maker may make more", "vmctl.act.dropped:_remover", by_any_host),
    Mutant("an address inside is fetched from", "vmctl.model.urls:check_address", nothing),
    Mutant("an image goes that a stranger needs", "vmctl.act.storage:refuse_if_needed", later_nothing),
    Mutant("an image that cannot go is forgotten", "vmctl.act.storage:_keep_image", later_nothing),
    # -- guests
    Mutant("a guest that is well is treated", "vmctl.decide.heal:next_step", sick_whatever),
    Mutant("a guest is treated without a budget", "vmctl.decide.heal:next_step", without_budget),
    Mutant("a guest is treated at once", "vmctl.decide.heal:next_step", at_once),
    Mutant("an old report counts", "vmctl.guests.followers:Follower.heard_s", heard_now),
    Mutant("a pause counts as silence", "vmctl.guests.followers:Follower.seen", pause_is_silence),
    Mutant("an old pressure counts", "vmctl.guests.guest:STALE_PERIODS", value(1e9)),
    Mutant("what was lost of a report is not missed", "vmctl.guests.guest:Guest._lose", not_lost),
    Mutant("what a guest says is not looked at", "vmctl.guests.guest:validate", as_it_came),
)
TASKS: tuple[Mutant, ...] = (
    Mutant("a lost claim changes nothing", "vmctl.services.claims:Claim.check", nothing),
    Mutant("a claim that is lost meanwhile is not noticed", "vmctl.services.claims:_checked", unchecked_after),
    Mutant("a task that was taken over goes on", "vmctl.services.services:handle", unjudged),
    Mutant("open tasks are forgotten", "vmctl.cluster.controller:Controller._resume_tasks", later_nothing),
    Mutant("a task that broke has no end", "vmctl.tasks.engine:Tasks._end", later_nothing),
    Mutant("a link that is lost ends a task", "vmctl.tasks.engine:TRIES", value(1)),
    Mutant("a cancel dies with its controller", "vmctl.tasks.job:Job.__init__", cancel_forgotten),
    Mutant("who comes up believes silence", "vmctl.hosts.link:HostLink.wait_online", not_waited_for),
)
OWN = (*VMS, *MOVES, *REGISTRY, *HOSTS, *TASKS)
