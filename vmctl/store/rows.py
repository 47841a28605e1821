"""Rows of the tables <-> records. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Engine, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from vmctl.formats import specjson
from vmctl.model.records import TaskState, VMRecord
from vmctl.model.uploads import Upload, UploadState
from vmctl.model.vms import PowerState
from vmctl.store.tables import VMRow

Record = TypeVar("Record")
STATES = PowerState | TaskState | UploadState


def insert_into(engine: Engine) -> Callable[..., Any]:
    """The database's own INSERT, which can go on with a row that is there already. Both spell it alike."""
    return {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[engine.dialect.name]


def upsert(engine: Engine, kind: type[SQLModel]) -> Any:
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
        values["state"] = (UploadState if kind is Upload else TaskState)(str(values["state"]))
    return kind(**values)


def to_row(table: type[SQLModel], record: Any) -> SQLModel:
    """A record as a row of `table`."""
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    if isinstance(record, VMRecord):
        values |= {"spec": specjson.dump(record.spec), "uuid": record.uuid, "name": record.name}
    return table(**columns(values))


def columns(values: dict[str, Any]) -> dict[str, Any]:
    """Values as a table keeps them."""
    plain = {key: str(value) if isinstance(value, STATES) else value for key, value in values.items()}
    if "spec" in plain and not isinstance(plain["spec"], str):
        plain |= {"spec": specjson.dump(plain["spec"]), "name": plain["spec"].name}
    return plain
