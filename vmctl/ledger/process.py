"""One live process of the ledger: small, because there may be hundreds of thousands. Pure.

Whatever comes from a guest is brought within bounds here: no number that a database cannot hold, no endless text.
"""

from __future__ import annotations

from sys import intern

from vmctl.ledger import ring
from vmctl.ledger.values import EndReason, Life, Picture, ProcessSample

MOST_NUMBER = (1 << 63) - 1
MOST_PID = (1 << 31) - 1
MOST_PORTS = 64
Listens = tuple[tuple[str, int, float], ...]  # address, port, since


def sound(seen: ProcessSample) -> bool:
    """Whether this can be a process at all."""
    return 0 < seen.pid <= MOST_PID and 0 <= seen.start_ticks <= MOST_NUMBER


def cores(value: float) -> float:
    """CPU use within what can be; not a number counts as nothing."""
    return value if 0.0 <= value <= ring.MOST_CORES else (ring.MOST_CORES if value > 0.0 else 0.0)


def number(value: int, most: int) -> int:
    """A number from 0 to `most`."""
    return value if 0 <= value <= most else (most if value > most else 0)


def text(value: str, most: int) -> str:
    """Text that any database takes, of at most that length; equal texts share their memory."""
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return intern(value[:most].replace("\0", "\N{REPLACEMENT CHARACTER}"))


class Process:
    """What is known of it. `listens` has only ports that are open now."""

    __slots__ = (
        "command", "cpu", "cpu_peak", "first_seen", "ip", "listens", "parent", "pid", "port", "program", "ring",
        "rss_kib", "rss_peak_kib", "start_ticks", "started_us", "state", "threads", "user", "version",
    )  # fmt: skip

    def __init__(self, seen: ProcessSample, ip: str, picture: Picture) -> None:
        self.pid = seen.pid
        self.start_ticks = seen.start_ticks
        self.started_us = number(seen.started_us, MOST_NUMBER)
        self.first_seen = picture.now
        self.ip = ip
        self.port = 0
        self.listens: Listens = ()
        self.cpu = self.cpu_peak = cores(seen.cpu)
        self.rss_kib = self.rss_peak_kib = number(seen.rss_kib, ring.MOST_KIB)
        self.ring = ring.add(b"", picture.monotonic, self.cpu, self.rss_kib)
        self.program = self.version = self.command = self.user = self.state = ""
        self.describe(seen)

    @classmethod
    def of(cls, life: Life, monotonic: float) -> Process:
        """The process of a stored life that was last seen at `monotonic`."""
        made = cls.__new__(cls)
        made.pid, made.start_ticks, made.parent, made.threads = life.pid, life.start_ticks, life.parent, life.threads
        made.started_us, made.first_seen, made.ip, made.port = life.started_us, life.first_seen, life.ip, life.port
        made.cpu, made.cpu_peak = life.cpu, life.cpu_peak
        made.rss_kib, made.rss_peak_kib = life.rss_kib, life.rss_peak_kib
        made.program, made.version = intern(life.program), intern(life.version)
        made.command, made.user, made.state = intern(life.command), intern(life.user), intern(life.state)
        made.ring, made.listens = ring.unpack(life.samples, monotonic), ()
        return made

    def describe(self, seen: ProcessSample) -> bool:
        """Take what it is called; whether that is new. A process may become another program (exec) and stay itself."""
        self.parent, self.threads = number(seen.parent, MOST_PID), number(seen.threads, MOST_PID)
        if seen.state != self.state:
            self.state = text(seen.state, 16)
        known = (self.program, self.version, self.command, self.user)
        if known == (seen.program, seen.version, seen.command, seen.user):
            return False
        self.program, self.version = text(seen.program, 64), text(seen.version, 64)
        self.command, self.user = text(seen.command, 256), text(seen.user, 64)
        return known != (self.program, self.version, self.command, self.user)

    def measure(self, seen: ProcessSample) -> bool:
        """Take what it uses; whether that has changed."""
        cpu, rss_kib = cores(seen.cpu), number(seen.rss_kib, ring.MOST_KIB)
        if cpu == self.cpu and rss_kib == self.rss_kib:
            return False
        self.cpu, self.rss_kib = cpu, rss_kib
        self.cpu_peak, self.rss_peak_kib = max(cpu, self.cpu_peak), max(rss_kib, self.rss_peak_kib)
        return True

    def life(
        self, of: tuple[str, int, str], seen_at: float, ended_at: float | None, why: EndReason | None, samples: bytes
    ) -> Life:
        """Its life so far, as a value."""
        return Life(
            *of,
            self.pid,
            self.start_ticks,
            self.started_us,
            self.ip,
            self.port,
            self.parent,
            self.program,
            self.version,
            self.command,
            self.user,
            self.state,
            self.threads,
            self.cpu,
            self.cpu_peak,
            self.rss_kib,
            self.rss_peak_kib,
            self.first_seen,
            max(self.first_seen, seen_at),
            ended_at,
            "" if why is None else str(why),
            samples,
        )


def open_ports(seen: ProcessSample) -> set[int]:
    """The ports that it listens on, as far as they are ports."""
    return {port for port in sorted(seen.ports or ())[:MOST_PORTS] if 0 < port < 65536}
