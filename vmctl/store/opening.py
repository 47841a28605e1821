"""Opening the registry, wherever it is kept: in the PostgreSQL database that a DSN names, or in a file.

Its driver is loaded by who needs it.
"""

from __future__ import annotations

from pathlib import Path

from vmctl.errors import RegistryUnusable
from vmctl.ports import SYSTEM, Clock
from vmctl.store import about as telling
from vmctl.store import schema, sqlite
from vmctl.store.about import About
from vmctl.store.sql import SqlStore


def open_store(dsn: str, file: Path, clock: Clock = SYSTEM.clock) -> SqlStore:
    """The registry in a database, or in a file where the DSN is empty; its tables are brought up to date. Blocking.

    Raises RegistryUnusable.
    """
    upgrade(dsn, file)
    if not dsn:
        with sqlite.opened(file, reading=True) as db:
            elsewhere = telling.moved_to(db)
        if elsewhere:
            hint = "set `database` in vmctl.toml"
            raise RegistryUnusable(f"the registry {file} was moved to {elsewhere}", hint=hint)
    return _opened(dsn, file, clock)


def open_as_it_is(dsn: str, file: Path, clock: Clock = SYSTEM.clock) -> SqlStore:
    """The same for who only looks: no table is made or changed. Blocking. Raises RegistryUnusable."""
    if (state := schema_of(dsn, file)) not in schema.USABLE:
        said = "there is no registry yet" if state == "empty" else f"its tables are {state}"
        raise RegistryUnusable(f"{named(dsn) if dsn else file}: {said}", hint="vmctl db status")
    return _opened(dsn, file, clock)


def schema_of(dsn: str, file: Path) -> str:
    """In a word where its tables stand, as `schema.Revision`. Blocking. Raises RegistryUnusable."""
    if dsn:
        from vmctl.store import postgres

        with postgres.opened(dsn) as db:
            return schema.revision(db).state
    if not file.exists():
        return "empty"
    with sqlite.opened(file, reading=True) as db:
        return schema.revision(db).state


def _opened(dsn: str, file: Path, clock: Clock) -> SqlStore:
    if dsn:
        from vmctl.store import postgres

        return SqlStore(postgres.PostgresDatabase(dsn), clock)
    return SqlStore(sqlite.SqliteDatabase(file), clock)


def upgrade(dsn: str, file: Path) -> None:
    """Make its tables, or bring them up to date. Blocking. Raises RegistryUnusable."""
    if dsn:
        from vmctl.store import postgres

        postgres.upgrade(dsn)
    else:
        sqlite.upgrade(file)


def about(dsn: str, file: Path) -> About:
    """What is known of it; nothing is changed. Blocking. Raises RegistryUnusable."""
    if dsn:
        from vmctl.store import postgres

        return postgres.about(dsn, named(dsn))
    if not file.exists():
        return About(str(file), "SQLite", "empty", "", "", None)
    with sqlite.opened(file, reading=True) as db:
        return telling.about(db, str(file), file)


def named(dsn: str) -> str:
    """What people are told of a DSN: its password is left out."""
    from vmctl.store import postgres_trouble

    return postgres_trouble.without_password(dsn)
