"""A QEMU that a migration which broke has left paused: whether it may go on is decided by all hosts.

Its memory is of the moment at which it was paused. Where a copy may have run since, its disk is newer than that, and a
guest that went on would write over what it does not know.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from vmctl.act.whereabouts import Observation, ask
from vmctl.decide.outcome import DomainPresence, Resolution, resolve
from vmctl.hosts.port import Link
from vmctl.hosts.shown import LEFT_OVER
from vmctl.model.records import VMRecord
from vmctl.services import Services

STALE = "its memory may be older than its disk"  # how the reason begins of one that may not go on


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What speaks against letting it go on, a sentence each."""

    others: tuple[str, ...] = ()  # where it may run now
    stale: tuple[str, ...] = ()  # where it may have run since


async def left_over(services: Services, link: Link, vm: VMRecord) -> LeftOver | None:
    """What a migration has left on this host; None: nothing. Raises HostError."""
    here = await ask(services, link.name, vm.uuid)
    if here.sight is not DomainPresence.PAUSED or here.domain is None or here.domain.why not in LEFT_OVER:
        return None
    if here.domain.has_job:
        return LeftOver((f"somebody migrates it from or to {link.name} just now",))
    # A half-made copy that came in is paused for the same reason, and has not all of its memory.
    if not await link.virt.broke(vm.uuid):
        return LeftOver((f"what is on {link.name} is a half-made copy of it",))
    # Registered hosts, and those that were removed while it may have run there: none may be left out.
    others = sorted(name for name in {*vm.may_run_on, *services.links} if name != link.name)
    answers = await asyncio.gather(*(ask(services, name, vm.uuid) for name in others))
    in_the_way = tuple(
        str(answer)
        for answer in answers
        if _matters(vm, answer) and resolve(here.sight, answer.sight) is not Resolution.RESUME_SOURCE
    )
    links = [other for name in others if (other := services.links.get(name)) is not None]
    stale = tuple(f"it may have run on {other.name} since" for other in links if not has_not_run(other, link, vm.uuid))
    return LeftOver(in_the_way, stale)


def _matters(vm: VMRecord, answer: Observation) -> bool:
    """A host where it may run must speak; any other one that shows it counts, too."""
    return answer.host in vm.may_run_on or answer.sight in (DomainPresence.RUNNING, DomainPresence.PAUSED)


def has_not_run(there: Link, here: Link, uuid: str) -> bool:
    """Whether it surely has not run there since it last ran here: its libvirt would have told of that."""
    since = here.seen_running.get(uuid, -math.inf)
    return there.heard_since <= since and there.ran_at.get(uuid, -math.inf) < since
