"""A host's load as its watcher tells it to other controllers. Pure: what JSON has in, values out, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from vmctl.hosts.devices import NetDevices
from vmctl.model.hosts import HostLoad
from vmctl.model.vms import VMLoad

Point = dict[str, float]  # of a history: what was used between two samples


@dataclass(frozen=True, slots=True)
class VMTold:
    """One VM: smoothed, and its bytes per second between the two newest samples; None: not known."""

    load: VMLoad | None = None
    read_s: float | None = None
    written_s: float | None = None
    received_s: float | None = None
    sent_s: float | None = None
    point: Point | None = None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a host's samples show. `age_s`: of the newest one, when it was told."""

    age_s: float
    load: HostLoad | None = None
    unmeasured: frozenset[str] = frozenset()
    size: tuple[int, int] | None = None
    bridges: frozenset[str] | None = None
    details: dict[str, Any] = field(default_factory=dict)
    point: Point | None = None
    vms: dict[str, VMTold] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """What a host's watcher has told: what the host's samples would show. `at`: of the newest one, monotonic."""

    report: LoadReport
    at: float

    def host(self, now: float) -> HostLoad | None:
        """The host's smoothed load."""
        load = self.report.load
        return None if load is None else replace(load, age_s=self.age_s(now))

    def unmeasured(self) -> frozenset[str]:
        """Which fields of the host's load are 0 because it does not show them."""
        return self.report.unmeasured

    def size(self) -> tuple[int, int] | None:
        """(CPUs, memory in MiB)."""
        return self.report.size

    def bridges(self) -> frozenset[str] | None:
        """The host's bridges, where known."""
        return self.report.bridges

    def details(self) -> dict[str, Any]:
        """What is shown beyond the smoothed load."""
        return self.report.details

    def vms(self, _net_devices: NetDevices) -> Mapping[str, VMLoad]:
        """Each VM's smoothed load."""
        return {uuid: vm.load for uuid, vm in self.report.vms.items() if vm.load is not None}

    def disk(self, uuid: str) -> tuple[float | None, float | None]:
        """A VM's disk reads and writes in bytes per second."""
        vm = self.report.vms.get(uuid)
        return (vm.read_s, vm.written_s) if vm is not None else (None, None)

    def net(self, uuid: str, _net_devices: Collection[str]) -> tuple[float | None, float | None]:
        """What a VM receives and sends in bytes per second."""
        vm = self.report.vms.get(uuid)
        return (vm.received_s, vm.sent_s) if vm is not None else (None, None)

    def age_s(self, now: float) -> float:
        """How old the newest sample is."""
        return max(0.0, now - self.at)


REPORT, VM_TOLD, HOST_LOAD, VM_LOAD = (
    tuple(one.name for one in fields(kind)) for kind in (LoadReport, VMTold, HostLoad, VMLoad)
)


def to_json(report: LoadReport) -> dict[str, Any]:
    """As it is kept."""
    found = _plain(report, REPORT)
    found["load"] = None if report.load is None else _plain(report.load, HOST_LOAD)
    found["unmeasured"] = sorted(report.unmeasured)
    found["bridges"] = None if report.bridges is None else sorted(report.bridges)
    found["vms"] = {uuid: _vm_to_json(one) for uuid, one in report.vms.items()}
    return found


def _vm_to_json(one: VMTold) -> dict[str, Any]:
    found = _plain(one, VM_TOLD)
    found["load"] = None if one.load is None else _plain(one.load, VM_LOAD)
    return found


def _plain(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    """A value's own fields. `asdict` would copy all that is in it: each second, of each VM."""
    return {name: getattr(value, name) for name in names}


def from_json(body: dict[str, Any]) -> LoadReport:
    """The inverse. Raises KeyError, TypeError, ValueError for what no watcher of this version tells."""
    given = dict(body)
    given["load"] = None if body["load"] is None else HostLoad(**body["load"])
    given["unmeasured"] = frozenset(body["unmeasured"])
    given["bridges"] = None if body["bridges"] is None else frozenset(body["bridges"])
    given["size"] = None if body["size"] is None else (int(body["size"][0]), int(body["size"][1]))
    given["vms"] = {uuid: _vm(one) for uuid, one in body["vms"].items()}
    return LoadReport(**given)


def _vm(body: dict[str, Any]) -> VMTold:
    return VMTold(**body | {"load": None if body["load"] is None else VMLoad(**body["load"])})
