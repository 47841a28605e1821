"""From counters to load. Pure: samples in, values of `vmctl.model` out; the caller gives the time.

The rule: a difference that could be false is no number. After a reboot, a clock set back, a counter that ran
backwards, a process that is another one than before, there is None or nothing, never a negative or impossible value.
Only the host's uptime counts as time; its wall clock may jump.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from vmctl.hosts.devices import NetDevices, busiest_disk, busiest_link, bytes_s, disk_parts, link_part
from vmctl.hosts.facts import RawSample
from vmctl.model.hosts import HostLoad
from vmctl.model.vms import VMLoad

T = TypeVar("T")
WINDOW_S = 60.0


class VMRates(NamedTuple):
    """What one VM's QEMU used between two samples: cores, MiB resident (at the second), bytes per second."""

    cpu: float
    mem_mib: int
    read_bytes_s: float | None
    write_bytes_s: float | None


class Rates(NamedTuple):
    """What a host did between two samples. `cpu` in cores; shares of CPU time in fractions of one."""

    elapsed_s: float
    cpus: int
    cpu: float
    iowait: float
    steal: float
    guest: float  # share of CPU time that ran guests' code
    swap_in_pages_s: float
    swap_out_pages_s: float
    vms: Mapping[str, VMRates]  # by UUID


def rates(before: RawSample, after: RawSample, *, with_vms: bool = True) -> Rates | None:
    """What happened between two samples of one host; None when they cannot be compared."""
    elapsed = after.uptime_s - before.uptime_s
    if before.boot_id != after.boot_id or elapsed <= 0 or before.cpus != after.cpus or not after.cpus:
        return None
    old, new = before.cpu, after.cpu
    busy, steal = new.busy - old.busy, new.steal - old.steal
    if busy < 0 or steal < 0 or new.user < old.user or new.system < old.system:
        return None
    # the kernel's own idle and iowait counters may run backwards a little
    idle, iowait = max(0, new.idle - old.idle), max(0, new.iowait - old.iowait)
    total = busy + steal + idle + iowait
    if not total:
        return None
    return Rates(
        elapsed,
        after.cpus,
        busy / total * after.cpus,
        iowait / total,
        steal / total,
        min(max(0, new.guest - old.guest), busy) / total,
        max(0, after.swap_in_pages - before.swap_in_pages) / elapsed,
        max(0, after.swap_out_pages - before.swap_out_pages) / elapsed,
        _vm_rates(before, after, elapsed) if with_vms else {},
    )


def _vm_rates(before: RawSample, after: RawSample, elapsed: float) -> dict[str, VMRates]:
    known = {(vm.pid, vm.start_ticks): vm for vm in before.vms}
    found = {}
    for vm in after.vms:
        old = known.get((vm.pid, vm.start_ticks))
        if old is not None and old.uuid == vm.uuid and vm.cpu_ticks >= old.cpu_ticks:
            # the process is read a moment after the clock: cut what would be more than all CPUs
            cores = min((vm.cpu_ticks - old.cpu_ticks) / after.ticks_per_s / elapsed, float(after.cpus))
            found[vm.uuid] = VMRates(
                cores,
                vm.rss_kib >> 10,
                _per_second(old.read_bytes, vm.read_bytes, elapsed),
                _per_second(old.write_bytes, vm.write_bytes, elapsed),
            )
    return found


def _per_second(before: int | None, after: int | None, elapsed: float) -> float | None:
    return None if before is None or after is None or after < before else (after - before) / elapsed


class Smoothed:
    """A host's load, and its VMs', over the last minute.

    The mean of a rate over a window is the difference of the counters at its ends: so the samples of the last minute
    are kept, and nothing is averaged. A discontinuity empties the window.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._samples: deque[RawSample] = deque()
        self._at = 0.0
        self._worked_out: tuple[object, dict[str, VMLoad]] | None = None

    def add(self, sample: RawSample, at: float) -> Rates | None:
        """Take a sample that came at `at` (the caller's monotonic seconds); the rates since the one before."""
        step = rates(self._samples[-1], sample) if self._samples else None
        if step is None:
            self._samples.clear()
        sample = sample._replace(cpu_lines="")  # long on big hosts, and not needed for the ends of a window
        self._samples.append(sample)
        while len(self._samples) > 2 and sample.uptime_s - self._samples[1].uptime_s >= self._window_s:
            self._samples.popleft()
        self._at = at
        self._worked_out = None
        return step

    def host(self, now: float) -> HostLoad | None:
        """The host's load; None until there are two comparable samples. `age_s` tells how old it is."""
        if len(self._samples) < 2:
            return None
        newest = self._samples[-1]
        mean = rates(self._samples[0], newest, with_vms=False)
        if mean is None:
            return None
        disk, link = self._first(busiest_disk), self._first(busiest_link)
        return HostLoad(
            cpu=mean.cpu,
            mem_used_mib=(newest.mem_total_kib - newest.mem_available_kib) >> 10,
            psi_cpu=newest.psi_cpu.some60 if newest.psi_cpu else 0.0,
            psi_mem=newest.psi_mem.some60 if newest.psi_mem else 0.0,
            psi_io=newest.psi_io.some60 if newest.psi_io else 0.0,
            steal=mean.steal,
            age_s=self.age_s(now),
            disk=disk.share if disk else 0.0,
            net=link.share if link else 0.0,
        )

    def unmeasured(self) -> frozenset[str]:
        """Which fields of the host's load are 0 because it does not show them."""
        newest = self._samples[-1]
        shown = {
            "psi_cpu": newest.psi_cpu,
            "psi_mem": newest.psi_mem,
            "psi_io": newest.psi_io,
            "disk": self._first(busiest_disk),
            "net": self._first(busiest_link),
        }
        return frozenset(name for name, found in shown.items() if found is None)

    def _first(self, of: Callable[[RawSample, RawSample], T | None]) -> T | None:
        """What two samples tell, from the oldest one that can be compared with the newest."""
        newest = self._samples[-1]
        return next((found for sample in self._samples if sample is not newest and (found := of(sample, newest))), None)

    def bytes_s(self, interfaces: Collection[str]) -> tuple[float, float] | None:
        """(received, sent) bytes per second of these interfaces of the host, between the two newest samples."""
        return bytes_s(self._samples[-2], self._samples[-1], interfaces) if len(self._samples) > 1 else None

    def age_s(self, now: float) -> float:
        """How old the newest sample is."""
        return max(0.0, now - self._at)

    def vms(self, net_devices: NetDevices = MappingProxyType({})) -> Mapping[str, VMLoad]:
        """Each VM's load by UUID, over the part of the window in which its process ran; a new one has none yet.

        It is as old as its sample, and says nothing of that: so it is worked out once, however many look at it.
        """
        if len(self._samples) < 2:
            return {}
        if self._worked_out is None or self._worked_out[0] != net_devices:
            self._worked_out = dict(net_devices), self._work_out(net_devices)
        return self._worked_out[1]

    def _work_out(self, net_devices: NetDevices) -> dict[str, VMLoad]:
        newest = self._samples[-1]
        left = {(vm.pid, vm.start_ticks) for vm in newest.vms}
        found: dict[str, VMLoad] = {}
        for sample in self._samples:
            if not left or sample is newest:
                break
            here = {(vm.pid, vm.start_ticks) for vm in sample.vms} & left
            if here:
                left -= here
                for uuid, load in _vm_loads(sample, newest, net_devices).items():
                    found.setdefault(uuid, load)
        return found


def _vm_loads(before: RawSample, after: RawSample, net_devices: NetDevices) -> dict[str, VMLoad]:
    used = _vm_rates(before, after, after.uptime_s - before.uptime_s)
    moved = {uuid: (vm.read_bytes_s or 0.0) + (vm.write_bytes_s or 0.0) for uuid, vm in used.items()}
    disk, link = disk_parts(moved, busiest_disk(before, after)), busiest_link(before, after)
    return {
        uuid: VMLoad(vm.cpu, vm.mem_mib, 0.0, disk[uuid], link_part(before, after, net_devices.get(uuid, ()), link))
        for uuid, vm in used.items()
    }
