"""A VM that its host does not show any more has ended there, or somebody moved it: what tells the two apart.

libvirt tells whoever listens that a domain was put out, or that it left by a migration. Where nobody listened, the
other hosts must say that they do not have it; one that is silent may have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vmctl.act.whereabouts import Observation, alive, ask_far, heard_to_end, off_at, sight_of
from vmctl.decide.outcome import DomainPresence
from vmctl.errors import Uncertain
from vmctl.hosts.port import Link
from vmctl.hosts.shown import LEFT_OVER
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services


@dataclass(frozen=True, slots=True)
class Departure:
    """What is known of a VM that one host does not show any more."""

    shown: Observation | None = None  # by another host
    silent: tuple[str, ...] = ()  # hosts that may have it, and say nothing
    moved: bool = False  # libvirt said that it left by a migration, and no host shows it

    @property
    def doubt(self) -> str:
        """Why it may still run, in words; empty where it has ended."""
        if self.shown is not None:
            return f"somebody moved it to {self.shown.host}"
        if self.silent:
            return f"somebody may have moved it to {' or '.join(self.silent)}, and no answer comes from there"
        return "somebody migrated it away, and no host shows it" if self.moved else ""


async def departure(
    services: Services, link: Link, vm: VMRecord, *, surely: bool = False, but: Collection[str] = ()
) -> Departure:
    """Where it is, as it is not on this host; nor on those of `but`, which have just said so.

    `surely`: its end there is no proof, as it was just being migrated.
    """
    others = [other for name, other in sorted(services.links.items()) if name not in (link.name, *but)]
    if heard_to_end(link, vm.uuid) and not surely:  # then what was listed lately is enough
        listed = [sight_of(other.name, other.domains[vm.uuid]) for other in others if vm.uuid in other.domains]
        return Departure(next((one for one in listed if _went_on(one)), None))
    answers = await asyncio.gather(*(ask_far(services, other.name, vm) for other in others))
    return Departure(
        shown=next((answer for answer in answers if alive(answer.domain)), None),
        # A host of which it is known that it may run there is asked for by everybody as it is.
        silent=tuple(a.host for a in answers if a.sight is DomainPresence.SILENT and a.host not in vm.may_run_on),
        moved=vm.uuid in link.moved_away,
    )


async def refuse_departed(services: Services, vm: VMRecord, hosts: Sequence[str]) -> None:
    """Of a start that an earlier controller asked for, and that these hosts do not show.

    It may have come up, and somebody moved it since. Raises Uncertain where it may run elsewhere.
    """
    went = await departure(services, services.link(hosts[0]), vm, surely=True, but=hosts)
    if not went.doubt:
        return
    also = (went.shown.host,) if went.shown is not None else went.silent
    await services.store.lease(vm, off_at(vm), PowerState.UNKNOWN, gone=hosts, also=also, why=went.doubt)
    raise Uncertain(f"{vm.name} is not on {' or '.join(hosts)}: {went.doubt}", hint=f"vmctl show {vm.name}")


def _went_on(one: Observation) -> bool:
    """Whether it is more than a half-made copy, whose source has ended."""
    return alive(one.domain) and one.domain is not None and one.domain.why not in LEFT_OVER
