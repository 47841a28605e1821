"""The loads of all hosts and VMs: the last minute smoothed, the last quarter of an hour in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from vmctl.hosts.devices import NetDevices, uplinks
from vmctl.hosts.facts import RawSample
from vmctl.hosts.history import History
from vmctl.hosts.load import Rates, Smoothed
from vmctl.hosts.port import Link
from vmctl.model.hosts import HostLoad
from vmctl.model.records import LoadMean, load_of
from vmctl.model.vms import VMLoad
from vmctl.ports import Clock


class Loads:
    """Takes every sample; answers what a host or a VM uses, with the age of the answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._smoothed: dict[str, Smoothed] = {}
        self._newest: dict[str, RawSample] = {}
        self._rates: dict[str, Rates] = {}
        self._histories: dict[str, History] = {}

    def add(self, link: Link, sample: RawSample) -> None:
        """A sample of a host has come."""
        name = link.name
        step = self._smoothed.setdefault(name, Smoothed()).add(sample, self._clock.monotonic())
        self._newest[name] = sample
        if step is None:
            self._rates.pop(name, None)
            return
        self._rates[name] = step
        now = self._clock.now()
        used = (sample.mem_total_kib - sample.mem_available_kib) / 1024
        self._history(load_of(name)).add(now, {"cpu": step.cpu, "mem_mib": used, "steal": step.steal})
        for uuid, vm in step.vms.items():
            self._history(f"vm/{uuid}").add(now, {"cpu": vm.cpu, "mem_mib": float(vm.mem_mib)})

    def _history(self, subject: str) -> History:
        return self._histories.setdefault(subject, History(subject))

    def forget(self, host: str) -> None:
        """The host has left the pool."""
        for kept in (self._smoothed, self._newest, self._rates):
            kept.pop(host, None)
        self._histories.pop(load_of(host), None)

    def host(self, name: str) -> HostLoad | None:
        """A host's smoothed load; None until there are two samples that can be compared."""
        smoothed = self._smoothed.get(name)
        return smoothed.host(self._clock.monotonic()) if smoothed else None

    def unmeasured(self, name: str) -> frozenset[str]:
        """Which fields of a host's load are 0 because it does not show them."""
        smoothed = self._smoothed.get(name)
        return smoothed.unmeasured() if smoothed else frozenset()

    def size(self, name: str) -> tuple[int, int] | None:
        """(CPUs, memory in MiB) as the host's own /proc shows them."""
        newest = self._newest.get(name)
        return (newest.cpus, newest.mem_total_kib >> 10) if newest else None

    def bridges(self, name: str) -> frozenset[str] | None:
        """A host's bridges; None while they are not known."""
        newest = self._newest.get(name)
        return newest.bridges if newest else None

    def vms(self, host: str, net_devices: NetDevices) -> Mapping[str, VMLoad]:
        """The smoothed load of each VM of a host by UUID, as old as `age_s` says; `net_devices`: of each."""
        smoothed = self._smoothed.get(host)
        return smoothed.vms(net_devices) if smoothed else {}

    def age_s(self, host: str) -> float:
        """How old the newest sample of a host is; 0 where there is none."""
        smoothed = self._smoothed.get(host)
        return smoothed.age_s(self._clock.monotonic()) if smoothed else 0.0

    def details(self, host: str) -> dict[str, Any]:
        """What the newest sample shows beyond the smoothed load: for `top` and `host show`."""
        newest, step = self._newest.get(host), self._rates.get(host)
        if newest is None:
            return {}
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

    def disk(self, host: str, uuid: str) -> tuple[float | None, float | None]:
        """A VM's disk reads and writes in bytes per second, at the newest sample."""
        step = self._rates.get(host)
        used = step.vms.get(uuid) if step else None
        return (used.read_bytes_s, used.write_bytes_s) if used else (None, None)

    def net(self, host: str, net_devices: Collection[str]) -> tuple[float | None, float | None]:
        """What a VM with these network devices receives and sends in bytes per second, at the newest sample."""
        smoothed = self._smoothed.get(host)
        by_host = smoothed.bytes_s(net_devices) if smoothed else None
        return (by_host[1], by_host[0]) if by_host else (None, None)  # what its host sends there, it receives

    def points(self, subject: str, since: float) -> list[tuple[float, dict[str, float]]]:
        """A subject's last quarter of an hour at full rate."""
        history = self._histories.get(subject)
        return [(at, dict(values)) for at, values in history.points(since)] if history else []

    def finished_means(self, now: float) -> list[LoadMean]:
        """The means whose time is over since the last call; subjects long silent are dropped."""
        means: list[LoadMean] = []
        for subject, history in list(self._histories.items()):
            means += [LoadMean(m.subject, m.period_s, m.at, dict(m.values)) for m in history.minute_means()]
            if not any(True for _ in history.points(now - 1200.0)):
                means += [LoadMean(m.subject, m.period_s, m.at, dict(m.values)) for m in history.close()]
                del self._histories[subject]
        return means
