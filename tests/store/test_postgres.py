"""What is true of PostgreSQL alone: a server falls silent, dies, or is another one; text is kept as it was said."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.postgres import FORGETFUL, QUIET, Postgres, as_user, running
from tests.store.test_ledger import changes, life
from vmctl.errors import RegistryUnusable
from vmctl.model.records import ClusterValue, Event, HostRecord, Task
from vmctl.store import postgres
from vmctl.store.opening import about, open_store
from vmctl.store.sql import SqlStore
from vmctl.store.tables import Base

LIMIT_S = 1.5  # where a test waits for it to pass
WRITTEN = ClusterValue("key", "x")


@pytest.fixture
def server() -> Iterator[Postgres]:
    """One that a test may hurt."""
    with running() as one:
        one.create("vmctl")
        yield one


@pytest.fixture
async def store(server: Postgres) -> AsyncIterator[SqlStore]:
    opened = open_store(server.dsn("vmctl"), Path("/none"))
    yield opened
    await opened.close()


def backends(server: Postgres) -> list[int]:
    """The server's processes: the first one, and its children."""
    assert server.process is not None
    first = server.process.pid
    return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]


def send(server: Postgres, sign: signal.Signals) -> None:
    for pid in backends(server):
        os.kill(pid, sign)


async def test_text_is_sorted_and_compared_alike_whatever_language_the_database_has(server: Postgres) -> None:
    store = open_store(server.dsn("vmctl"), Path("/none"))
    for name in ("b", "A", "a", "B", "Z", "_"):
        await store.put(HostRecord(name, name, "k", "f", 1.0))
    assert [host.name for host in await store.all(HostRecord)] == ["A", "B", "Z", "_", "a", "b"]
    with psycopg.connect(server.dsn("vmctl")) as connection:
        assert connection.execute("SELECT 'a' < 'B'").fetchone() == (True,), "the server itself sorts otherwise"
        columns = """SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'
            AND data_type IN ('character varying', 'text') AND collation_name IS DISTINCT FROM 'C'
            AND table_name != 'alembic_version'"""
        assert connection.execute(columns).fetchall() == []
    await store.close()


def test_the_migrations_make_the_tables_that_the_code_knows(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one of them on, also where the controller dies in the middle: the tables are then as they were before."""
    dsn = server.dsn("vmctl")
    postgres.upgrade(dsn, "0004")

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(op, "create_table", dies)
        postgres.upgrade(dsn)
    assert about(dsn, Path("/none")).revision == "0004"
    postgres.upgrade(dsn)
    with postgres.opened(dsn) as db:
        assert compare_metadata(MigrationContext.configure(db), Base.metadata) == []


async def test_an_ordinary_user_suffices(server: Postgres) -> None:
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE ordinary LOGIN")
        connection.execute("CREATE DATABASE theirs OWNER ordinary")
    dsn = f"postgresql://ordinary@/theirs?host={server.folder}"
    store = open_store(dsn, Path("/none"))
    await store.put(WRITTEN)
    await store.close()
    assert about(dsn, Path("/none")).rows["setting"] == 1


def test_one_of_a_newer_vmctl_is_left_as_it_is(server: Postgres) -> None:
    dsn = server.dsn("vmctl")
    postgres.upgrade(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'zzzz'")
    assert about(dsn, Path("/none")).schema == "rolling", "it says from which on they may go on with it"
    open_store(dsn, Path("/none"))
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("zzzz",)]
        connection.execute("COMMENT ON TABLE alembic_version IS 'zzzz'")
    with pytest.raises(RegistryUnusable, match="was written by a newer vmctl") as caught:
        open_store(dsn, Path("/none"))
    assert caught.value.hint == "upgrade vmctl"
    assert about(dsn, Path("/none")).schema == "newer"


async def test_several_who_make_the_tables_at_once(server: Postgres) -> None:
    opened = await asyncio.gather(
        *(asyncio.to_thread(open_store, server.dsn("vmctl"), Path("/none")) for _ in range(4))
    )
    await opened[0].put(WRITTEN)
    assert [await one.find(ClusterValue, "key") for one in opened] == [WRITTEN] * 4
    for one in opened:
        await one.close()


async def test_what_is_no_text_for_it_is_kept_all_the_same(store: SqlStore) -> None:
    await store.add(Event("note", "x", "a\0b \udcff c", 1.0))
    assert (await store.events())[0].text == "a\ufffdb ? c"
    await store.add(Task(0, "stop", "x", 1.0, args={"name": "a\0b \udcff"}))
    assert (await store.tasks())[0].args == {"name": "a\0b \udcff"}
    await store.ledger.write(changes(life()._replace(command="a\0b")))
    assert [one.command for one in await store.ledger.processes()] == ["a\ufffdb"]


async def test_a_silent_server_is_told_within_the_limit_and_used_again_when_it_answers(
    server: Postgres, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(WRITTEN)
    monkeypatch.setattr(postgres, "LIMIT_S", LIMIT_S)
    send(server, signal.SIGSTOP)
    began = time.monotonic()
    asked = [store.find(ClusterValue, "key"), store.put(ClusterValue("key", "y"))]
    said = await asyncio.gather(*asked, return_exceptions=True)
    assert time.monotonic() - began < LIMIT_S + 5
    assert all(isinstance(one, RegistryUnusable) for one in said), said
    send(server, signal.SIGCONT)
    assert await store.patiently(lambda: store.find(ClusterValue, "key")) in (WRITTEN, ClusterValue("key", "y"))


async def test_one_that_died_and_is_there_again_is_used_as_if_nothing_had_been(
    server: Postgres, store: SqlStore
) -> None:
    await store.put(WRITTEN)
    server.stop()
    with pytest.raises(RegistryUnusable, match="cannot be used") as caught:
        await store.put(ClusterValue("key", "y"))
    assert str(server.folder) in caught.value.message
    server.start()
    assert await store.find(ClusterValue, "key") == WRITTEN
    await store.put(ClusterValue("key", "y"))


async def test_a_connection_that_was_cut_before_the_commit_is_nobodys_trouble(
    server: Postgres, store: SqlStore
) -> None:
    await store.put(WRITTEN)
    for _ in range(3):
        with psycopg.connect(server.dsn("vmctl"), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()")
        assert await store.find(ClusterValue, "key") == WRITTEN
        await store.put(WRITTEN)


async def test_who_froze_in_the_middle_of_a_transaction_holds_up_nobody_for_long(
    server: Postgres, store: SqlStore
) -> None:
    await store.put(HostRecord("kvm1", "kvm1", "k", "f", 1.0))
    frozen = postgres.Server(server.dsn("vmctl")).connect()
    frozen.execute("SELECT * FROM host FOR UPDATE")
    frozen.execute("SELECT pg_advisory_xact_lock(%s)", (0x656E64,))
    began = time.monotonic()
    await store.change(HostRecord, "kvm1", draining=True, told=[Event("note", "kvm1", "drains", 1.0)])
    assert 1 < time.monotonic() - began < 6
    with pytest.raises(psycopg.Error):
        frozen.execute("SELECT 1")


async def test_a_deadlock_is_done_again(store: SqlStore) -> None:
    """Two who lock the same rows in other orders: one is taken back by the server, and comes after the other."""
    await store.put(ClusterValue("a", ""))
    await store.put(ClusterValue("b", ""))
    meet, tries = threading.Barrier(2), list[str]()

    def both(first: str, second: str) -> Callable[[Session], None]:
        def work(db: Session) -> None:
            tries.append(first)
            alone = len(tries) > 2
            for row in (first, second):
                db.connection().exec_driver_sql("UPDATE setting SET value = value || %s WHERE name = %s", (first, row))
                if row == first and not alone:
                    meet.wait(5)

        return work

    await asyncio.gather(store.database.write(both("a", "b")), store.database.write(both("b", "a")))
    assert len(tries) >= 3
    found = {one.name: "".join(sorted(one.value)) for one in await store.all(ClusterValue)}
    assert found == {"a": "ab", "b": "ab"}


async def test_a_commit_that_no_standby_has_is_unknown_and_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its answer never comes, or the server was told not to wait for a standby and says so by a warning."""
    monkeypatch.setattr(postgres, "LIMIT_S", LIMIT_S)
    monkeypatch.setattr(postgres, "FIND_OUT_S", 1.0)
    with running((*FORGETFUL[:3], "max_wal_senders=4")) as server:
        store = open_store(server.create("vmctl"), Path("/none"))
        with psycopg.connect(server.dsn("vmctl"), autocommit=True) as other:
            other.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            other.execute("SELECT pg_reload_conf()")
            await asyncio.sleep(0.2)
            with pytest.raises(RegistryUnusable, match="did not say whether it wrote"):
                await store.put(WRITTEN)
            waits = asyncio.create_task(store.put(ClusterValue("other", "x")))
            await asyncio.sleep(0.5)
            other.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            with pytest.raises(RegistryUnusable, match=r"did not say whether it wrote: .*cancel"):
                await waits
        await store.close()


class _Lost(Session):
    """Its first COMMIT is done, or taken back; its answer is lost either way."""

    done = True
    left = 1

    def commit(self) -> None:
        if not _Lost.left:
            super().commit()
            return
        _Lost.left -= 1
        super().commit() if _Lost.done else self.rollback()
        raise OperationalError("COMMIT", {}, psycopg.OperationalError("the connection was lost"))


@pytest.mark.parametrize("done", [True, False])
async def test_what_became_of_a_commit_without_an_answer_is_found_out(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """It is written once, and told as written, whether it had been committed or not."""
    await store.put(ClusterValue("key", ""))
    monkeypatch.setattr(postgres, "Session", _Lost)
    monkeypatch.setattr(_Lost, "done", done)
    monkeypatch.setattr(_Lost, "left", 1)
    tries: list[int] = []

    def add(db: Session) -> str:
        tries.append(1)
        db.connection().exec_driver_sql("UPDATE setting SET value = value || 'x'")
        return "done"

    assert await store.database.write(add) == "done"
    assert len(tries) == (1 if done else 2) and _Lost.left == 0
    assert await store.find(ClusterValue, "key") == WRITTEN


@pytest.mark.parametrize(
    ("dsn", "said", "hint"),
    [
        ("postgresql://vmctl@/nope?host={}", "there is no such database", "createdb"),
        ("postgresql://eve:secret@/vmctl?host={}", 'role "eve" does not exist', "vmctl.toml"),
        ("postgresql://vmctl:secret@127.0.0.1:1/vmctl", "refused", "pg_isready -d"),
        ("postgresql://vmctl:secret@host:port/vmctl", "cannot be used", "pg_isready -d"),
        ("postgresql://vmctl:secret@[::1/vmctl", "names no PostgreSQL database", "postgresql://"),
        ("mysql://root:secret@db/vmctl", "names no PostgreSQL database", "postgresql://"),
    ],
)
def test_what_cannot_be_reached_says_why_and_no_secret(server: Postgres, dsn: str, said: str, hint: str) -> None:
    with pytest.raises(RegistryUnusable) as caught:
        open_store(dsn.format(server.folder), Path("/none"))
    told = f"{caught.value.message} {caught.value.hint}"
    assert said in told and hint in told and "secret" not in told and "sqlalche" not in told.lower(), told


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_in_between_is_refused(server: Postgres, mode: str) -> None:
    settings = server.folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={server.folder} user=vmctl\n[pgbouncer]\npool_mode = {mode}\nauth_type = any\n"
        f"unix_socket_dir = {server.folder}\nlisten_port = 6432\nlisten_addr =\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    with subprocess.Popen([*as_user(), "pgbouncer", "-q", str(settings)], stderr=subprocess.DEVNULL) as pooler:
        try:
            while not (server.folder / ".s.PGSQL.6432").exists():
                assert pooler.poll() is None
                time.sleep(0.05)
            with pytest.raises(RegistryUnusable, match="a connection pooler stands before"):
                open_store(f"{server.dsn('vmctl')}&port=6432", Path("/none"))
        finally:
            pooler.terminate()


async def test_no_connection_of_the_pool_leads_to_an_earlier_primary() -> None:
    """Those that were opened before lead there, and it takes writes."""
    with running((*QUIET, "wal_level=replica", "max_wal_senders=4")) as first:
        first.create("vmctl")
        store = open_store(f"postgresql://vmctl@/vmctl?host={first.folder}", Path("/none"))
        await store.close()
        second = first.standby()
        try:
            second.start()
            store = open_store(f"postgresql://vmctl@/vmctl?host={second.folder},{first.folder}", Path("/none"))
            reads = [store.database.read(lambda db: time.sleep(0.2)) for _ in range(4)]
            await asyncio.gather(*reads)  # so many connections
            with psycopg.connect(second.dsn("vmctl"), autocommit=True) as opened:
                opened.execute("SELECT pg_promote(true, 30)")
            writes = [store.put(ClusterValue(f"value {number}", "")) for number in range(12)]
            await asyncio.gather(*writes)  # some of them by new connections, which tell of the new primary
            await store.put(ClusterValue("late", ""))
            for _ in range(8):
                assert ClusterValue("late", "") in await store.all(ClusterValue)
            await store.close()
            with psycopg.connect(first.dsn("vmctl")) as earlier:
                assert earlier.execute("SELECT count(*) FROM setting WHERE name = 'late'").fetchone() == (0,)
        finally:
            second.remove()


def test_the_tables_are_changed_between_what_others_do(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a table's lock holds up all that come later: a dump may go on for an hour."""
    monkeypatch.setattr(postgres, "UPGRADE_EVERY_S", 0.2)
    dsn = server.create("old")
    postgres.upgrade(dsn, "0014")
    ended, told = threading.Event(), list[str]()
    monkeypatch.setattr(postgres.log, "warning", lambda text, *words: told.append(text % words))
    with psycopg.connect(dsn, application_name="pg_dump") as dump:
        dump.execute("SELECT * FROM replica")

        def upgrade() -> None:
            postgres.upgrade(dsn)
            ended.set()

        upgrading = threading.Thread(target=upgrade)
        upgrading.start()
        with psycopg.connect(dsn, autocommit=True) as other:
            longest_s = 0.0
            for _ in range(30):
                began = time.monotonic()
                other.execute("UPDATE replica SET beat = beat + 1")
                longest_s = max(longest_s, time.monotonic() - began)
                time.sleep(0.1)
        assert not ended.is_set() and longest_s < 4.0, longest_s
        assert any(f"pg_dump (process {dump.info.backend_pid})" in line for line in told), told
    upgrading.join(30)
    assert ended.is_set()
    server.drop("old")


def test_an_earlier_primary_is_left_alone() -> None:
    """It came back after its standby took its place: what it takes nobody keeps."""
    with running((*QUIET, "wal_level=replica", "max_wal_senders=4")) as first:
        first.create("vmctl")
        second = first.standby()
        try:
            second.start()
            known = postgres.Server(f"postgresql://vmctl@/vmctl?host={second.folder},{first.folder}")
            known.connect().close()  # the standby takes no writes
            with psycopg.connect(second.dsn("vmctl"), autocommit=True) as opened:
                opened.execute("SELECT pg_promote(true, 30)")
            known.connect().close()
            with psycopg.connect(first.dsn("vmctl")) as earlier:
                assert earlier.execute("SELECT pg_is_in_recovery()").fetchone() == (False,), "it takes writes, too"
            for named in (f"{second.folder},{first.folder}", f"{first.folder},{second.folder}"):
                fresh = postgres.Server(f"postgresql://vmctl@/vmctl?host={named}")  # which has seen neither
                for one in (known, fresh):
                    with one.connect() as opened:
                        assert opened.info.host == str(second.folder)
            second.stop()
            with pytest.raises(RegistryUnusable, match="is an earlier primary"):
                known.connect()
        finally:
            second.remove()


def test_what_changes_the_tables_may_do_something_else_in_between(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction of a controller ends after three idle seconds; an upgrade on a slow machine does not."""
    dsn = server.create("slow")
    postgres.upgrade(dsn, "0016")
    real = op.create_index

    def slowly(*words: object, **more: object) -> None:
        time.sleep(4)
        real(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(op, "create_index", slowly)
    postgres.upgrade(dsn, "0017")
    assert about(dsn, Path("/none")).revision == "0017"
    server.drop("slow")
