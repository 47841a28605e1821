"""A QEMU that a migration which broke has left paused: whether it may go on is decided by all hosts that may run it."""

from __future__ import annotations

import asyncio

from vmctl.act.whereabouts import Observation, ask
from vmctl.decide.outcome import DomainPresence, Resolution, resolve
from vmctl.hosts.port import Link
from vmctl.hosts.shown import LEFT_OVER
from vmctl.model.records import VMRecord
from vmctl.services import Services


async def in_the_way(services: Services, link: Link, vm: VMRecord) -> tuple[str, ...] | None:
    """Why it may not go on on this host, a sentence each; none: it may; None: it is no left-over. Raises HostError.

    By the same table as at a migration's end: every host that may run it must say that it does not.
    """
    here = await ask(services, link.name, vm.uuid)
    if here.sight is not DomainPresence.PAUSED or here.domain is None or here.domain.why not in LEFT_OVER:
        return None
    if here.domain.has_job:
        return (f"somebody migrates it from or to {link.name} just now",)
    # A half-made copy that came in is paused for the same reason, and has not all of its memory.
    if not await link.virt.broke(vm.uuid):
        return (f"what is on {link.name} is a half-made copy of it",)
    # Registered hosts, and those that were removed while it may have run there: none may be left out.
    others = sorted(name for name in {*vm.may_run_on, *services.links} if name != link.name)
    answers = await asyncio.gather(*(ask(services, name, vm.uuid) for name in others))
    return tuple(
        str(answer)
        for answer in answers
        if _matters(vm, answer) and resolve(here.sight, answer.sight) is not Resolution.RESUME_SOURCE
    )


def _matters(vm: VMRecord, answer: Observation) -> bool:
    """A host where it may run must speak; any other one that shows it counts, too."""
    return answer.host in vm.may_run_on or answer.sight in (DomainPresence.RUNNING, DomainPresence.PAUSED)
