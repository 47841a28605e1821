"""What `vmctl db status` tells of a registry's database."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select, text

from vmctl.store import schema
from vmctl.store.tables import Base

MOVED = "registry/moved-to"  # the setting of a file whose registry is elsewhere now
LONGEST = """
SELECT application_name, pid, extract(epoch FROM clock_timestamp() - xact_start)::int FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND clock_timestamp() - xact_start > interval '1 s'
ORDER BY xact_start LIMIT 3
"""
STANDBYS = "SELECT application_name, coalesce(state, '?'), coalesce(sync_state, '?') FROM pg_stat_replication"


@dataclass(frozen=True, slots=True)
class About:
    """A database, and the registry in it."""

    where: str
    server: str  # its kind and version
    schema: str  # a state of schema.Revision
    revision: str
    newest: str
    size_bytes: int | None
    rows: dict[str, int] = field(default_factory=dict)
    standbys: list[str] = field(default_factory=list)
    moved_to: str = ""
    long_transactions: list[str] = field(default_factory=list)  # longer than any of ours: they may be in the way


def about(connection: Connection, where: str, file: Path | None = None) -> About:
    """What is known of it. Blocking. Raises the libraries' errors."""
    found = schema.revision(connection)
    there = set(inspect(connection).get_table_names())
    rows = {
        table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for table in Base.metadata.sorted_tables
        if table.name in there
    }
    known = (found.state, found.at, found.newest)
    if file:
        server, size = _of_file(connection, file)
        return About(where, server, *known, size, rows, moved_to=moved_to(connection))
    server, size = _of_server(connection)
    standbys = [f"{name} ({state}, {sync})" for name, state, sync in connection.exec_driver_sql(STANDBYS)]
    return About(where, server, *known, size, rows, standbys, moved_to(connection), long_transactions(connection))


def long_transactions(connection: Connection) -> list[str]:
    """Who has been in a transaction for longer than any of ours takes, the longest first: client, process, seconds."""
    found = connection.exec_driver_sql(LONGEST)
    return [f"{name or 'a client'} (process {pid}) for {for_s} s" for name, pid, for_s in found]


def moved_to(connection: Connection) -> str:
    """Where the registry of this file is now; empty: here."""
    if not inspect(connection).has_table("setting"):
        return ""
    query = text("SELECT value FROM setting WHERE name = :name")
    return str(connection.execute(query, {"name": MOVED}).scalar() or "")


def _of_file(connection: Connection, file: Path) -> tuple[str, int]:
    version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
    return f"SQLite {version}", file.stat().st_size


def _of_server(connection: Connection) -> tuple[str, int]:
    version = connection.exec_driver_sql("SELECT current_setting('server_version')").scalar_one()
    size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    return f"PostgreSQL {version}", int(size)
