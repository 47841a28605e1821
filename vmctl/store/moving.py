"""Taking a registry from its file into a PostgreSQL database: all of it, compared row by row, or nothing.

The file is marked as moved before the copy is committed: at no moment can a controller use either of the two. What
came of a commit whose answer is lost, the next `vmctl db move` finds out: it compares what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Integer, Table, func, inspect, literal, select, text, tuple_

from vmctl.errors import Refused, RegistryUnusable
from vmctl.store import postgres, sqlite
from vmctl.store.about import MOVED, moved_to
from vmctl.store.tables import Base

AT_ONCE = 1000  # rows
Told = Callable[[int, int], None]  # how many steps of how many are done: each row is copied, then compared


def move(file: Path, dsn: str, told: Told = lambda done, total: None, *, dry_run: bool = False) -> int:
    """Take it over; how many rows it has. Nobody else may use the file. Blocking. Raises Refused, RegistryUnusable."""
    name = postgres.Server(dsn).name
    if not file.exists():
        hint = "to begin with an empty one, only set `database` in vmctl.toml"
        raise RegistryUnusable(f"there is no registry at {file}, and nothing to move", hint=hint)
    sqlite.upgrade(file)
    if not dry_run:
        postgres.upgrade(dsn)
    # The file's transaction ends first: it is inside.
    with postgres.opened(dsn) as target, sqlite.opened(file) as source:
        earlier = moved_to(source)
        if earlier not in ("", name):
            raise Refused(f"{file} was moved to {earlier}", hint="vmctl db status")
        empty = not inspect(target).has_table("setting") or not any(_count(target, table) for table in _tables())
        if not empty and not earlier:
            raise Refused(f"{name} has a registry already, which is another one", hint="createdb, for a new one")
        steps = _Steps(told, 2 * sum(_count(source, table) for table in _tables()))
        if not dry_run:
            for table in _tables():
                if empty:
                    _copy(source, target, table, steps)
                _compare(source, target, table, steps)
            source.execute(text(MARK), {"name": MOVED, "to": name})
    return steps.total // 2


MARK = "INSERT INTO setting (name, value) VALUES (:name, :to) ON CONFLICT (name) DO UPDATE SET value = :to"


class _Steps:
    """How far it is."""

    def __init__(self, told: Told, total: int) -> None:
        self._told, self.total, self._done = told, total, 0

    def more(self, count: int) -> None:
        """So many rows were copied, or compared."""
        self._done += count
        self._told(self._done, self.total)


def _tables() -> list[Table]:
    """All tables; what refers to another comes after it."""
    return list(Base.metadata.sorted_tables)


def _count(db: Connection, table: Table) -> int:
    """Its rows; the mark of a move is none."""
    query = select(func.count()).select_from(table)
    return int(db.execute(query.where(table.c.name != MOVED) if table.name == "setting" else query).scalar_one())


def _copy(source: Connection, target: Connection, table: Table, steps: _Steps) -> None:
    for some in _rows(source, table):
        target.execute(table.insert(), some)
        steps.more(len(some))
    if isinstance(table.primary_key.columns[0].type, Integer) and table.name != "audit":
        following = f"(SELECT coalesce(max(id), 0) + 1 FROM {table.name})"
        target.exec_driver_sql(f"SELECT setval('{table.name}_id_seq', {following}, false)")


def _compare(source: Connection, target: Connection, table: Table, steps: _Steps) -> None:
    """Raises RegistryUnusable for the first row that is not what it was."""
    nothing: list[dict[str, Any]] = []
    none: dict[str, Any] = {}
    for some, copied in zip_longest(_rows(source, table), _rows(target, table), fillvalue=nothing):
        for ours, theirs in zip_longest(some, copied, fillvalue=none):
            if {key: postgres.as_kept(value) for key, value in ours.items()} != theirs:
                key = [(ours or theirs)[column.name] for column in table.primary_key.columns]
                raise RegistryUnusable(f"row {key} of {table.name} is not there as it was: nothing was moved")
        steps.more(len(some))


def _rows(db: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """All rows in the order of their keys, some at a time; the mark of a move is none."""
    key = tuple(table.primary_key.columns)
    query = select(table).order_by(*key).limit(AT_ONCE)
    if table.name == "setting":
        query = query.where(table.c.name != MOVED)
    some = [dict(row) for row in db.execute(query).mappings()]
    while some:
        yield some
        last = tuple_(*(literal(some[-1][column.name], column.type) for column in key))
        some = [dict(row) for row in db.execute(query.where(tuple_(*key) > last)).mappings()]
