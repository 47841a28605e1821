"""The registry's database: opening it, bringing its tables up to date, and rows <-> records.

SQLite with a write-ahead log and full synchronisation: what was committed survives a power cut. One connection
writes at a time (`BEGIN IMMEDIATE`), so that what is read inside a transaction is still true when it commits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import event, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlmodel import SQLModel

from vmctl.formats import specjson
from vmctl.model.records import TaskState, VMRecord
from vmctl.model.vms import PowerState
from vmctl.store import trouble
from vmctl.store.tables import VMRow

Record = TypeVar("Record")
# FULL: what was committed survives a power cut.
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000")


def upgrade(path: Path, to: str = "head") -> None:
    """Create the database or bring it to the newest schema, or not at all. Blocking. Raises RegistryUnusable."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}".replace("%", "%%"))
    try:
        command.upgrade(config, to)
        if path.stat().st_mode & 0o777 != 0o600:
            path.chmod(0o600)
    except trouble.TROUBLE as err:
        raise trouble.explain(path, err) from err


def open_engine(path: Path) -> AsyncEngine:
    """An engine on the SQLite file."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        reading = connection.get_execution_options().get("reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


@asynccontextmanager
async def session(engine: AsyncEngine, *, reading: bool = False) -> AsyncIterator[AsyncSession]:
    """One transaction: committed at the end, rolled back on any error. One that only reads waits for no writer.

    Raises RegistryUnusable where the file cannot be read or written.
    """
    if reading:
        engine = engine.execution_options(reading=True)
    try:
        async with AsyncSession(engine, expire_on_commit=False) as opened, opened.begin():
            yield opened
    except DatabaseError as err:
        raise trouble.explain(Path(engine.url.database or ""), err) from err


def insert_into(engine: AsyncEngine) -> Callable[..., Any]:
    """The database's own INSERT, which can go on with a row that is there already. Both spell it alike."""
    return {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[engine.dialect.name]


def upsert(engine: AsyncEngine, kind: type[SQLModel]) -> Any:
    """A statement that inserts a row of a table, or replaces the one with its key; it is executed with `named` rows.

    Given a list of them it is done for each, however many: a statement that holds all their values may hold so many.
    """
    table: Any = kind.__table__  # type: ignore[attr-defined]
    made = insert_into(engine)(table)
    values = {column.name: made.excluded[column.name] for column in table.c if not column.primary_key}
    return made.on_conflict_do_update(index_elements=[column.name for column in table.primary_key], set_=values)


def named(row: SQLModel) -> dict[str, Any]:
    """A row's values by the names of their columns."""
    attributes = inspect(type(row)).column_attrs
    return {column.name: getattr(row, one.key) for one in attributes for column in one.columns}


def to_record(kind: type[Record], row: SQLModel) -> Record:
    """A row as the record of the same fields."""
    values = {f.name: getattr(row, f.name, None) for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if isinstance(row, VMRow):
        values |= {"spec": specjson.load(row.spec), "power": PowerState(row.power)}
    elif "state" in values:
        values["state"] = TaskState(str(values["state"]))
    return kind(**values)


def to_row(table: type[SQLModel], record: Any) -> SQLModel:
    """A record as a row of `table`."""
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    if isinstance(record, VMRecord):
        values |= {"spec": specjson.dump(record.spec), "uuid": record.uuid, "name": record.name}
    return table(**columns(values))


def columns(values: dict[str, Any]) -> dict[str, Any]:
    """Values as a table keeps them."""
    plain = {key: str(value) if isinstance(value, PowerState | TaskState) else value for key, value in values.items()}
    if "spec" in plain and not isinstance(plain["spec"], str):
        plain |= {"spec": specjson.dump(plain["spec"]), "name": plain["spec"].name}
    return plain
