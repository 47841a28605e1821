"""A migration's target: chosen, and a place promised to the VM there until its task ends."""

from __future__ import annotations

from typing import Any

from vmctl.act import power
from vmctl.act.disks import refuse_without
from vmctl.commands.vms import Migrate
from vmctl.decide.fit import refusal
from vmctl.errors import NotMounted, Refused
from vmctl.hosts.port import Link
from vmctl.model.records import VMRecord
from vmctl.model.vms import VM, PowerState, in_project
from vmctl.services import Services
from vmctl.services.observe import observe
from vmctl.tasks import Job


def refuse_stuck(vm: VMRecord, *, cold: bool) -> None:
    """Refuse to move what was seen to be bound to its host."""
    if words := (vm.stuck_cold if cold else vm.stuck):
        how = "cold" if cold else "live"
        hint = f"vmctl migrate {vm.name} --check"
        raise Refused(f"{vm.name} cannot migrate {how}: {words[0]}", lines=tuple(words[1:]), hint=hint)


async def promise(services: Services, job: Job[Migrate, Any], vm: VMRecord) -> Link:
    """Choose the target and promise the VM its place there. Raises NoHostFits, Refused."""
    wanted = job.args.to
    if wanted == vm.host:
        verb = "is defined" if vm.power is PowerState.STOPPED else "already runs"
        raise Refused(f"{vm.name} {verb} on {wanted}", hint=f"vmctl migrate {vm.name}")
    reason = job.args.why
    without: set[str] = set()  # hosts that were seen not to have its storage
    while True:
        # Under the same lock as every start: the promise counts as room that is taken before the next one is placed.
        async with services.placing:
            seen = VM(in_project(vm.spec, vm.project), host=vm.host, power=vm.power, adopted=vm.adopted)
            kind = "start" if vm.power is PowerState.STOPPED else "migrate"
            found = await power.choose(services, job, seen, wanted, kind, reason)
            await services.store.change(type(vm), vm.uuid, moving_to=found.host)
        target = services.online(found.host)
        try:
            await refuse_without(services, target, vm)
        except NotMounted as err:  # placement knows that now, and takes another host
            if wanted or found.host in without:
                raise
            without.add(found.host)
            job.say(f"not moved to {found.host}: {err.message}")
            continue
        job.say(f"{vm.host} -> {found.host}: {reason}" if reason else f"{vm.host} -> {found.why}")
        return target


async def check_again(services: Services, vm: VMRecord, target: str) -> None:
    """Ask the rules once more, just before anything moves: since the promise the cluster may have changed.

    Not N+1: that was asked at the promise, and whatever is placed after it counts the promise.
    """
    cluster = await observe(services)
    seen = next(v for v in cluster.vms if v.spec.uuid == vm.uuid)
    host = cluster.host(target)
    no = refusal(seen, host, cluster, services.policy) if host else None
    if host is None or no is not None:
        raise Refused(f"{vm.name} no longer fits on {target}: {no.why if no else 'the host is gone'}")
