"""Where a VM really is: every host that may hold it is asked; a host that does not answer is an answer too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from vmctl.decide.outcome import Sight
from vmctl.errors import HostError, NotFound, Refused
from vmctl.hosts.link import HostLink
from vmctl.hosts.virt import DomainSeen
from vmctl.model import PowerState
from vmctl.records import VMRecord
from vmctl.world import World

ALIVE = (PowerState.RUNNING, PowerState.PAUSED, PowerState.STOPPING)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one host says about one VM."""

    host: str
    sight: Sight
    domain: DomainSeen | None = None
    why: str = ""

    def __str__(self) -> str:
        if self.sight is Sight.SILENT:
            return f"{self.host}: does not answer ({self.why})"
        more = f" ({self.domain.why})" if self.domain and self.domain.why else ""
        return f"{self.host}: {self.sight}{more}"


async def ask(world: World, host: str, uuid: str) -> Answer:
    """Read the VM's domain on one host, now."""
    link = world.links.get(host)
    if link is None or not link.online:
        return Answer(host, Sight.SILENT, why=link.why if link else "not registered")
    try:
        return sight_of(host, await link.virt.domain(uuid))
    except HostError as err:
        return Answer(host, Sight.SILENT, why=err.message)


def sight_of(host: str, domain: DomainSeen | None) -> Answer:
    """A domain as the outcome table sees it."""
    if domain is None or domain.power not in ALIVE:
        return Answer(host, Sight.GONE, domain)
    paused = domain.power is PowerState.PAUSED
    return Answer(host, Sight.PAUSED if paused else Sight.RUNNING, domain)


async def refuse_if_elsewhere(world: World, vm: VMRecord) -> None:
    """Refuse a start while the VM runs anywhere, whoever started it, or may still run on a host that is silent."""
    answers = await asyncio.gather(*(ask(world, host, vm.uuid) for host in world.links))
    for answer in answers:
        if answer.sight in (Sight.RUNNING, Sight.PAUSED):
            raise Refused(f"{vm.name} already runs on {answer.host} ({answer.sight})", hint=f"vmctl show {vm.name}")
        if answer.sight is Sight.SILENT and answer.host == vm.host:
            raise Refused(
                f"{vm.name} may still run on {answer.host}, which does not answer: {answer.why}",
                hint=f"vmctl host check {answer.host}",
            )


async def home(world: World, vm: VMRecord) -> HostLink:
    """The link to the host where the VM runs. Refused when it does not run."""
    if not vm.host or vm.power in (PowerState.STOPPED, PowerState.CRASHED):
        raise Refused(f"{vm.name} does not run", hint=f"vmctl start {vm.name}")
    link = world.online(vm.host)
    try:
        if await link.virt.domain(vm.uuid) is None:
            raise NotFound(f"{vm.host} does not have {vm.name} any more")
    except NotFound as err:
        raise Refused(f"{vm.name} does not run: {err.message}", hint=f"vmctl start {vm.name}") from err
    return link
