"""Transactions: functions that are given a session and run in a thread, from their first statement to their commit.

Nobody can cut one in the middle: a caller that is cancelled (its controller closes, its client went away) does not
learn how it ended, and it holds nothing up. Which database it is, `sqlite.py` and `postgres.py` say.
"""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from vmctl.ports.turns import comes_last

Done = TypeVar("Done")
P = ParamSpec("P")
Work = Callable[[Session], Done]
LAST = 2  # threads of what may wait


class Database(ABC):
    """A database, and the threads that read and write it."""

    shared = False  # several controllers may use it
    fence: Callable[[Session], None] = staticmethod(lambda _db: None)  # what each that writes asks first

    def __init__(self, engine: Engine, *, writers: int, readers: int) -> None:
        self.engine = engine
        self.writes = 0
        self._writers = ThreadPoolExecutor(writers, "registry-writer")
        self._readers = ThreadPoolExecutor(readers, "registry-reader")
        self._last = ThreadPoolExecutor(LAST, "registry-last")
        self._first = ThreadPoolExecutor(1, "registry-first")

    async def write(self, work: Work[Done]) -> Done:
        """What `work` gives in a transaction that is committed at its end, and rolled back on any error.

        It may be called again, where another transaction was in its way. Raises RegistryUnusable where the database
        cannot be read or written; whether it was written is then not known.
        """
        try:
            return await self._write(work)
        finally:
            self.writes += 1  # after it is committed: whoever has read before that counts as too early

    @abstractmethod
    async def _write(self, work: Work[Done]) -> Done: ...

    async def write_first(self, work: Work[Done]) -> Done:
        """The same for what may not wait until other work is done: it has a thread of its own."""
        return await in_thread(self._first, lambda: self.write_here(work))

    @abstractmethod
    def write_here(self, work: Work[Done]) -> Done:
        """The same in the thread that asks, for who has no loop yet. Blocking."""

    @abstractmethod
    async def read(self, work: Work[Done]) -> Done:
        """The same for work that only reads, all of it at one moment; it waits for no writer."""

    def _turn(self, usual: ThreadPoolExecutor) -> ThreadPoolExecutor:
        """The threads that do what is asked here: what comes last has its own, so that nothing stands behind it."""
        return self._last if comes_last() else usual

    async def close(self) -> None:
        """Wait for what was begun, and let go of the database."""
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        for threads in (self._writers, self._readers, self._last, self._first):
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


async def in_thread(threads: ThreadPoolExecutor, work: Callable[[], Done]) -> Done:
    """What `work` gives, done by one of the threads."""
    return await asyncio.get_running_loop().run_in_executor(threads, work)
