"""The registry in PostgreSQL, 15 or newer: for several controllers, or one that is to outlive its machine.

A transaction that writes is READ COMMITTED: its methods lock what they change before they look, and a lock must show
what its last holder wrote. One that reads is REPEATABLE READ: all of it is of one moment. What the server rolled back,
because two were in each other's way or the connection was lost before COMMIT was sent, is done again. What became of a
COMMIT without an answer the server is asked by the transaction's number; while it does not know either, nobody does. A
COMMIT is never cancelled: a cancelled one is told as done where no standby has it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg
import sqlalchemy
import sqlalchemy.event
from alembic.util import CommandError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.string import StrDumperUnknown as StrDumper
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.orm import Session

from vmctl.errors import RegistryUnusable
from vmctl.ports.turns import comes_last
from vmctl.store import about as telling
from vmctl.store import postgres_trouble as trouble
from vmctl.store import schema
from vmctl.store.database import LAST, Database, Done, Work, in_thread
from vmctl.store.servers import one_each
from vmctl.store.statements import UNCHANGED
from vmctl.store.unchanged import Unchanged

log = logging.getLogger("vmctl.store.postgres")
OLDEST = 150000  # server_version_num
LIMIT_S = 10.0  # of one transaction, waiting for locks included
FIRST_LIMIT_S = 3.0  # of a heartbeat: the next one is tried soon, where a server comes back that was silent
FIND_OUT_S, ASK_EVERY_S = 10.0, 0.2  # how long after that it is asked what became of a COMMIT
WRITERS, READERS = 6, 4
AFTER_IT_S = 0.05
AGAIN = 10  # so often is a transaction done again that was in another's way
UPGRADE_S, UPGRADE_EVERY_S = 180.0, 5.0  # for how long, and how often, it is tried to change the tables
UPGRADE_LOCK = "1s"  # how long one try waits for a lock
BETWEEN = "30s"  # and how long a transaction that changes the tables, or moves a registry, may do something else
LOOK_LOCK = "3s"  # and one that only looks
UPGRADING = 0x766D63746C  # "vmctl": the lock that who changes the tables holds
# What libpq is told where the DSN does not. A server that is silent must be noticed within seconds.
DEFAULTS = {
    "connect_timeout": "2",  # of each server
    "target_session_attrs": "read-write",
    "keepalives_idle": "2",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "6000",
    "application_name": "vmctl",
}
# A controller that is frozen in the middle of a transaction holds up nobody for longer than that: neither while the
# server waits for what it asks next, nor while it waits to be rid of an answer.
# What was answered must survive a power cut, and no COMMIT may be cancelled, whatever the server's own settings are.
SESSION = """
SET idle_in_transaction_session_timeout = '3s';
SET lock_timeout = '8s';
SET statement_timeout = 0;
SET tcp_user_timeout = '6s';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
LATER = "SELECT pg_logical_emit_message(true, 'vmctl', '')"  # writes something, into no table
# A server that recovers from a crash of one of its processes goes on, and begins its statistics anew.
ABOUT = """
SELECT pg_backend_pid(), current_setting('server_version_num')::int, current_setting('server_encoding'),
       (SELECT concat_ws(' ', pg_postmaster_start_time(), stats_reset) FROM pg_stat_archiver),
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int
"""


def as_kept(value: Any) -> Any:
    """A value as it is read back: what a guest or a host says may hold what no text of PostgreSQL's may."""
    if not isinstance(value, str) or (value.isascii() and "\0" not in value):
        return value
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()


class _Text(StrDumper):
    def dump(self, obj: str) -> Any:
        return super().dump(as_kept(obj))


class Connection(psycopg.Connection[Any]):
    """A connection whose server may fall silent: what is asked over it has a limit of time."""

    limit_at: float | None = None
    warned = ""  # what the server said beside an answer
    timeline = 0
    run = ""  # of its server: from its start, or from its last recovery from a crash, to the next of them

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As its parent's, until the limit at most. The connection is then of no use; the server is told nothing."""
        if self.limit_at is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, max(0.0, self.limit_at - time.monotonic()))
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(trouble.SILENT) from None


class Server:
    """The server, or several of which one takes writes: how it is reached.

    After a failover the earlier primary may come back and take writes, which nobody would keep: what has an older
    timeline than was seen is left alone. All are looked at once, as who has just begun has seen none.
    """

    def __init__(self, dsn: str) -> None:
        self.name = trouble.without_password(dsn)
        self._conninfo = conninfo(dsn)
        self._each = one_each(self._conninfo)
        self.timeline = 0  # the highest that was seen

    def became(self, number: str, timeline: int) -> str:
        """What became of a transaction: committed, aborted, in progress; empty: nobody knows, or not now.

        A primary that restarts while a COMMIT waits for a standby has committed it, and the standby may not have it.
        """
        try:
            opened = self._connect()
        except (psycopg.Error, RegistryUnusable):
            return ""
        try:
            if opened.timeline != timeline:
                return ""  # another server, which counts its transactions for itself
            found = opened.execute("SELECT pg_xact_status(%s::text::xid8)", (number,)).fetchone()
            opened.execute(LATER)
            opened.commit()  # where standbys are waited for, they have then all that was written before
            return str(found[0] or "") if found and not opened.warned else ""
        except psycopg.Error:
            return ""
        finally:
            opened.close()

    def connect(self) -> Connection:
        """A connection to the one that takes writes. Raises RegistryUnusable."""
        try:
            return self._connect()
        except psycopg.Error as err:
            raise trouble.explain(self.name, err) from err

    def _connect(self) -> Connection:
        if not self.timeline and len(self._each) > 1:
            for one in self._each:
                with suppress(psycopg.Error, RegistryUnusable):
                    self._open(one).close()
        opened = self._open(self._conninfo)
        if opened.timeline >= self.timeline:
            return opened
        seen = opened.timeline
        opened.close()
        for one in self._each:  # libpq takes the first that takes writes: the true one may be named after it
            with suppress(psycopg.Error, RegistryUnusable):
                opened = self._open(one)
                if opened.timeline >= self.timeline:
                    return opened
                opened.close()
        message = f"{self.name} is an earlier primary (timeline {seen}, {self.timeline} was seen)"
        raise RegistryUnusable(message, hint="make it a standby of the present one")

    def _open(self, reached: str) -> Connection:
        opened = Connection.connect(reached)
        try:
            opened.adapters.register_dumper(str, _Text)
            opened.limit_at = time.monotonic() + LIMIT_S
            opened.add_notice_handler(lambda said: _keep_warning(opened, said))
            opened.execute(SESSION)
            found = opened.execute(ABOUT).fetchone()
            opened.commit()
            assert found is not None
            self._refuse_pooler(opened.info.backend_pid, found[0])
            self._judge(*found[1:-2])
            opened.timeline = int(found[-1])
            opened.run = f"{found[-2]} {opened.timeline}"  # a standby goes on running when it becomes the primary
            self.timeline = max(self.timeline, opened.timeline)  # of two threads the later one may have asked first
        except BaseException:
            opened.close()
            raise
        return opened

    def _refuse_pooler(self, told: int, real: int) -> None:
        """One that hands out connections by the transaction leaks what a session sets, and hears no notification."""
        if told != real:
            message = f"a connection pooler stands before {self.name}, and vmctl keeps connections of its own"
            raise RegistryUnusable(message, hint="name the server itself: its own port, usually 5432")

    def _judge(self, version: int, encoding: str) -> None:
        if version < OLDEST:
            raise RegistryUnusable(
                f"{self.name} is PostgreSQL {version // 10000}: 15 or newer is needed", hint="upgrade the server"
            )
        if encoding != "UTF8":
            hint = "createdb --template=template0 --encoding=UTF8 NAME"
            raise RegistryUnusable(f"{self.name} keeps text as {encoding}: UTF8 is needed", hint=hint)


def conninfo(dsn: str) -> str:
    """What libpq is told. Raises RegistryUnusable for a DSN that is none."""
    try:
        given = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
        return make_conninfo(**DEFAULTS | given)
    except psycopg.ProgrammingError as err:
        hint = "postgresql://USER@HOST1,HOST2/NAME, as `database` in vmctl.toml or after --to"
        message = f"{trouble.without_password(dsn)!r} names no PostgreSQL database"
        raise RegistryUnusable(message, hint=hint) from err  # what libpq says shows all of it, its password, too


def _keep_warning(opened: Connection, said: psycopg.errors.Diagnostic) -> None:
    if said.severity_nonlocalized == "WARNING":
        opened.warned = said.message_primary or "a warning"


WRITING: dict[str, Any] = {"isolation_level": "READ COMMITTED"}
READING: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


class PostgresDatabase(Database):
    """A database of that server."""

    shared = True

    def __init__(self, dsn: str) -> None:
        self.server = Server(dsn)
        super().__init__(_engine(self.server), writers=WRITERS, readers=READERS)
        self._unchanged = Unchanged()

    async def _write(self, work: Work[Done]) -> Done:
        return await self._in_turn(self._writers, lambda limit_at: self._until_done(work, limit_at))

    def write_here(self, work: Work[Done]) -> Done:
        return self._until_done(work, time.monotonic() + LIMIT_S)

    async def write_first(self, work: Work[Done]) -> Done:
        limit_at = time.monotonic() + FIRST_LIMIT_S
        return await in_thread(self._first, lambda: self._until_done(work, limit_at))

    async def read(self, work: Work[Done]) -> Done:
        return await self._in_turn(self._readers, lambda limit_at: self._until_done(work, limit_at, reading=True))

    async def _in_turn(self, threads: ThreadPoolExecutor, until_done: Callable[[float], Done]) -> Done:
        # Who waits for a thread has waited for the database; but where nobody waits, the time begins with the turn.
        asked_at = None if comes_last() else time.monotonic()
        return await in_thread(self._turn(threads), lambda: until_done((asked_at or time.monotonic()) + LIMIT_S))

    def _until_done(self, work: Work[Done], limit_at: float, *, reading: bool = False) -> Done:
        for tried in range(AGAIN):
            # Who was in the way waits for what this one has let go of: at once, this one would have that again first.
            time.sleep(tried * AFTER_IT_S)
            try:
                return self._transaction(work, limit_at, reading=reading)
            except _TakenBack:
                continue
            except DBAPIError as err:
                if not trouble.may_go_again(err) or time.monotonic() > limit_at:
                    raise trouble.explain(self.server.name, err) from err
        raise RegistryUnusable(f"{self.server.name}: other transactions are always in the way", hint="vmctl db status")

    def _transaction(self, work: Work[Done], limit_at: float, *, reading: bool) -> Done:
        with Session(self.engine, expire_on_commit=False) as opened:
            raw = opened.connection(execution_options=READING if reading else WRITING).connection.driver_connection
            assert isinstance(raw, Connection)
            raw.limit_at, raw.warned = limit_at, ""
            if reading:
                opened.info[UNCHANGED] = partial(self._unchanged.vms, opened, raw.run)
            else:
                self.fence(opened)
            done = work(opened)
            if not reading:
                opened.flush()
                number = opened.connection().exec_driver_sql("SELECT pg_current_xact_id()::text").scalar_one()
                self._commit(opened, raw, str(number))
            return done

    def _commit(self, opened: Session, raw: Connection, number: str) -> None:
        try:
            opened.commit()
        except DBAPIError as err:
            if getattr(err.orig, "sqlstate", None) in trouble.BACK:
                raise
            self._find_out(number, raw.timeline, err)
        if raw.warned:  # it waited for a standby, and was told not to
            raise trouble.unknown(self.server.name, raw.warned)

    def _find_out(self, number: str, timeline: int, err: DBAPIError) -> None:
        """Whether it was committed; nothing else may be told. Raises _TakenBack, RegistryUnusable."""
        limit_at = time.monotonic() + FIND_OUT_S
        while (became := self.server.became(number, timeline)) != "committed":
            if became == "aborted":
                raise _TakenBack from err
            if time.monotonic() > limit_at:
                raise trouble.unknown(self.server.name, str(err.orig)) from err
            time.sleep(ASK_EVERY_S)


class _TakenBack(Exception):
    """The server says that it has not committed a transaction, and never will."""


def _engine(server: Server) -> Engine:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=server.connect,
        pool_size=WRITERS + READERS + LAST + 1,
        max_overflow=0,
        pool_recycle=3600,
    )

    @sqlalchemy.event.listens_for(engine, "checkout")
    def _of_the_newest(raw: Connection, *_: Any) -> None:
        if raw.timeline < server.timeline:  # it leads to one that was the primary
            raise DisconnectionError

    return engine


def upgrade(dsn: str, to: str = "head") -> None:
    """Create the tables or bring them to the newest schema, or nothing. Blocking. Raises RegistryUnusable.

    Several may do it at once: one does, the others find it done. What waits for a table's lock holds up all that come
    after it: so it waits for a second, and lets them pass before it tries again.
    """
    until = time.monotonic() + UPGRADE_S
    while True:
        try:
            with opened(dsn, UPGRADE_LOCK) as db:
                db.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (UPGRADING,))
                schema.upgrade(db, to)
            return
        except RegistryUnusable as err:
            if not trouble.waited_for_a_lock(err) or time.monotonic() > until:
                raise
        log.warning("the tables cannot be changed while others use them: %s; it is tried again", holders(dsn))
        time.sleep(UPGRADE_EVERY_S)


def holders(dsn: str) -> str:
    """Who has been in a transaction for longer than any of ours takes. Raises RegistryUnusable."""
    with opened(dsn) as db:
        return ", ".join(telling.long_transactions(db)) or "somebody"


def about(dsn: str, where: str) -> telling.About:
    """What is known of it; nothing is changed. Blocking. Raises RegistryUnusable, with who is in the way."""
    try:
        with opened(dsn, LOOK_LOCK) as db:
            return telling.about(db, where)
    except RegistryUnusable as err:
        if not trouble.waited_for_a_lock(err):
            raise
        message = f"{where}: a table is locked, by a transaction of {holders(dsn)}"
        hint = "end it on the server: SELECT pg_terminate_backend(PROCESS)"
        raise RegistryUnusable(message, hint=hint) from err


@contextmanager
def opened(dsn: str, lock_limit: str = "60s") -> Iterator[sqlalchemy.Connection]:
    """A connection in a transaction that may take long, committed at the end. Raises RegistryUnusable."""
    server = Server(dsn)
    engine = _engine(server)
    try:
        with engine.connect().execution_options(**WRITING) as db, db.begin():
            raw = db.connection.driver_connection
            assert isinstance(raw, Connection)
            raw.limit_at = None
            db.exec_driver_sql("SELECT set_config('lock_timeout', %s, true)", (lock_limit,))
            # What is done in between takes its time: a registry of years is read, or a machine is slow.
            db.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{BETWEEN}'")
            yield db
    except CommandError as err:
        message = f"the database {server.name} was written by a newer vmctl: this one does not know its schema"
        raise RegistryUnusable(message, hint="upgrade vmctl") from err
    except DBAPIError as err:
        raise trouble.explain(server.name, err) from err
    finally:
        engine.dispose()
