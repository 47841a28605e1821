"""What comes back from queries and commands. Pure: values alone.

CPU in cores, memory in MiB, times in UTC seconds, shares in fractions of one, unless the name says otherwise. What is
measured carries its age. The API's document is made from these classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmctl.act.checks import MigrationCheck as MigrationCheck
from vmctl.act.decided import Undone
from vmctl.decide.capacity import Capacity as Capacity
from vmctl.decide.reboots import Reboots as Reboots
from vmctl.model.decisions import Placed as Placed
from vmctl.model.decisions import PlacedAgain as PlacedAgain
from vmctl.model.hosts import HostLoad
from vmctl.model.jobs import JobRun
from vmctl.model.plans import Plan as Plan
from vmctl.model.records import DecisionRecord, TaskState
from vmctl.model.records import Event as Event
from vmctl.model.records import Image as Image
from vmctl.model.records import Schedule as KeptSchedule
from vmctl.model.records import Storage as Storage
from vmctl.model.vms import VMLoad
from vmctl.tasks import TaskNow as TaskNow


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that cannot be shown, and why: it hides no other."""

    name: str
    broken: str


@dataclass(frozen=True, slots=True)
class About:
    """Who answers."""

    version: str
    pid: int
    hosts: int


@dataclass(frozen=True, slots=True)
class Host:
    """One host. `more`: what its sample shows besides its load; `about`: what the doctor learnt."""

    name: str
    state: str
    why: str
    address: str
    cpus: int
    mem_mib: int
    promised_mib: int
    vcpus: int
    jobs: int  # runs of jobs there
    vms: list[str]
    load: HostLoad | None
    stale: bool
    more: dict[str, Any]
    labels: dict[str, str]
    draining: bool
    storages: list[str]
    bridges: list[str] | None
    cpu_models: list[str] | None
    numa_mib: list[int]
    fingerprint: str
    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShownHost(Host):
    """A host by itself; `version`: of what is edited."""

    version: str


@dataclass(frozen=True, slots=True)
class VM:
    """One VM. `differs`: in what it is not as it is registered; `stays`: what keeps it on its host."""

    name: str
    uuid: str
    power: str
    health: str
    heal: str
    host: str
    last_host: str
    may_run_on: list[str]
    moving_to: str
    ip: str
    bridge: str
    wanted: str
    autostart: bool
    differs: list[dict[str, str]]
    stays: list[str]
    why: str
    cpus: int
    mem_mib: int
    load: VMLoad | None
    read_bytes_s: float | None
    write_bytes_s: float | None
    received_bytes_s: float | None
    sent_bytes_s: float | None
    image: str
    disks: list[str]
    mac: str
    machine: str
    cpu: str
    apart: str
    apart_by: str
    together: str
    prefer_apart: str
    prefer_together: str
    load_class: str
    needs: dict[str, str]
    pinned: bool
    adopted: bool
    task: int | None
    moved_at: float | None
    created_at: float
    epoch: int
    project: str
    owner: str


@dataclass(frozen=True, slots=True)
class ShownVM(VM):
    """A VM by itself; `version`: of what is edited."""

    version: str


@dataclass(frozen=True, slots=True)
class Top:
    """Hosts, VMs and the score's terms at one moment."""

    at: float
    score: list[list[Any]]  # [name, value]
    running: int
    hosts: list[Host | Broken]
    vms: list[VM | Broken]


@dataclass(frozen=True, slots=True)
class History:
    """`means`: by their length in seconds, as text."""

    points: list[dict[str, float]]
    means: dict[str, list[dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Document:
    """Text that is an answer as it is: JSON."""

    text: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """The answer of the first command that was given with a key."""

    answer: Any


@dataclass(frozen=True, slots=True)
class Exposition:
    """Text that is an answer as it is, in a format of Prometheus."""

    text: str
    media: str


@dataclass(frozen=True, slots=True)
class HostName:
    """The host that it was about."""

    host: str


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a command would do; nothing was done. `detail`: what it would answer, or what decides it."""

    command: str
    subject: str
    would: str
    detail: Any = None


@dataclass(frozen=True, slots=True)
class ScheduleName:
    """The schedule that it was about."""

    schedule: str


@dataclass(frozen=True, slots=True)
class Autostart:
    """Whether the VM is started again."""

    vm: str
    autostart: bool


@dataclass(frozen=True, slots=True)
class Heal:
    """How far the VM may be treated."""

    vm: str
    heal: str


@dataclass(frozen=True, slots=True)
class Schedule(KeptSchedule):
    """A schedule, and when it comes next; None: never."""

    next_run: float | None = None


@dataclass(frozen=True, slots=True)
class StorageProven(Storage):
    """A storage, what it was proven to do, and its room in bytes."""

    proven: dict[str, Any] | None = None
    room: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ListedTask(TaskNow):
    """A task of a list; `resumes`: the next controller goes on with it."""

    resumes: bool


@dataclass(frozen=True, slots=True)
class ShownTask(TaskNow):
    """A task by itself; one about hosts with the doctor's report."""

    report: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job: a command that runs, or ran, on hosts. Times in UTC seconds."""

    id: int
    command: str
    state: TaskState
    who: str
    project: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    runs: int
    ended: int
    bad: int  # of the ended ones
    hosts: list[str]
    outcome: str


@dataclass(frozen=True, slots=True)
class ShownJob(ListedJob):
    """A job by itself, with what was asked for and each of its runs."""

    args: dict[str, Any]
    log: list[Any]
    error: dict[str, Any]
    each: list[JobRun]


@dataclass(frozen=True, slots=True)
class Printed:
    """A piece of what a run printed, or what became of it.

    `what`: "out" and "err" (`data` is base64), "end" (`data` says how), "again" (it is tried once more), "note".
    """

    run: int
    tries: int
    host: str
    what: str
    data: str
    out: int  # bytes read of each so far
    err: int
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Archive:
    """Files, as an archive (tar, gzip) in base64."""

    data: str


@dataclass(frozen=True, slots=True)
class Collected:
    """Runs of a job of which hosts keep something yet: they go on, or their hosts do not answer."""

    left: list[str]


@dataclass(frozen=True, slots=True)
class MeantHosts:
    """The hosts that a command is for."""

    hosts: list[str]


@dataclass(frozen=True, slots=True)
class Decided(DecisionRecord):
    """The decision that holds, and what was decided since and came to nothing."""

    age_s: float = 0.0
    now_on: str = ""
    not_done: tuple[Undone, ...] = ()


@dataclass(frozen=True, slots=True)
class NotDecided:
    """No decision holds: why not."""

    name: str
    host: str
    why: str
    now_on: str
    not_done: list[Undone]


@dataclass(frozen=True, slots=True)
class Health:
    """One VM's health, and what its guest told of itself."""

    vm: str
    health: str
    why: str
    for_s: float
    heard_s: float | None
    port: str
    heal: str
    waits: str
    agent: dict[str, Any]
    os: dict[str, Any]
    watches: list[Any]
    services: list[Any]
    processes: int | None
    left_out: int
    refused: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Process:
    """One run of a program. CPU in cores, memory in KiB; `started_us` in UTC microseconds by its machine's clock."""

    name: str
    uuid: str
    machine: str
    machine_uuid: str
    valid: bool
    age_s: float
    run: int
    boot_id: str
    pid: int
    start_ticks: int
    started_us: int
    ip: str
    port: int
    parent: int
    program: str
    version: str
    command: str
    user: str
    state: str
    threads: int
    cpu: float
    cpu_peak: float
    rss_kib: int
    rss_peak_kib: int
    first_seen: float
    last_seen: float
    ended_at: float | None
    why: str


@dataclass(frozen=True, slots=True)
class ShownProcess(Process):
    """One run by itself: its last ten minutes, its previous lives, and others of that name."""

    samples: list[Any]
    previous: list[Process]
    also: list[Process]


@dataclass(frozen=True, slots=True)
class ShortLived:
    """Runs of one program on one machine in one day (YYYY-MM-DD, UTC) that were too short for a row each."""

    machine: str
    program: str
    day: str
    runs: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Program:
    """The name of a program."""

    name: str
