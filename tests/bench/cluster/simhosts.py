"""Hosts that are simulated: how each is called, where it is, and the samples that it shows. Pure.

A sample has about as many bytes as that of a real host with 64 CPUs and so many VMs. Its counters advance as those of a
busy host; the lines of single CPUs stand still, as nobody reads them here.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator

from vmctl.hosts.facts import SEPARATOR
from vmctl.hosts.shown import DomainSeen
from vmctl.model.vms import Disk, PowerState, Spec

CPUS, MEM_KIB = 64, 512 << 20
NUMBERS = "%d %d %d %d %d 0 %d 0 %d 0\n"  # of the line of all CPUs
# What follows a program's name in /proc/PID/stat: 50 fields, of which seven are filled in.
STAT = (
    "S 1 {pid} {pid} 0 -1 138412416 8412345 0 1204 0 %d %d 0 0 20 0 {threads} 0 {start} 9876543210 %d "
    "18446744073709551615 94318540496896 94318552374021 140729523412016 0 0 0 268444224 4096 1073808379 0 0 0 17 "
    "{cpu} 0 0 0 %d 0 94318565234432 94318569142912 94318592151552 140729523418312 140729523420156 140729523420156 "
    "140729523421143 0"
)
PRESSURE = (
    "some avg10={:.2f} avg60={:.2f} avg300=1.02 total=%d\nfull avg10=0.00 avg60=0.12 avg300=0.08 total=81934512\n"
)
MEMORY = (
    f"MemTotal:       {MEM_KIB} kB\nMemFree:        41234567 kB\nMemAvailable:   %d kB\n"
    "Buffers:          812345 kB\nCached:         61234567 kB\n"
    "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n"
    "Hugepagesize:       2048 kB\n"
)
DISKS = ("nvme0n1", "nvme1n1", "sda", "sdb")
UPLINKS = ("eno1 %d %d slave 10000", "eno2 %d %d slave 10000", "bond0 %d %d bond 20000", "br0 %d %d bridge -")


def name_of(number: int) -> str:
    """What a host is called."""
    return f"kvm{number:05}"


def number_of(name: str) -> int:
    """Which host has that name."""
    return int(name.removeprefix("kvm"))


def address_of(number: int) -> str:
    """Where a host is: each has an address of its own on the loopback interface."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


def number_at(address: str) -> int:
    """Which host is there. Raises ValueError."""
    net, high, middle, low = (int(word) for word in address.split("."))
    if net != 127:
        raise ValueError(f"{address} is not on the loopback interface")
    return (high - 1) * 62500 + middle * 250 + low - 1


def uuid_of(number: int, vm: int = -1) -> str:
    """A host's UUID, or that of one of its VMs."""
    return str(uuid.UUID(int=(number + 1 << 32) + vm + 1))


def spec_of(uuid: str, name: str) -> Spec:
    """What a VM was made of."""
    return Spec(uuid, name, 2, 4096, (Disk("main", f"/s/{name}.qcow2"),), image="tiny")


def domains(number: int, vms: int) -> tuple[DomainSeen, ...]:
    """What its libvirt would show: all run."""
    return tuple(
        DomainSeen(
            uuid_of(number, vm), f"web{number}-{vm}", PowerState.RUNNING, net_devices=(f"vnet{vm}",), shape=1 + vm
        )
        for vm in range(vms)
    )


class SimHost:
    """One host's counters, and a text with room for them."""

    def __init__(self, number: int, vms: int, seed: int) -> None:
        self._random = random.Random(seed * 1_000_003 + number)
        self.number, self.uptime_s = number, self._random.uniform(1e5, 1e7)
        self.boot_id = str(uuid.UUID(int=self._random.getrandbits(128)))
        self._counters: list[float] = []
        self._rates: list[float] = []
        self._text = SEPARATOR.join(self._sections(vms))
        self._at: float | None = None

    def _counts(self, *rates: float) -> None:
        """Counters in the order in which they stand in the text, by how much each grows in a second."""
        self._rates += rates
        self._counters += [rate * self.uptime_s for rate in rates]

    def _sections(self, vms: int) -> Iterator[str]:
        """All but the first one, which has the time in it."""
        drawn = self._random
        yield "12.34 11.20 10.98 25/4321 1234567\n"
        used = [drawn.uniform(0.02, 1.5) for _ in range(vms)]
        busy = 100 * sum(used)
        self._counts(1.1 * busy, 0.5, 0.2 * busy, 100.0 * CPUS - 1.4 * busy - 20, 12.0, 0.1 * busy, busy)
        each = "".join(f"cpu{n} 41234567 1234 8123456 712345678 51234 0 912345 0 31234567 0\n" for n in range(CPUS))
        yield f"cpu  {NUMBERS}{each}"
        self._counts(1e-6)
        self._counters[-1] = MEM_KIB * drawn.uniform(0.2, 0.7)
        yield MEMORY
        yield ""
        for some10, some60 in ((0.42, 0.38), (0.0, 0.02), (1.32, 1.11)):
            self._counts(drawn.uniform(100, 20000))
            yield PRESSURE.format(some10, some60)
        for _ in DISKS:
            self._counts(*(drawn.uniform(10, 400), drawn.uniform(1e3, 1e5), drawn.uniform(1e3, 1e5)))
        yield "".join(f"{name} %d %d %d\n" for name in DISKS)
        self._counts(*(drawn.uniform(1e4, 1e7) for _ in range(2 * (len(UPLINKS) + vms))))
        yield "".join(f"{line}\n" for line in (*UPLINKS, *(f"vnet{vm} %d %d tap 10" for vm in range(vms))))
        for vm, cores in enumerate(used):
            self._counts(drawn.uniform(0, 1e6), drawn.uniform(0, 1e6), 80 * cores, 20 * cores, 1e-3, 90 * cores)
            self._counters[-2] = drawn.uniform(1 << 18, 1 << 21)  # pages resident
            yield self._process(vm)

    def _process(self, vm: int) -> str:
        pid = 4000 + 37 * vm
        start = int(self._random.uniform(1, self.uptime_s * 50))
        stat = STAT.format(pid=pid, threads=self._random.randrange(5, 12), start=start, cpu=vm % CPUS)
        called = f"guest=web{self.number}-{vm},debug-threads=on"
        return f"{uuid_of(self.number, vm)} %d %d\n{called}\n{pid} (qemu-system-x86) {stat}"

    def sample(self, at: float, wall_s: float) -> str:
        """What the collecting program prints at that time (monotonic)."""
        passed = 0.0 if self._at is None else max(0.0, at - self._at)
        self._at, self.uptime_s = at, self.uptime_s + passed
        grown = passed * self._random.uniform(0.7, 1.0)
        self._counters = [old + rate * grown for old, rate in zip(self._counters, self._rates, strict=True)]
        head = f"{self.boot_id} 4 {wall_s:.0f} {self.uptime_s:.2f} z0"
        return f"{head}{SEPARATOR}{self._text % tuple(self._counters)}"
