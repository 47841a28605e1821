"""Hosts as `act` sees them, small: what a host shows is a dict, and what is done to it is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from vmctl.errors import HostError, LibvirtError, Unreachable
from vmctl.hosts.virt import DomainSeen, JobProgress
from vmctl.model import PowerState

UUID = "11111111-2222-3333-4444-555555555555"


def domain(power: PowerState, **more: Any) -> DomainSeen:
    """The VM web1 as a host shows it."""
    return replace(DomainSeen(UUID, "web1", power), **more)


class FakeHost:
    """Link and libvirt of one host at once."""

    def __init__(self, name: str, *domains: DomainSeen) -> None:
        self.name, self.online, self.why = name, True, ""
        self.domains_at: float | None = 0.0
        self.domains = {found.uuid: found for found in domains}
        self.xmls: dict[str, str] = {}
        self.done: list[str] = []
        self.fails: list[HostError] = []  # raised by the next acts, one each
        self.failing: dict[str, HostError] = {}  # raised by the next act of that name
        self.later: list[Callable[[], None]] = []  # what happens meanwhile: one thing after each look
        self.virt = self
        self.compares = True  # CPUs
        self.cpus: dict[str, bool] = {}

    def shows(self, power: PowerState | None, **more: Any) -> None:
        """From now on the host shows web1 like that; None: not at all."""
        self.domains = {} if power is None else {UUID: domain(power, **more)}

    def silent(self) -> None:
        """The host answers no more."""
        self.online, self.why = False, "no route"

    def _act(self, what: str, power: PowerState | None) -> None:
        self.done.append(what)
        if what in self.failing:
            raise self.failing.pop(what)
        if self.fails:
            raise self.fails.pop(0)
        self.shows(power)

    async def domain(self, uuid: str) -> DomainSeen | None:
        if not self.online:
            raise Unreachable(f"{self.name} is gone")
        found = self.domains.get(uuid)
        if self.later:
            self.later.pop(0)()
        return found

    async def destroy(self, uuid: str) -> None:
        self._act("destroy", None)

    async def resume(self, uuid: str) -> None:
        self._act("resume", PowerState.RUNNING)

    async def suspend(self, uuid: str) -> None:
        self._act("suspend", PowerState.PAUSED)

    async def power(self, uuid: str) -> tuple[PowerState, str]:
        found = self.domains[uuid]
        return found.power, found.why

    async def xml(self, uuid: str, *, migratable: bool = False) -> str:
        return self.xmls[uuid]

    async def job(self, uuid: str, *, completed: bool = False) -> JobProgress:
        return JobProgress(False, downtime_ms=42)

    async def learn_cpus(self, cpus: Iterable[str]) -> None:
        if not self.compares:
            raise LibvirtError("it cannot compare CPUs")
        self.cpus |= dict.fromkeys(cpus, True)

    async def refresh_domains(self) -> dict[str, DomainSeen]:
        return self.domains

    async def wait_online(self, limit_s: float) -> bool:
        return self.online
