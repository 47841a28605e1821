"""The ledger's tables: lives of processes, and what goes with them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, text
from sqlmodel import Field

from vmctl.store.base import Base


class MachineRunRow(Base, table=True):
    """One boot of one run of a VM or host: what its processes have in common."""

    __tablename__ = "machine_run"
    id: int | None = Field(default=None, primary_key=True)
    machine: str
    run: int
    boot_id: str
    seen_at: float  # the last picture of it, give or take half a minute
    __table_args__ = (Index("ix_machine_run_machine_run_boot_id", "machine", "run", "boot_id", unique=True),)


class IncarnationRow(Base, table=True):
    """One run of one program. A valid one has no `ended_at`."""

    __tablename__ = "incarnation"
    id: int | None = Field(default=None, primary_key=True)
    uuid: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False))
    run_id: int = Field(foreign_key="machine_run.id")
    pid: int
    start_ticks: int = Field(sa_type=BigInteger)
    started_us: int = Field(sa_type=BigInteger)
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
    rss_kib: int = Field(sa_type=BigInteger)
    rss_peak_kib: int = Field(sa_type=BigInteger)
    first_seen: float
    last_seen: float
    ended_at: float | None = None
    why: str
    samples: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    __table_args__ = (
        Index("ix_incarnation_uuid", "uuid", unique=True),
        Index("ix_incarnation_run_id_program", "run_id", "program", "ended_at"),
        Index("ix_incarnation_program_ended_at", "program", "ended_at"),
        Index("ix_incarnation_started_us_pid", "started_us", "pid"),
        Index(
            "ix_incarnation_ended_at",
            "ended_at",
            sqlite_where=text("ended_at IS NOT NULL"),
            postgresql_where=text("ended_at IS NOT NULL"),
        ),
    )


class ListeningRow(Base, table=True):
    """Who listened on a TCP port of an address, and when. `until` empty: still."""

    __tablename__ = "listening"
    ip: str = Field(primary_key=True)
    port: int = Field(primary_key=True)
    since: float = Field(primary_key=True)
    uuid: bytes = Field(sa_column=Column(LargeBinary(16), primary_key=True))
    until: float | None = None
    __table_args__ = (Index("ix_listening_uuid", "uuid"), Index("ix_listening_until", "until"))


class ProgramSummaryRow(Base, table=True):
    """Runs of a program, on one machine in one day (UTC), that were too short-lived for a row each."""

    __tablename__ = "program_summary"
    machine: str = Field(primary_key=True)
    program: str = Field(primary_key=True)
    day: int = Field(primary_key=True)
    runs: int
    cpu_s: float
