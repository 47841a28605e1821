"""A job: a task that runs a command on hosts. Pure; times in UTC seconds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

KIND = "run"  # of a job's task
DEFAULT_CPUS, DEFAULT_MIB = 1, 128  # what is promised to a run that names no limits


class RunState(StrEnum):
    """What becomes of one run of a job."""

    WAITING = "waiting"  # for room, or for its turn
    BEGINNING = "beginning"  # its host was asked for it, and has not said that it began
    RUNNING = "running"
    ENDED = "ended"

    @property
    def there(self) -> bool:
        """Whether its host may have something of it that has not ended."""
        return self in (RunState.BEGINNING, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job's command, on one host."""

    number: int  # from 1
    host: str = ""
    login: str = ""  # by which it runs there; empty: the pool's own
    id: str = ""  # by which its host knows it: 32 hexadecimal digits
    state: RunState = RunState.WAITING
    why: str = ""  # it is there; or why it did not begin, or how it ended where no exit code tells it
    asked_at: float | None = None  # when its host was first asked for it
    boot_id: str = ""  # of that host then
    pid: int = 0
    ticks: int = 0  # of its first process, from its host's boot
    ended_at: float | None = None
    code: int | None = None  # its exit status, or 128 and the signal that ended it; None: nobody knows, or it never ran
    late: bool = False  # its time was over
    starved: bool = False  # the kernel ended something of it for want of memory
    out_bytes: int = 0
    err_bytes: int = 0
    out_cut: bool = False  # it printed more than is kept
    err_cut: bool = False
    tries: int = 1
    unsure: bool = False  # nobody knows whether it still runs
    process: str = ""  # the UUID of its first process, by which the ledger knows it

    @property
    def good(self) -> bool:
        """Whether it did what it was to do."""
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised to a run on its host, until it has ended."""

    host: str
    cpus: int
    mem_mib: int


@dataclass(frozen=True, slots=True)
class Promised:
    """What is promised to all runs of jobs on a host."""

    runs: int = 0
    cpus: int = 0
    mem_mib: int = 0
    new_cpus: int = 0  # of those that began so lately that the host's load does not show them
    new_mib: int = 0


NOTHING = Promised()


def promised_to_each(*, placed: bool, cpus: int, mem_mib: int) -> tuple[int, int]:
    """CPUs and MiB that each run of a job is promised.

    One whose host is named, and that has no limits of its own, is promised nothing.
    """
    return (cpus or DEFAULT_CPUS, mem_mib or DEFAULT_MIB) if placed else (cpus, mem_mib)


def called(job: int, run: int) -> str:
    """A run as decisions, its host and the ledger name it."""
    return f"job {job} run {run}"


def run_of(raw: dict[str, Any]) -> JobRun:
    """A run as it was kept; what this version does not know is left out."""
    known = {field.name for field in fields(JobRun)}
    kept = {key: value for key, value in raw.items() if key in known}
    return JobRun(**kept | {"state": RunState(kept.get("state", RunState.WAITING))})
