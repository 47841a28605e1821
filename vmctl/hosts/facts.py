"""What a host tells about itself: a command beside the pure parser of its output. No I/O here.

A parser takes text as it was printed and returns values in the units of `vmctl.model`; what a kernel does not know is
None, never a made-up zero. It raises `Unreadable` for text that is not what the command prints. To add a fact: a
parser, a row in FACTS, and a recorded output in tests/facts/NAME/.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from vmctl.errors import Unreadable as Unreadable

T = TypeVar("T")
USER_HZ = 100  # ticks per second in /proc, on every architecture that has KVM
SEPARATOR = "\x1e"
DISK = re.compile(r"^(?:[hsv]d|xvd|dasd)[a-z]+$|^(?:nvme\d+n|mmcblk|rbd|nbd)\d+$")  # a whole one, no part of it
MOST_DEVICES = 4096  # disks, or interfaces, that are taken from one sample
MOST_NAMES = 65536  # of VMs that are read once, and not at each sample
SECTOR = 512  # bytes, in /proc/diskstats whatever the disk's own are
INTERFACE = re.compile(r"^(\S{1,15}) (\d{1,20}) (\d{1,20}) (\S{1,10}) (?:(\d{1,9})|\S+)$", re.MULTILINE)
DISK_LINE = re.compile(r"^(\S{1,32}) (\d{1,20}) (\d{1,20}) (\d{1,20})$", re.MULTILINE)
NAME_ARGUMENT = re.compile(r"(?:guest=)?((?:[^,]|,,)*)")


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A command, and the pure reading of what it prints."""

    command: tuple[str, ...]
    parse: Callable[[str], T]

    def read(self, text: str, host: str) -> T:
        """The value; `Unreadable`, and nothing else, where a host printed something that its command does not."""
        try:
            return self.parse(text)
        except Unreadable as err:
            raise Unreadable(f"{host}: {err.message}") from err
        except (ValueError, LookupError, TypeError, AttributeError) as err:
            asked = self.command[0] if self.command else "the collecting program"
            raise Unreadable(f"{host}: what {asked} prints there cannot be read: {text[:60]!r}") from err


# The records of a sample are named tuples: thousands are made per minute, and a frozen dataclass takes 4 times longer.


class CpuTicks(NamedTuple):
    """Time since boot in ticks. `user` and `nice` contain `guest`."""

    user: int
    nice: int
    system: int
    idle: int
    iowait: int
    irq: int
    softirq: int
    steal: int
    guest: int

    @property
    def busy(self) -> int:
        """Ticks in which something ran here; what the hypervisor below us stole is not among them."""
        return self.user + self.nice + self.system + self.irq + self.softirq

    @property
    def total(self) -> int:
        """All ticks."""
        return self.busy + self.idle + self.iowait + self.steal


class Pressure(NamedTuple):
    """Pressure stall information: shares of time (0 to 1) in which some or all tasks waited; totals in seconds."""

    some10: float
    some60: float
    some_total_s: float
    full10: float
    full60: float
    full_total_s: float


class QemuProcess(NamedTuple):
    """One VM's process. (pid, start_ticks) is it alone until the next boot. Bytes are None where unreadable."""

    pid: int
    start_ticks: int
    uuid: str
    name: str
    cpu_ticks: int
    rss_kib: int
    threads: int
    read_bytes: int | None
    write_bytes: int | None


class Daemon(NamedTuple):
    """One process of a watched name; (pid, start_ticks) is it alone until the next boot."""

    pid: int
    start_ticks: int
    name: str
    parent: int
    cpu_ticks: int
    rss_kib: int
    threads: int


class DiskUse(NamedTuple):
    """One disk since boot: how long it was busy, and what crossed it."""

    busy_ms: int
    moved_bytes: int  # read and written


class Interface(NamedTuple):
    """One network interface since it is there."""

    received_bytes: int
    sent_bytes: int
    kind: str  # one of `programs.KINDS`, or "-"
    mbit: int | None  # its speed


class RawSample(NamedTuple):
    """A host's counters at one moment of its own clock."""

    boot_id: str
    uptime_s: float
    wall_s: float  # its clock may be wrong or jump: for display only
    load1: float
    cpus: int
    cpu: CpuTicks
    cpu_lines: str  # per CPU, read on demand by `per_cpu`
    mem_total_kib: int
    mem_available_kib: int
    huge_total: int
    huge_free: int
    huge_kib: int
    swap_in_pages: int
    swap_out_pages: int
    psi_cpu: Pressure | None
    psi_mem: Pressure | None
    psi_io: Pressure | None
    vms: tuple[QemuProcess, ...]
    ticks_per_s: int = USER_HZ
    disks: Mapping[str, DiskUse] = MappingProxyType({})  # whole ones; what is made of them is counted in them
    interfaces: Mapping[str, Interface] = MappingProxyType({})
    daemons: tuple[Daemon, ...] = ()
    zero_ticks: int = 0  # the uptime, in ticks, at which processes' start ticks count 0; a real host's is 0

    def age_s(self, start_ticks: int) -> float:
        """How long ago a process began; never less than nothing."""
        return max(0.0, self.uptime_s - (start_ticks + self.zero_ticks) / self.ticks_per_s)

    @property
    def lockd(self) -> str:
        """Which process the host's virtlockd is, and in which boot; empty where there is none, or it has just begun."""
        found = [f"{one.pid}:{one.start_ticks}" for one in self.daemons if one.name == "virtlockd"]
        return " ".join((self.boot_id, *sorted(found))) if found else ""

    @property
    def bridges(self) -> frozenset[str] | None:
        """The host's bridges; None where it does not show what all its interfaces are."""
        kinds = {name: interface.kind for name, interface in self.interfaces.items()}
        known = kinds and "-" not in kinds.values()
        return frozenset(name for name, kind in kinds.items() if kind == "bridge") if known else None

    @property
    def per_cpu(self) -> tuple[CpuTicks, ...]:
        """Each CPU's own ticks."""
        return tuple(_ticks(line) for line in self.cpu_lines.splitlines())


def parse_sample(text: str) -> RawSample:
    """A frame of `vmctl.hosts.programs`. Raises `Unreadable`."""
    try:
        head, load, cpu, memory, swap, psi_cpu, psi_mem, psi_io, disks, nets, *processes = text.split(SEPARATOR)
        boot_id, page_kib, wall_s, uptime_s, *more = head.split()
        total, _, each = cpu.partition("\n")
        page, swapped = int(page_kib), _pairs(swap)
        alive = [found for process in processes if (found := _process(process, page))]
        return RawSample(
            boot_id,
            float(uptime_s),
            float(wall_s),
            float(load.split(None, 1)[0]),
            each.count("cpu"),
            _ticks(total),
            each,
            *_memory(memory),
            int(swapped.get("pswpin", 0)),
            int(swapped.get("pswpout", 0)),
            _pressure(psi_cpu),
            _pressure(psi_mem),
            _pressure(psi_io),
            tuple([one for one in alive if isinstance(one, QemuProcess)]),
            disks=_disks(disks),
            interfaces=_interfaces(nets),
            daemons=tuple([one for one in alive if isinstance(one, Daemon)]),
            zero_ticks=next((int(word[1:]) for word in more if word.startswith("z")), 0),
        )
    except (ValueError, IndexError, TypeError, KeyError) as err:
        raise Unreadable(f"a sample cannot be read: {err}") from err


def _ticks(line: str) -> CpuTicks:
    values = [int(word) for word in line.split()[1:10]]
    return CpuTicks(*values, *[0] * (9 - len(values)))  # kernels before 2.6.33 have fewer columns


def _memory(text: str) -> tuple[int, int, int, int, int]:
    """Total and available KiB; huge pages in all, free ones, KiB of one."""
    found = _pairs(text)
    total = int(found["MemTotal:"])
    if "MemAvailable:" in found:
        available = int(found["MemAvailable:"])
    else:  # before Linux 3.14: caches count as available, which is a little too much
        available = sum(int(found.get(key, 0)) for key in ("MemFree:", "Buffers:", "Cached:"))
    huge, free, size = found.get("HugePages_Total:", 0), found.get("HugePages_Free:", 0), found.get("Hugepagesize:", 0)
    return total, min(available, total), int(huge), int(free), int(size)


def _pairs(text: str) -> dict[str, str]:
    """Each word with the one after it: of all the words, the keys are those that are asked for."""
    words = text.split()
    return dict(pairwise(words))


def _pressure(text: str) -> Pressure | None:
    """Both lines of a /proc/pressure file; None where there is none. `full` of cpu is missing before Linux 5.13."""
    if not text:
        return None
    words = text.replace("=", " ").split()
    full = words[9:]
    return Pressure(
        float(words[2]) / 100,
        float(words[4]) / 100,
        int(words[8]) / 1e6,
        float(full[2]) / 100 if full else 0.0,
        float(full[4]) / 100 if full else 0.0,
        int(full[8]) / 1e6 if full else 0.0,
    )


def _disks(text: str) -> dict[str, DiskUse]:
    """Whole disks by name."""
    return {
        sys.intern(name): DiskUse(int(busy), (int(read) + int(written)) * SECTOR)
        for name, busy, read, written in _first(DISK_LINE, text)
        if DISK.match(name)
    }


def _interfaces(text: str) -> dict[str, Interface]:
    """Interfaces by name. A speed of 0 says nothing, nor one of 4294967295, which old kernels show for -1."""
    return {
        sys.intern(name): Interface(int(received), int(sent), sys.intern(kind), int(mbit or 0) or None)
        for name, received, sent, kind, mbit in _first(INTERFACE, text)
    }


def _first(line: re.Pattern[str], text: str) -> list[tuple[str, ...]]:
    """The groups of each line that is one, but of no more than a host may have."""
    return line.findall(text)[:MOST_DEVICES]


def _process(text: str, page_kib: int) -> QemuProcess | Daemon | None:
    """A process's section. None for a dead one: what it used is no longer anybody's load."""
    used, called, stat = text.split("\n", 2)
    uuid, read, written = used.split()
    before, _, after = stat.rpartition(")")  # the name in between may itself hold spaces and parentheses
    fields = after.split(None, 22)
    if fields[0] in "ZX":
        return None
    pid, _, name = before.partition(" (")
    start, used_ticks = int(fields[19]), int(fields[11]) + int(fields[12])
    rss_kib, threads = int(fields[21]) * page_kib, int(fields[17])
    if uuid == "-":
        return Daemon(int(pid), start, sys.intern(name), int(fields[1]), used_ticks, rss_kib, threads)
    return QemuProcess(
        int(pid),
        start,
        sys.intern(uuid.lower()),
        _vm_name(called),
        used_ticks,
        rss_kib,
        threads,
        None if read == "-" else int(read),
        None if written == "-" else int(written),
    )


@lru_cache(MOST_NAMES)
def _vm_name(argument: str) -> str:
    """The name in QEMU's -name argument: `guest=a,debug-threads=on`, or plain; a comma in it is written twice."""
    first = NAME_ARGUMENT.match(argument)
    return first.group(1).replace(",,", ",") if first else ""


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """What the CPUs are: one model and its flags (the first CPU's), and how many there are."""

    model: str
    cpus: int
    flags: frozenset[str]


def parse_cpu_info(text: str) -> CpuInfo:
    """/proc/cpuinfo of x86, arm64 ("Features", no model name) or s390x ("features")."""
    pairs = [
        (key.strip().lower(), value.strip()) for key, _, value in (line.partition(":") for line in text.split("\n"))
    ]
    first = dict(reversed(pairs))
    flags = first.get("flags") or first.get("features") or ""
    count = sum(key == "processor" or bool(re.fullmatch(r"processor \d+", key)) for key, _ in pairs)
    if not count:
        raise Unreadable("/proc/cpuinfo names no processor")
    model = first.get("model name") or first.get("cpu part") or first.get("vendor_id") or "unknown"
    return CpuInfo(model, count, frozenset(flags.split()))


def parse_os_release(text: str) -> Mapping[str, str]:
    """/etc/os-release as a mapping; quotes are taken off, odd lines are left out."""
    found = re.findall(r"""^([A-Z][A-Z0-9_]*)=(?:"(.*)"|'(.*)'|(.*))$""", text, re.MULTILINE)
    return {key: re.sub(r"\\(.)", r"\1", double) or single or bare.strip() for key, double, single, bare in found}


@dataclass(frozen=True, slots=True)
class SshdLimits:
    """How many logins at once and how many sessions per connection sshd takes; None where it does not say."""

    max_sessions: int | None
    max_startups: tuple[int, int, int] | None  # begin to refuse, at what rate in percent, refuse all


def parse_sshd_limits(text: str) -> SshdLimits:
    """`sshd -T`; it needs root, so an empty answer is an answer."""
    sessions = re.search(r"^maxsessions (\d+)$", text, re.MULTILINE | re.IGNORECASE)
    startups = re.search(r"^maxstartups (\d+)(?::(\d+):(\d+))?$", text, re.MULTILINE | re.IGNORECASE)
    begin = int(startups.group(1)) if startups else 0
    return SshdLimits(
        int(sessions.group(1)) if sessions else None,
        (begin, int(startups.group(2) or 100), int(startups.group(3) or begin)) if startups else None,
    )


def parse_clock(text: str) -> float:
    """`date +%s.%N`: UTC seconds. A date without %N (busybox) prints it as it is, or nothing."""
    found = re.match(r"(\d+)(?:\.(\d+))?", text)
    if not found:
        raise Unreadable(f"not a time: {text[:40]!r}")
    return float(f"{found.group(1)}.{found.group(2) or 0}")


Sample = Fact((), parse_sample)
CpuInfoFact = Fact(("cat", "/proc/cpuinfo"), parse_cpu_info)
OsRelease = Fact(("cat", "/etc/os-release"), parse_os_release)
SshdLimitsFact = Fact(("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin sshd -T 2>/dev/null || true"), parse_sshd_limits)
Clock = Fact(("date", "+%s.%N"), parse_clock)

FACTS: Mapping[str, Fact[Any]] = {
    "Sample": Sample,
    "CpuInfo": CpuInfoFact,
    "OsRelease": OsRelease,
    "SshdLimits": SshdLimitsFact,
    "Clock": Clock,
}


def as_json(value: object) -> object:
    """A parsed value as JSON has it: records as objects, sets as sorted lists. For recorded cases and `-o json`."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: as_json(item) for key, item in value._asdict().items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    fields = getattr(value, "__dataclass_fields__", None)
    return {key: as_json(getattr(value, key)) for key in fields} if fields else value
