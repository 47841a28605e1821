"""Bugs that other managers had or have, each by its mechanism as our code would have it.

The number is that of the project's issue or pull request.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from tests.mutants.faults import (
    Mutant,
    answers,
    free,
    later_answers,
    later_nothing,
    looks_at,
    outcome,
    resumed,
    value,
)
from vmctl.act.whereabouts import off_at
from vmctl.commands.vms import Migrate
from vmctl.decide.health import HealthStatus
from vmctl.decide.outcome import DomainPresence, Resolution
from vmctl.errors import MigrationFailed
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState

R, P, G, S = DomainPresence.RUNNING, DomainPresence.PAUSED, DomainPresence.GONE, DomainPresence.SILENT
BETWEEN = (PowerState.STARTING, PowerState.STOPPING)


def off_in_between(vm: Any) -> Any:
    """A VM that a task is at, as if it were off and free."""
    return dataclasses.replace(vm, task=None, power=PowerState.STOPPED) if vm.task is not None else vm


async def _write_off(services: Any, host: str) -> None:
    """Call all off that runs on a host."""
    for vm in await services.store.all(VMRecord):
        if vm.host == host and vm.task is None and vm.power is not PowerState.STOPPED:
            await services.store.lease(vm, off_at(vm), PowerState.STOPPED, gone=vm.may_run_on)


def lost_is_off(was: Any) -> Any:
    """What ran on a host that is lost is called off, and started elsewhere."""

    async def follow_host(services: Any, link: Any) -> None:
        told = link.told_lost
        await was(services, link)
        if link.told_lost and not told:
            await _write_off(services, link.name)

    return follow_host


def unmounted_is_off(was: Any) -> Any:
    """What runs on a host that lost its storage is called off, and started elsewhere."""

    async def look_at(self: Any, link: Any, storage: Any) -> None:
        await was(self, link, storage)
        if storage.name in self._services.unmounted.get(link.name, ()):
            await _write_off(self._services, link.name)

    return look_at


def says_it_runs(_was: Any) -> Any:
    """A start is written down, and not done."""

    async def launch(services: Any, _job: Any, vm: Any, host: str, *_args: Any, **_more: Any) -> Any:
        return await services.store.lease(vm, host, PowerState.RUNNING, wanted="running")

    return launch


def all_or_nothing(was: Any) -> Any:
    """One VM that cannot leave keeps all others where they are."""

    async def plan(*args: Any) -> Any:
        made = await was(*args)
        return dataclasses.replace(made, moves=()) if made.stays else made

    return plan


def never_draining(was: Any) -> Any:
    """That a host drains keeps nothing away."""
    return lambda *args: dataclasses.replace(was(*args), draining=False)


def begun_is_ended(_was: Any) -> Any:
    """A move that was accepted counts as finished."""

    async def move(self: Any, job: Any, plan: Any, number: int, ended: Any, children: list[Any]) -> tuple[str, bool]:
        one = plan.moves[number]
        asked = Migrate(one.uuid, one.target, why=one.why, parent=job.id)
        children.append(await self._tasks.submit(asked, job.who, one.vm))
        ended[number].set()
        return f"{one.vm}: now on {one.target}", True

    return move


def failed_is_done(was: Any) -> Any:
    """A move that failed counts as done."""

    async def move(*args: Any) -> tuple[str, bool]:
        return (await was(*args))[0], True

    return move


def first_failure_ends(was: Any) -> Any:
    """One move that fails ends all that come after it."""

    async def move(self: Any, job: Any, plan: Any, number: int, ended: Any, children: list[Any]) -> tuple[str, bool]:
        if number:
            await ended[number - 1].wait()
        if getattr(job, "broken", False):
            ended[number].set()
            return f"{plan.moves[number].vm}: not begun", False
        line, good = await was(self, job, plan, number, ended, children)
        job.broken = job.__dict__.get("broken", False) or not good
        return line, good

    return move


def moved_long_ago(was: Any) -> Any:
    """When a VM moved last is forgotten."""
    return lambda *args: dataclasses.replace(was(*args), moved_s_ago=None)


def on_target_after_all(was: Any) -> Any:
    """After a failure the host is written down to which it did not go."""

    async def conclude(services: Any, job: Any, vm: Any, source: str, target: str, *more: Any) -> Any:
        try:
            return await was(services, job, vm, source, target, *more)
        except MigrationFailed:
            known = await services.store.vm(vm.uuid)
            if known.power is PowerState.RUNNING:
                await services.store.lease(known, target, PowerState.RUNNING, gone=(source,))
            raise

    return conclude


def success_fails(was: Any) -> Any:
    """What libvirt said last is the task's end, wherever the VM is."""

    async def conclude(services: Any, job: Any, vm: Any, source: str, target: str, problem: Any, took_s: float) -> Any:
        result = await was(services, job, vm, source, target, problem, took_s)
        if problem is not None:
            raise MigrationFailed(f"{vm.name} was not migrated: {problem.message}")
        return result

    return conclude


def failure_is_done(was: Any) -> Any:
    """A VM that stayed counts as moved."""

    async def conclude(services: Any, job: Any, vm: Any, source: str, *more: Any) -> Any:
        try:
            return await was(services, job, vm, source, *more)
        except MigrationFailed:
            return {"vm": vm.name, "source": source, "host": source}

    return conclude


def forced_is_off(was: Any) -> Any:
    """What ran on a host that was taken out by force is called off."""

    def left_behind(*args: Any, **more: Any) -> Any:
        forgotten, kept = was(*args, **more)
        return forgotten, [dataclasses.replace(vm, power=PowerState.STOPPED, may_run_on={}) for vm in kept]

    return left_behind


def not_asked(was: Any) -> Any:
    """A move is begun, whether its plan was cancelled or not."""

    async def move(self: Any, job: Any, *more: Any) -> Any:
        unasked = copy.copy(job)
        unasked.cancel_asked = type(job.cancel_asked)()
        return await was(self, unasked, *more)

    return move


KNOWN: tuple[Mutant, ...] = (
    Mutant(
        "Ganeti 382: a migration that says failed is believed to have stayed",
        "vmctl.act.conclude:resolve",
        answers(Resolution.ON_SOURCE),
    ),
    Mutant(
        "Ganeti 669: a host that is lost is written off, and its VMs with it",
        "vmctl.cluster.controller:follow_host",
        lost_is_off,
    ),
    Mutant(
        "Ganeti 790: a watcher follows what is in the middle of a failover",
        "vmctl.cluster.controller:reconcile",
        looks_at(free(lambda vm: vm.power in BETWEEN)),
    ),
    Mutant(
        "Ganeti 791: a watcher starts what is in the middle of a failover",
        "vmctl.act.restart:Restarts.look",
        looks_at(off_in_between, "_services"),
    ),
    Mutant("Ganeti 1043: where it really runs is not accepted", "vmctl.act.reconcile:_elsewhere", later_nothing),
    Mutant(
        "KubeVirt 16622: the source's QEMU stays after a migration",
        "vmctl.decide.outcome:OUTCOMES",
        outcome((P, R, Resolution.ON_TARGET), (R, P, Resolution.ON_SOURCE)),
    ),
    Mutant(
        "KubeVirt 6028: the source says failed, and what runs on the target is called lost",
        "vmctl.decide.outcome:OUTCOMES",
        outcome((G, R, Resolution.NOWHERE)),
    ),
    Mutant(
        "KubeVirt 17235: an agent's silence in a migration or a pause is sickness",
        "vmctl.act.health:HealthMonitor._frozen",
        answers(""),
    ),
    Mutant("KubeVirt 9585: a drain that is cancelled goes on", "vmctl.act.plans:Plans._move", not_asked),
    Mutant("Incus 3933: a cancel does not reach the moves", "vmctl.act.plans:Plans._pass_on", later_nothing),
    Mutant(
        "CloudStack 2890: what runs on a host without its storage is started elsewhere",
        "vmctl.act.mounted:Mounts._look_at",
        unmounted_is_off,
    ),
    Mutant(
        "CloudStack 2657: a hiccup resets what is only silent",
        "vmctl.decide.heal:SICK",
        lambda was: (*was, HealthStatus.SILENT),
    ),
    Mutant("CloudStack 12922: a start is marked done, and not done", "vmctl.act.power:launch", says_it_runs),
    Mutant("CloudStack 12045: a host that drains gets VMs", "vmctl.services.observe:_host", never_draining),
    Mutant("CloudStack 13098: one VM that cannot move ends the plan", "vmctl.act.plans:plan", all_or_nothing),
    Mutant(
        "CloudStack 13589: the end of what ran on a lost host is never proven",
        "vmctl.act.reconcile:_surely_gone",
        later_answers(False),
    ),
    Mutant("OpenNebula 7382: one move that fails stops the rest", "vmctl.act.plans:Plans._move", first_failure_ends),
    Mutant("OpenNebula 3582: a failure writes the wrong host down", "vmctl.act.migrate:conclude", on_target_after_all),
    Mutant("OpenNebula 6634: a success is told as a failure", "vmctl.act.migrate:conclude", success_fails),
    Mutant("OpenNebula 1636: a move back to its host is told as done", "vmctl.act.migrate:conclude", failure_is_done),
    Mutant("ProxLB 276: a move that is accepted counts as finished", "vmctl.act.plans:Plans._move", begun_is_ended),
    Mutant("ProxLB 335: what has just moved moves again", "vmctl.services.observe:_vm", moved_long_ago),
    Mutant("ProxLB (credativ) 7: a move that failed counts as done", "vmctl.act.plans:Plans._move", failed_is_done),
    Mutant(
        "ProxLB (credativ) 23: moves are planned as if none moved",
        "vmctl.decide.score:moved",
        lambda _was: lambda cluster, *_args: cluster,
    ),
    Mutant("ProxCenter 338: a drain fills a host beyond its memory", "vmctl.decide.fit:expected_mib", answers(0)),
    Mutant("Nova 2085975: who starts ends what is under way", "vmctl.commands.catalogue:tasks", resumed(False)),
    Mutant("Nova 1922053: what ran on a forced-out host is off", "vmctl.store.rules:left_behind", forced_is_off),
    Mutant("resource-agents 385: a host that hangs is waited for", "vmctl.act.whereabouts:FAR_S", value(1e6)),
)
