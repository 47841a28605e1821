"""What goes into the ledger and what comes out. Pure.

CPU in cores, memory in KiB resident, times in UTC seconds unless the name says otherwise. Named tuples: a busy
controller makes many thousands a minute.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from vmctl.model.identity import Gpid, Incarnation


class EndReason(StrEnum):
    """Why a life ended. UNSEEN: it was gone when its machine was seen again after a silence."""

    EXITED = "exit seen"
    UNSEEN = "ended unseen"
    VM_STOPPED = "VM stopped"
    VM_REBOOTED = "VM rebooted"
    HOST_REBOOTED = "host rebooted"
    HOST_REMOVED = "host removed"
    SUPERSEDED = "superseded"  # its VM was put back to a snapshot: this run of the VM is no more


class ProcessSample(NamedTuple):
    """A process as a picture shows it. `started_us`: its start in UTC microseconds by the machine's own clock."""

    pid: int
    start_ticks: int
    started_us: int = 0
    parent: int = 0
    program: str = ""
    version: str = ""
    command: str = ""
    user: str = ""
    state: str = ""
    cpu: float = 0.0
    rss_kib: int = 0
    threads: int = 0
    ports: tuple[int, ...] | None = None  # listening TCP ports; None: not known


class Picture(NamedTuple):
    """What all processes of a picture share. `now` in UTC seconds may jump, `monotonic` never goes back."""

    run: int
    boot_id: str
    ip: str
    now: float
    monotonic: float


class Run(NamedTuple):
    """The stretch in which pids and start ticks mean something: one boot of one run of one machine."""

    machine: str
    run: int
    boot_id: str


class Life(NamedTuple):
    """An incarnation with all that is known about it. `samples` is read by `read_samples`."""

    machine: str
    run: int
    boot_id: str
    pid: int
    start_ticks: int
    started_us: int  # fixed when first seen
    ip: str  # fixed when first known; empty before
    port: int  # the lowest listening port, fixed when first known; 0 before
    parent: int
    program: str
    version: str
    command: str
    user: str
    state: str
    threads: int
    cpu: float  # when last seen
    cpu_peak: float
    rss_kib: int
    rss_peak_kib: int
    first_seen: float
    last_seen: float
    ended_at: float | None = None  # when the end became known; None: it is valid
    why: str = ""
    samples: bytes = b""

    @property
    def incarnation(self) -> Incarnation:
        """Its identity."""
        return Incarnation(*self[:5])

    @property
    def uuid(self) -> uuid.UUID:
        """Its UUID."""
        return self.incarnation.uuid

    @property
    def gpid(self) -> Gpid:
        """Its readable name."""
        return Gpid(self.ip, self.port, self.started_us, self.pid)

    @property
    def of(self) -> Run:
        """The boot that it belongs to."""
        return Run(*self[:3])

    def after(self, earlier: Life | None) -> Life:
        """The same life with what was known of it earlier and is no more: its beginning and its peaks."""
        if earlier is None:
            return self
        return self._replace(
            first_seen=min(self.first_seen, earlier.first_seen),
            cpu_peak=max(self.cpu_peak, earlier.cpu_peak),
            rss_peak_kib=max(self.rss_peak_kib, earlier.rss_peak_kib),
        )


class Listening(NamedTuple):
    """One process on one TCP port of one address, for a time. `until` None: still."""

    uuid: uuid.UUID
    ip: str
    port: int
    since: float
    until: float | None


class ShortLived(NamedTuple):
    """Runs of one program on one machine, in one day (UTC), that were too short for a row each.

    `cpu_s` is estimated from their last known use and their age.
    """

    machine: str
    program: str
    day: int  # days since 1970
    runs: int
    cpu_s: float


class Step(NamedTuple):
    """What a picture changed."""

    began: list[Life]
    ended: list[Life]


@dataclass(slots=True)
class Changes:
    """What must be written: machines with the time they were last seen, lives (the newest state of each), and so on."""

    seen_at: dict[Run, float] = field(default_factory=dict)
    lives: dict[Incarnation, Life] = field(default_factory=dict)
    listening: dict[tuple[uuid.UUID, str, int, float], Listening] = field(default_factory=dict)
    short_lived: list[ShortLived] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.seen_at or self.lives or self.listening or self.short_lived)

    def merge(self, newer: Changes) -> None:
        """Add later changes: of one life the newest state counts."""
        self.seen_at |= newer.seen_at
        self.lives |= {key: life.after(self.lives.get(key)) for key, life in newer.lives.items()}
        self.listening |= newer.listening
        self.short_lived += newer.short_lived
