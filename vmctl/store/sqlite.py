"""The registry in a file: one controller, nothing to set up.

SQLite with a write-ahead log and full synchronisation: what was committed survives a power cut. One transaction writes
at a time (`BEGIN IMMEDIATE`), so that what is read inside it is still true when it commits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from vmctl.store import schema, sqlite_trouble
from vmctl.store.database import Database, Done, Work, in_thread

READERS = 4
HELD_S = 10.0  # another program may hold the file for so long before a write fails
# FULL: what was committed survives a power cut.
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={HELD_S * 1000:.0f}")


def upgrade(path: Path, to: str = "head") -> None:
    """Create the database or bring it to the newest schema, or not at all. Blocking. Raises RegistryUnusable."""
    # No pragmas: tables that refer to each other are made anew.
    with opened(path, ()) as db:
        schema.upgrade(db, to)
    try:
        if path.stat().st_mode & 0o777 != 0o600:
            path.chmod(0o600)
    except OSError as err:
        raise sqlite_trouble.explain(path, err) from err


@contextmanager
def opened(path: Path, pragmas: Iterable[str] = PRAGMAS, *, reading: bool = False) -> Iterator[Connection]:
    """A connection in a transaction that nobody else writes beside, committed at the end. Raises RegistryUnusable.

    `reading`: one that changes nothing, and holds nobody up.
    """
    engine = _engine(path, () if reading else pragmas)
    try:
        with engine.connect().execution_options(asked_at=time.monotonic(), reading=reading) as db, db.begin():
            yield db
    except sqlite_trouble.TROUBLE as err:
        raise sqlite_trouble.explain(path, err) from err
    finally:
        engine.dispose()


class SqliteDatabase(Database):
    """A file.

    One thread writes, as SQLite takes one writer at a time: who comes next waits in a queue and not in SQLite, which
    would sleep and try again.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(_engine(path, PRAGMAS), writers=1, readers=READERS)
        self._path = path

    async def _write(self, work: Work[Done]) -> Done:
        asked_at = time.monotonic()
        return await in_thread(self._writers, lambda: self._transaction(work, asked_at=asked_at))

    def write_here(self, work: Work[Done]) -> Done:
        return self._transaction(work, asked_at=time.monotonic())

    async def read(self, work: Work[Done]) -> Done:
        return await in_thread(self._turn(self._readers), lambda: self._transaction(work, reading=True))

    def _transaction(self, work: Work[Done], **options: Any) -> Done:
        try:
            with Session(self.engine, expire_on_commit=False) as opened, opened.begin():
                opened.connection(execution_options=options)
                return work(opened)
        except DatabaseError as err:
            raise sqlite_trouble.explain(self._path, err) from err


def _engine(path: Path, pragmas: Iterable[str]) -> Engine:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        options = connection.get_execution_options()
        if options.get("reading"):
            connection.exec_driver_sql("BEGIN")
            return
        # What it has waited for other transactions of ours counts: else each in the queue would wait anew where
        # another program holds the file.
        waited_s = time.monotonic() - options["asked_at"]
        connection.exec_driver_sql(f"PRAGMA busy_timeout={max(0, int((HELD_S - waited_s) * 1000))}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
