"""The faults that no test saw when 23 of them were put in by hand, and those few that were seen."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

from tests.mutants.faults import (
    Mutant,
    answers,
    free,
    given,
    later_answers,
    later_nothing,
    looks_at,
    off_whatever,
    resumed,
    vm_as_it_is,
)
from vmctl.act.whereabouts import Observation
from vmctl.decide.outcome import DomainPresence
from vmctl.errors import Refused, Uncertain, error_to_json
from vmctl.model.records import TaskState, VMRecord
from vmctl.model.vms import PowerState


def timeout_is_failure(_was: Any) -> Any:
    """No answer is taken for a no."""

    async def look_after(_services: Any, _vm: Any, host: str, *, wait_for_it: bool) -> Observation:
        return Observation(host, DomainPresence.GONE)

    return look_after


def uncertain_fails(was: Any) -> Any:
    """A create whose start is not certain is undone like one that failed, and its disk is deleted."""

    async def launch(services: Any, job: Any, vm: Any, host: str, *more: Any) -> Any:
        try:
            return await was.launch(services, job, vm, host, *more)
        except Uncertain as err:
            known = await services.store.vm(vm.uuid)
            await services.store.lease(known, "", PowerState.STOPPED, gone=known.may_run_on)
            raise Refused(err.message) from err

    return SimpleNamespace(choose=was.choose, outcome=was.outcome, launch=launch)


def over_what_is_there(was: Any) -> Any:
    """A file that lies where a disk is to be made is taken away first."""

    async def make(self: Any, name: str, *args: Any) -> Any:
        await self.delete(name)
        return await was(self, name, *args)

    return make


def paused_is_running(was: Any) -> Any:
    """A paused VM is taken for one that runs."""

    async def require_running(services: Any, vm: Any) -> Any:
        link, seen = await was(services, vm)
        return link, dataclasses.replace(seen, power=PowerState.RUNNING)

    return require_running


def to_itself(was: Any) -> Any:
    """A VM may go where it is."""

    async def promise(services: Any, job: Any, vm: Any) -> Any:
        if job.args.to != vm.host:
            return await was(services, job, vm)
        await services.store.change(VMRecord, vm.uuid, moving_to=vm.host)
        return services.online(vm.host)

    return promise


def limit(number: int) -> Any:
    """The last but so many of the arguments, which says how many may copy at once, says any number."""
    return lambda was: lambda *args: was(*args[:number], 99, *args[number:][1:])


def all_ours(was: Any) -> Any:
    """A VM that was adopted is taken for one of ours."""

    async def missing(services: Any, link: Any, vms: list[Any]) -> Any:
        return await was(services, link, [dataclasses.replace(vm, adopted=False) for vm in vms])

    return missing


def nobody_stays(was: Any) -> Any:
    """A plan does not say who cannot leave."""

    async def plan(*args: Any) -> Any:
        return dataclasses.replace(await was(*args), stays=())

    return plan


def any_backing(was: Any) -> Any:
    """A qcow2's header says nothing of a file below it."""

    def init(self: Any, path: Any, head: bytes, length: int) -> None:
        was(self, path, head[:8] + bytes(8) + head[16:], length)

    return init


def any_epoch(was: Any) -> Any:
    """A lease is taken whoever took one since."""

    async def lease(self: Any, vm: Any, *args: Any, **more: Any) -> Any:
        return await was(self, await self.vm(vm.uuid), *args, **more)

    return lease


def closing_fails(was: Any) -> Any:
    """A controller that is closed ends its tasks."""

    async def close(self: Any) -> None:
        ending = {"state": TaskState.FAILED, "error": error_to_json(Refused("the controller ended"))}
        for job in self.jobs():
            await self._store.end_task(job.id, **ending, ended_at=self._clock.now())
        await was(self)

    return close


HOUSE: tuple[Mutant, ...] = (
    Mutant("a start although it runs elsewhere", "vmctl.act.power:prove_off", off_whatever("already runs")),
    Mutant("a start although its host is silent", "vmctl.act.power:prove_off", off_whatever("may still run")),
    Mutant("a start without an answer is believed failed", "vmctl.act.power:look_after", timeout_is_failure),
    Mutant("a VM that runs is deleted", "vmctl.act.delete:prove_off", vm_as_it_is),
    Mutant("a create that is uncertain is undone", "vmctl.act.create:power", uncertain_fails),
    Mutant("a create over a foreign disk", "vmctl.storage.directory:DirectoryOnHost.make", over_what_is_there),
    Mutant("a host goes that runs VMs", "vmctl.act.hosts:left_behind vmctl.store.rules:left_behind", given(force=True)),
    Mutant("a paused VM migrates", "vmctl.act.migrate:require_running", paused_is_running),
    Mutant("a VM migrates to its own host", "vmctl.act.migrate:promise vmctl.act.coldmove:promise", to_itself),
    Mutant("the rules are not asked again before a move", "vmctl.act.migrate:check_again", later_nothing),
    Mutant("any number of migrations out of a host", "vmctl.store.rules:must_wait", limit(3)),
    Mutant("any number of migrations into a host", "vmctl.store.rules:must_wait", limit(4)),
    Mutant("a promise is not cleared", "vmctl.store.rules:FREED", lambda _was: {"task": None, "copying": False}),
    Mutant("leases of adopted VMs are looked after", "vmctl.act.leases:missing", all_ours),
    Mutant("a lease is renewed without the probe", "vmctl.act.leases:Guard._gives_leases", later_answers(True)),
    Mutant("a drain whose VMs stay is done", "vmctl.act.plans:plan", nobody_stays),
    Mutant("every kind of task is resumed", "vmctl.commands.catalogue:tasks", resumed(True)),
    Mutant("a storage in use goes", "vmctl.store.rules:check_empty", answers(None)),
    Mutant("an image with a backing file is taken", "vmctl.formats.imagefile:_Qcow2.__init__", any_backing),
    Mutant("a VM that a task holds is followed", "vmctl.cluster.controller:reconcile", looks_at(free())),
    Mutant(
        "a VM that migrates is followed",
        "vmctl.cluster.controller:reconcile",
        looks_at(free(lambda vm: vm.power is PowerState.MIGRATING)),
    ),
    Mutant(
        "the epoch counts nothing", "vmctl.store.memory:MemoryStore._lease vmctl.store.sql:SqlStore._lease", any_epoch
    ),
    Mutant("closing fails tasks", "vmctl.tasks.engine:Tasks.close", closing_fails),
)
