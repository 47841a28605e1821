"""The loads of all hosts and VMs: the last minute smoothed, the last quarter of an hour in memory.

A host is sampled here, or its load is told by the controller that watches it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from vmctl.hosts.devices import NetDevices
from vmctl.hosts.facts import RawSample
from vmctl.hosts.history import History
from vmctl.hosts.loadreport import LoadReport, Point, Told
from vmctl.hosts.measured import Measured
from vmctl.hosts.port import Link
from vmctl.model.hosts import HostLoad
from vmctl.model.records import LoadMean, load_of
from vmctl.model.vms import VMLoad
from vmctl.ports import Clock


class Loads:
    """Takes every sample; answers what a host or a VM uses, with the age of the answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._measured: dict[str, Measured] = {}
        self._told: dict[str, Told] = {}
        self._histories: dict[str, History] = {}

    def add(self, link: Link, sample: RawSample) -> None:
        """A sample of a host has come."""
        name = link.name
        measured = self._measured.setdefault(name, Measured(sample))
        measured.add(sample, self._clock.monotonic())
        if (points := measured.points()) is not None:
            self._told.pop(name, None)  # not before: one sample alone shows no load
            self._note(name, *points)

    def take(self, name: str, report: LoadReport, told_at: float) -> None:
        """A host's watcher has told its load, `told_at` (monotonic) or later."""
        self._measured.pop(name, None)
        self._told[name] = Told(report, told_at - report.age_s)
        if report.point is not None:
            self._note(name, report.point, {uuid: vm.point for uuid, vm in report.vms.items() if vm.point is not None})

    def report(self, name: str, net_devices: NetDevices) -> LoadReport | None:
        """What is to be told of a host that is sampled here; None: nothing yet."""
        measured = self._measured.get(name)
        return measured.report(self._clock.monotonic(), net_devices) if measured is not None else None

    def _note(self, name: str, host: Point, vms: Mapping[str, Point]) -> None:
        now = self._clock.now()
        self._history(load_of(name)).add(now, host)
        for uuid, point in vms.items():
            self._history(f"vm/{uuid}").add(now, point)

    def _history(self, subject: str) -> History:
        found = self._histories.get(subject)
        if found is None:
            found = self._histories[subject] = History(subject)
        return found

    def forget(self, host: str) -> None:
        """The host has left the pool."""
        self._measured.pop(host, None)
        self._told.pop(host, None)
        self._histories.pop(load_of(host), None)

    def _shown(self, name: str) -> Told | Measured | None:
        return self._told.get(name) or self._measured.get(name)

    def host(self, name: str) -> HostLoad | None:
        """A host's smoothed load; None until there are two samples that can be compared."""
        shown = self._shown(name)
        return shown.host(self._clock.monotonic()) if shown else None

    def unmeasured(self, name: str) -> frozenset[str]:
        """Which fields of a host's load are 0 because it does not show them."""
        shown = self._shown(name)
        return shown.unmeasured() if shown else frozenset()

    def size(self, name: str) -> tuple[int, int] | None:
        """(CPUs, memory in MiB) as the host's own /proc shows them."""
        shown = self._shown(name)
        return shown.size() if shown else None

    def bridges(self, name: str) -> frozenset[str] | None:
        """A host's bridges; None while they are not known."""
        shown = self._shown(name)
        return shown.bridges() if shown else None

    def vms(self, host: str, net_devices: NetDevices) -> Mapping[str, VMLoad]:
        """The smoothed load of each VM of a host by UUID, as old as `age_s` says; `net_devices`: of each."""
        shown = self._shown(host)
        return shown.vms(net_devices) if shown else {}

    def age_s(self, host: str) -> float:
        """How old the newest sample of a host is; 0 where there is none."""
        shown = self._shown(host)
        return shown.age_s(self._clock.monotonic()) if shown else 0.0

    def uptime_s(self, host: str) -> float | None:
        """A host's uptime at its newest sample, where it is sampled here: another one, where it is another sample."""
        measured = self._measured.get(host)
        return measured.newest.uptime_s if measured is not None else None

    def details(self, host: str) -> dict[str, Any]:
        """What the newest sample shows beyond the smoothed load: for `top` and `host show`."""
        shown = self._shown(host)
        return shown.details() if shown else {}

    def disk(self, host: str, uuid: str) -> tuple[float | None, float | None]:
        """A VM's disk reads and writes in bytes per second, at the newest sample."""
        shown = self._shown(host)
        return shown.disk(uuid) if shown else (None, None)

    def net(self, host: str, uuid: str, net_devices: Collection[str]) -> tuple[float | None, float | None]:
        """What a VM with these network devices receives and sends in bytes per second, at the newest sample."""
        shown = self._shown(host)
        return shown.net(uuid, net_devices) if shown else (None, None)

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
