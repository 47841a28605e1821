"""The tables of who watches what: hosts, what is told of them, and the ledgers of machines."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column
from sqlmodel import Field

from vmctl.store.base import Base


class HostWatchRow(Base, table=True):
    """Which controller samples a host."""

    __tablename__ = "host_watch"
    host: str = Field(primary_key=True)
    life: str = Field(index=True)
    epoch: int = Field(sa_type=BigInteger)
    since: float


class HostReportRow(Base, table=True):
    """What a host's watcher told last. On PostgreSQL it is not logged: after a crash it is empty, and written anew."""

    __tablename__ = "host_report"
    host: str = Field(primary_key=True)
    epoch: int = Field(sa_type=BigInteger)
    number: int = Field(sa_type=BigInteger)
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    told_at: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})  # earlier versions write none
    told_number: int = Field(default=-1, sa_type=BigInteger, sa_column_kwargs={"server_default": "-1"})
    digest: str = Field(default="", sa_column_kwargs={"server_default": ""})


class MachineReaderRow(Base, table=True):
    """Which controller keeps a machine's ledger."""

    __tablename__ = "machine_reader"
    machine: str = Field(primary_key=True)
    life: str = Field(index=True)
