"""What became of a run, by what its host shows. Pure."""

from __future__ import annotations

from dataclasses import replace

from vmctl.hosts.runs import Seen
from vmctl.model.identity import Incarnation
from vmctl.model.jobs import JobRun, RunState

GONE = "its host has nothing of it any more: how it ended is not known"


def as_seen(run: JobRun, seen: Seen, now: float, machine: str) -> JobRun:
    """The run as its host shows it; `machine` is that host's UUID, empty where it is not known."""
    if seen.fate == "gone":
        return replace(run, state=RunState.ENDED, ended_at=now, why=GONE, unsure=True)
    if (life := seen.life) is not None:
        process = str(Incarnation(machine, 0, life.boot_id, life.pid, life.ticks).uuid) if machine else run.process
        run = replace(run, boot_id=life.boot_id, pid=life.pid, ticks=life.ticks, process=process)
    told = replace(
        run,
        late=seen.late,
        starved=seen.starved,
        out_bytes=seen.out_bytes,
        err_bytes=seen.err_bytes,
        out_cut=seen.out_cut,
        err_cut=seen.err_cut,
    )
    if not seen.ended:
        return replace(told, state=RunState.RUNNING if seen.fate == "began" else run.state)
    return replace(told, state=RunState.ENDED, ended_at=seen.ended_at or now, code=seen.code, why=_why(run, seen))


def _why(run: JobRun, seen: Seen) -> str:
    if seen.fate == "never":
        return seen.why or "it never began"
    if seen.code is None and seen.rebooted:
        return "its host was rebooted while it ran"
    if seen.code is None:
        return "what waited for its end was killed: how it ended is not known"
    return "its time was over" if seen.late else run.why


def outcome(run: JobRun) -> str:
    """How it ended, in a few words."""
    if run.code is None:
        return run.why or run.state
    words = f"exit code {run.code}"
    if run.code > 128:
        words = f"ended by signal {run.code - 128}"
    if run.starved:
        return f"{words} (it wanted more memory than its limit)"
    return f"{words} ({run.why})" if run.late else words
