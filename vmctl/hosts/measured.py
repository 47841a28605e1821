"""What this controller's own samples of a host show. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmctl.hosts.devices import NetDevices, uplinks
from vmctl.hosts.facts import RawSample
from vmctl.hosts.load import Rates, Smoothed
from vmctl.hosts.loadreport import LoadReport, Point, VMTold
from vmctl.model.hosts import HostLoad
from vmctl.model.vms import VMLoad


@dataclass(slots=True)
class Measured:
    """The last minute, smoothed; the newest sample; what was used between the two newest."""

    newest: RawSample
    rates: Rates | None = None
    _smoothed: Smoothed = field(default_factory=Smoothed)

    def add(self, sample: RawSample, now: float) -> None:
        """A sample has come, at that time (monotonic)."""
        self.rates, self.newest = self._smoothed.add(sample, now), sample

    def host(self, now: float) -> HostLoad | None:
        """The host's smoothed load; None until there are two samples that can be compared."""
        return self._smoothed.host(now)

    def unmeasured(self) -> frozenset[str]:
        """Which fields of the host's load are 0 because it does not show them."""
        return self._smoothed.unmeasured()

    def size(self) -> tuple[int, int]:
        """(CPUs, memory in MiB) as the host's own /proc shows them."""
        return self.newest.cpus, self.newest.mem_total_kib >> 10

    def bridges(self) -> frozenset[str] | None:
        """The host's bridges, where known."""
        return self.newest.bridges

    def details(self) -> dict[str, Any]:
        """What the newest sample shows beyond the smoothed load."""
        newest, step = self.newest, self.rates
        return {
            "load1": newest.load1,
            "uptime_s": newest.uptime_s,
            "boot_id": newest.boot_id,
            "hugepages": {"total": newest.huge_total, "free": newest.huge_free, "kib": newest.huge_kib},
            "iowait": step.iowait if step else None,
            "swap_in_pages_s": step.swap_in_pages_s if step else None,
            "swap_out_pages_s": step.swap_out_pages_s if step else None,
            "disks": sorted(newest.disks),
            "links": {link: interface.mbit for link, interface in sorted(uplinks(newest.interfaces).items())},
        }

    def vms(self, net_devices: NetDevices) -> Mapping[str, VMLoad]:
        """Each VM's smoothed load, by UUID; `net_devices`: of each."""
        return self._smoothed.vms(net_devices)

    def disk(self, uuid: str) -> tuple[float | None, float | None]:
        """A VM's disk reads and writes in bytes per second, at the newest sample."""
        used = self.rates.vms.get(uuid) if self.rates else None
        return (used.read_bytes_s, used.write_bytes_s) if used else (None, None)

    def net(self, _uuid: str, net_devices: Collection[str]) -> tuple[float | None, float | None]:
        """What a VM with these network devices receives and sends in bytes per second, at the newest sample."""
        by_host = self._smoothed.bytes_s(net_devices)
        return (by_host[1], by_host[0]) if by_host else (None, None)  # what its host sends there, it receives

    def age_s(self, now: float) -> float:
        """How old the newest sample is."""
        return self._smoothed.age_s(now)

    def points(self) -> tuple[Point, dict[str, Point]] | None:
        """For the histories of the host and of each VM: what was used between the two newest samples."""
        if self.rates is None:
            return None
        used = (self.newest.mem_total_kib - self.newest.mem_available_kib) / 1024
        vms = {uuid: {"cpu": vm.cpu, "mem_mib": float(vm.mem_mib)} for uuid, vm in self.rates.vms.items()}
        return {"cpu": self.rates.cpu, "mem_mib": used, "steal": self.rates.steal}, vms

    def report(self, now: float, net_devices: NetDevices) -> LoadReport:
        """What is told of it to other controllers."""
        point, points = self.points() or (None, {})
        loads = self.vms(net_devices)
        vms = {
            uuid: VMTold(
                loads.get(uuid), *self.disk(uuid), *self.net(uuid, net_devices.get(uuid, ())), points.get(uuid)
            )
            for uuid in loads.keys() | points.keys()
        }
        return LoadReport(
            self.age_s(now),
            self.host(now),
            self.unmeasured(),
            self.size(),
            self.bridges(),
            self.details(),
            point,
            vms,
        )
