"""What the registry remembers, as plain values. Pure. Times are UTC seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vmctl.model.rights import Thing
from vmctl.model.vms import DEFAULT_PROJECT, PowerState, Spec


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A registered host: how to reach it, the key it must show, and what the doctor learnt."""

    name: str
    address: str
    host_key: str
    fingerprint: str
    added_at: float
    port: int = 22
    ssh_user: str = "root"
    migration_address: str = ""  # where QEMU's memory stream goes; empty: `address`
    draining: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    boot_id: str = ""  # of the boot that it was last seen in
    lost_at: float | None = None  # since when it has not answered, as far as it was told

    @property
    def machine(self) -> str:
        """Which machine answers to this name: libvirt's host UUID; empty where it was never told."""
        return str(self.about.get("host_uuid") or "")


@dataclass(frozen=True, slots=True)
class Storage:
    """A directory that several hosts share. `hosts` were proven, by write and read back, to see the same files."""

    name: str
    path: str
    added_at: float
    lockspace: str = ""  # the lock manager's directory on it
    hosts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Image:
    """What new disks are made from."""

    name: str
    storage: str
    path: str
    added_at: float
    format: str = "qcow2"
    size_bytes: int = 0
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""
    project: str = DEFAULT_PROJECT
    taken_bytes: int = 0  # what its files may come to: its disk whole, its kernel and initrd; 0: not known

    @property
    def thing(self) -> Thing:
        """What rights reach it by."""
        return Thing(self.project)


HALF_MADE, HALF_DELETED = HALF = "half made", "half deleted"  # how `why` begins
TWO_COPIES = "two copies:"  # and that of one which more than one host was seen to have
MORE_MAY_COME = ", and more may come"  # to a half-made one: a host that was asked for it gave no answer


@dataclass(frozen=True, slots=True)
class VMRecord:
    """A VM as the registry knows it."""

    spec: Spec
    created_at: float
    host: str = ""
    power: PowerState = PowerState.STOPPED
    why: str = ""
    epoch: int = 0
    task: int | None = None
    adopted: bool = False
    definition: str = ""
    moved_at: float | None = None
    heal: str = "off"  # how far it may be treated when its guest is sick: off, reboot, reset
    # Hosts that may run it, each with its machine (libvirt's host UUID): it was there, and neither that machine nor an
    # admin has said since that it is gone. One that is STOPPED has none.
    may_run_on: dict[str, str] = field(default_factory=dict)
    wanted: str = ""  # "running" or "stopped", as the last command or its own guest said; empty: nobody said
    autostart: bool = True  # started again after its host came back from a reboot
    restarts: list[float] = field(default_factory=list)  # when it was started again by itself, newest first
    moving_to: str = ""  # a place is promised to it there by the task that holds it
    copying: bool = False  # it migrates live just now, and takes one of its hosts' slots
    heals: list[float] = field(default_factory=list)  # when it was treated, newest first
    sick_since: float | None = None
    dirty_mib_s: float = 0.0  # memory that it rewrote in its last live migration
    transient: bool = False  # an adopted one whose host keeps no definition of it
    # In what it was last seen to differ from what it would be started as: {"what": both values, "mend": the command}.
    drift: list[dict[str, str]] = field(default_factory=list)
    ended: list[Any] = field(default_factory=list)  # [host, UTC seconds] of an end that no command asked for
    read_at: float = 0.0  # of one that ended: when it was last read whole before that, UTC seconds
    files: list[str] = field(default_factory=list)  # that its start opens, each disk's backing chain among them
    stuck: list[str] = field(default_factory=list)  # what keeps it from leaving its host live, in words
    stuck_cold: list[str] = field(default_factory=list)  # and stopped
    project: str = DEFAULT_PROJECT
    owner: str = ""  # the user who made it; empty: nobody who is known
    disk_bytes: int | None = None  # how large its disks may grow; None: not known

    @property
    def half(self) -> bool:
        """Whether only a part of its files may be there; `why` has the rest."""
        return self.why.startswith(HALF)

    @property
    def uuid(self) -> str:
        """The VM's UUID."""
        return self.spec.uuid

    @property
    def thing(self) -> Thing:
        """What rights reach it by."""
        return Thing(self.project, self.uuid)

    @property
    def lease_storage(self) -> str:
        """The storage that holds its lease: that of its first disk; empty where it has none."""
        return self.spec.disks[0].storage if self.spec.disks else ""

    @property
    def name(self) -> str:
        """The VM's name."""
        return self.spec.name

    @property
    def last_host(self) -> str:
        """A host that may still run it; empty when it is known to run nowhere."""
        return self.host or next(iter(self.may_run_on), "")


class TaskState(StrEnum):
    """What becomes of an accepted command; what follows what is in `states.TASK`."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Task:
    """An accepted command: journalled before it acts, and always brought to an end."""

    id: int
    kind: str
    subject: str
    created_at: float
    args: dict[str, Any] = field(default_factory=dict)
    state: TaskState = TaskState.QUEUED
    step: str = ""
    journal: dict[str, Any] = field(default_factory=dict)  # what recovery after a crash must know
    result: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    log: list[Any] = field(default_factory=list)  # [time, sentence]
    who: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    cancel_asked: bool = False
    project: str = ""  # of what it is about; empty: the cluster
    vm: str = ""  # the UUID of the VM that it is about, where it is about one

    @property
    def thing(self) -> Thing:
        """What it is about."""
        return Thing(self.project, self.vm)


@dataclass(frozen=True, slots=True)
class Given:
    """A command that was given with a key, so that whoever repeats it hears of the first and nothing is done twice.

    `key`: a hash of who gave it and of his key; `hash`: of all that was asked for. A task is named by its number; of
    what is done at once `answer` is the answer (JSON), and until it is `done` nobody knows how it ended.
    """

    key: str
    hash: str
    at: float
    who: str = ""
    task: int | None = None
    done: bool = False
    answer: str = ""


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """What was decided about a VM, a host or the cluster, on which inputs, and why.

    `subject` is a VM's UUID, and `name` what it was called then; of a host or the cluster both are its name.
    """

    kind: str
    subject: str
    why: str
    made_at: float
    id: int | None = None
    host: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    who: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in one sentence."""

    kind: str
    subject: str
    text: str
    at: float
    id: int | None = None
    who: str = ""  # who asked for it; empty: nobody did, it happened
    uuid: str = ""  # of the VM that it is about, whose name may be another one's one day
    project: str = ""  # of what it is about; empty: the cluster

    @property
    def thing(self) -> Thing:
        """What it is about."""
        return Thing(self.project, self.uuid)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Something done by the clock; `mode` is "advise" (only record the plan) or "act"."""

    name: str
    cron: str
    mode: str = "advise"
    last_run: float | None = None
    last_result: str = ""


def load_of(host: str) -> str:
    """The subject of a host's means of load."""
    return f"host/{host}"


@dataclass(frozen=True, slots=True)
class LoadMean:
    """A mean of load over `period_s` seconds that began at `at`."""

    subject: str
    period_s: int
    at: float
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterValue:
    """One value that belongs to the whole cluster, such as its baseline CPU."""

    name: str
    value: str
