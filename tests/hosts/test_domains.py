"""Which network devices are a VM's: asked once for each run of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vmctl.hosts.virt import Virt
from vmctl.model.vms import PowerState

RUNNING, PAUSED = 1, 3  # as libvirt counts them


@dataclass(frozen=True)
class Domain:
    """A domain as libvirt hands it out."""

    uuid: str
    number: int

    def UUIDString(self) -> str:
        return self.uuid

    def ID(self) -> int:
        return self.number

    def name(self) -> str:
        return f"name of {self.uuid}"

    def XMLDesc(self, flags: int) -> str:
        return f"<domain><uuid>{self.uuid}</uuid></domain>"


@dataclass
class Libvirt:
    """A connection to libvirt, as far as `domains` needs it; it notes for whom devices are asked."""

    states: dict[Domain, int] = field(default_factory=dict)
    devices: dict[str, list[str]] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)

    def listAllDomains(self, flags: int) -> list[Domain]:
        return []

    def getAllDomainStats(self, kinds: int, flags: int) -> list[tuple[Domain, dict[str, int]]]:
        return [(domain, {"state.state": state, "state.reason": 0}) for domain, state in self.states.items()]

    def domainListGetStats(self, domains: list[Domain], kinds: int, flags: int) -> list[Any]:
        self.asked.append([domain.uuid for domain in domains])
        return [
            (each, {"net.count": 9, **{f"net.{n}.name": name for n, name in enumerate(self.devices[each.uuid])}})
            for each in domains
        ]


class Shown(Virt):
    """A host's libvirt without a host."""

    def __init__(self, libvirt: Libvirt) -> None:
        super().__init__("kvm1", 5.0, 5)
        self.libvirt = libvirt

    def _connected(self) -> Any:
        return self.libvirt


async def net_devices(virt: Virt) -> dict[str, tuple[str, ...]]:
    return {domain.uuid: domain.net_devices for domain in await virt.domains()}


async def test_devices_are_asked_once_for_each_run() -> None:
    libvirt = Libvirt({Domain("u1", 7): RUNNING, Domain("u2", 8): PAUSED}, {"u1": ["vnet3", "vnet4"], "u2": ["vnet5"]})
    virt = Shown(libvirt)
    assert [await net_devices(virt) for _ in range(2)] == [{"u1": ("vnet3", "vnet4"), "u2": ()}] * 2
    libvirt.states[Domain("u2", 8)] = RUNNING
    assert await net_devices(virt) == {"u1": ("vnet3", "vnet4"), "u2": ("vnet5",)}
    assert libvirt.asked == [["u1"], ["u2"]]
    libvirt.states = {Domain("u1", 9): RUNNING}
    libvirt.devices["u1"] = ["vnet6"]
    assert await net_devices(virt) == {"u1": ("vnet6",)}
    assert {domain.power for domain in await virt.domains()} == {PowerState.RUNNING}
    assert libvirt.asked == [["u1"], ["u2"], ["u1"]]
