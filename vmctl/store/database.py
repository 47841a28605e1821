"""The registry's database: opening it, bringing its tables up to date, and transactions.

SQLite with a write-ahead log and full synchronisation: what was committed survives a power cut. One transaction writes
at a time (`BEGIN IMMEDIATE`), so that what is read inside it is still true when it commits.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from vmctl.store import trouble

Done = TypeVar("Done")
P = ParamSpec("P")
READERS = 4
HELD_S = 10.0  # another program may hold the file for so long before a write fails
# FULL: what was committed survives a power cut.
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={HELD_S * 1000:.0f}")


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


class Database:
    """The file, and the threads that read and write it.

    A transaction is one function that one thread runs from its first statement to its commit. Nobody can cut it in the
    middle: a caller that is cancelled (its controller closes, its client went away) does not learn how it ended, and it
    holds nothing up. One thread writes, as SQLite takes one writer at a time: who comes next waits in a queue and not
    in SQLite, which would sleep and try again.
    """

    def __init__(self, path: Path) -> None:
        self.engine = _engine(path)
        self._path = path
        self.writes = 0
        self._writer = ThreadPoolExecutor(1, "registry-writer")
        self._readers = ThreadPoolExecutor(READERS, "registry-reader")

    async def write(self, work: Callable[[Session], Done]) -> Done:
        """What `work` gives in a transaction that is committed at its end, and rolled back on any error.

        Raises RegistryUnusable where the file cannot be read or written.
        """
        asked_at = time.monotonic()
        try:
            return await _in_thread(self._writer, lambda: self._transaction(work, asked_at=asked_at))
        finally:
            self.writes += 1  # after it is committed: whoever has read before that counts as too early

    async def read(self, work: Callable[[Session], Done]) -> Done:
        """The same for work that only reads; it waits for no writer."""
        return await _in_thread(self._readers, lambda: self._transaction(work, reading=True))

    def _transaction(self, work: Callable[[Session], Done], **options: Any) -> Done:
        try:
            with Session(self.engine, expire_on_commit=False) as opened, opened.begin():
                opened.connection(execution_options=options)
                return work(opened)
        except DatabaseError as err:
            raise trouble.explain(self._path, err) from err

    async def close(self) -> None:
        """Wait for what was begun, and let go of the file."""
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        for threads in (self._writer, self._readers):
            threads.shutdown()
        self.engine.dispose()


class HasDatabase(Protocol):
    """What has methods that are transactions."""

    database: Database


def writing(
    method: Callable[Concatenate[Any, Session, P], Done],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Done]]:
    """A method that is a transaction: it is given the session, its caller awaits it."""

    @functools.wraps(method)
    async def call(self: HasDatabase, /, *args: P.args, **more: P.kwargs) -> Done:
        return await self.database.write(lambda db: method(self, db, *args, **more))

    return call


def reading(
    method: Callable[Concatenate[Any, Session, P], Done],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Done]]:
    """The same for a method that only reads."""

    @functools.wraps(method)
    async def call(self: HasDatabase, /, *args: P.args, **more: P.kwargs) -> Done:
        return await self.database.read(lambda db: method(self, db, *args, **more))

    return call


async def _in_thread(threads: ThreadPoolExecutor, work: Callable[[], Done]) -> Done:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in PRAGMAS:
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
