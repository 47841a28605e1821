"""A registry moves whole, or stays where it is; at no moment two controllers could use two of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Table

from tests.postgres import Postgres
from tests.store.test_pairs import ENDED, METHODS, fill, picture
from vmctl.errors import Refused, RegistryUnusable
from vmctl.model.records import ClusterValue, DecisionRecord, Event, Task
from vmctl.model.replicas import Replica
from vmctl.store import moving, postgres
from vmctl.store.opening import about, open_store


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A registry with something in every table, and what PostgreSQL writes in another way."""
    path = tmp_path / "registry.db"
    store = open_store("", path)
    await fill(store)
    store.begin_life(Replica("life", "kvm8", "home-8", "0.1", 1.0))
    for name in ("process", "listens", "means", "put", "limit", "given", "failed log-in", "audit", "lead"):
        await METHODS[name](store)
    for number in range(3):
        await store.audit(replace(ENDED, at=float(number)))
    await store.add(DecisionRecord("plan", "web1", "why", 2.0, detail={"most": "inf", "all": [1.5, None]}))
    await store.add(Event("note", "x", "caf\u00e9 a\0b", 4.0))
    await store.close()
    return path


@pytest.fixture
def dsn(request: pytest.FixtureRequest, postgres_server: Postgres) -> Any:
    yield postgres_server.create("move")
    postgres_server.drop("move")


async def test_it_is_all_there_and_its_numbers_go_on(file: Path, dsn: str) -> None:
    store = open_store("", file)
    before = await picture(store)
    await store.close()
    assert [name for name, count in about("", file).rows.items() if not count] == []
    steps: list[tuple[int, int]] = []
    rows = moving.move(file, dsn, lambda done, total: steps.append((done, total)))
    assert steps[-1] == (2 * rows, 2 * rows) and steps == sorted(steps)
    store = open_store(dsn, file)
    assert await picture(store) == before.replace("a\\x00b", "a\ufffdb")
    newest = await store.add(Task(0, "stop", "x", 5.0))
    assert newest == len(await store.tasks())
    await store.close()


async def test_nobody_opens_the_file_any_more(file: Path, dsn: str) -> None:
    moving.move(file, dsn)
    with pytest.raises(RegistryUnusable, match="was moved to postgresql://vmctl@"):
        open_store("", file)
    assert about("", file).moved_to == postgres.Server(dsn).name
    moving.move(file, dsn)  # as after a lost answer: it is compared again
    store = open_store(dsn, file)
    await store.put(ClusterValue("since", "then"))
    await store.close()
    with pytest.raises(RegistryUnusable, match=r"row \['.*'\] of setting is not there as it was"):
        moving.move(file, dsn)
    assert value_of(dsn, "since") == "then"


def value_of(dsn: str, name: str) -> str:
    with psycopg.connect(dsn) as opened:
        found = opened.execute("SELECT value FROM setting WHERE name = %s", (name,)).fetchone()
    assert found is not None
    return str(found[0])


async def test_a_database_that_has_a_registry_is_left_as_it_is(file: Path, dsn: str) -> None:
    other = open_store(dsn, file)
    await other.put(ClusterValue("whose", "another's"))
    for dry_run in (True, False):
        with pytest.raises(Refused, match="has a registry already"):
            moving.move(file, dsn, dry_run=dry_run)
    assert await other.all(ClusterValue) == [ClusterValue("whose", "another's")]
    await other.close()
    await open_store("", file).close()


async def test_a_dry_run_changes_nothing(file: Path, dsn: str) -> None:
    assert moving.move(file, dsn, dry_run=True) > 20
    with psycopg.connect(dsn) as opened:
        assert opened.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    await open_store("", file).close()


def dies_before(table: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real: Callable[..., Any] = getattr(moving, name)

    def step(source: Connection, target: Connection, at: Table, *more: Any) -> Any:
        if at.name == table:
            raise KeyboardInterrupt
        return real(source, target, at, *more)

    monkeypatch.setattr(moving, name, step)


@pytest.mark.parametrize(("table", "name"), [("vm", "_copy"), ("audit", "_copy"), ("task", "_compare")])
async def test_one_that_is_stopped_has_moved_nothing(
    file: Path, dsn: str, monkeypatch: pytest.MonkeyPatch, table: str, name: str
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        dies_before(table, patch, name)
        moving.move(file, dsn)
    await open_store("", file).close()
    assert not any(about(dsn, file).rows.values())
    moving.move(file, dsn)


async def test_a_row_that_is_not_what_it_was_moves_nothing(
    file: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = moving._copy

    def copies(source: Connection, target: Connection, table: Table, steps: Any) -> None:
        real(source, target, table, steps)
        if table.name == "host":
            target.exec_driver_sql("UPDATE host SET draining = NOT draining WHERE name = 'kvm2'")

    monkeypatch.setattr(moving, "_copy", copies)
    with pytest.raises(RegistryUnusable, match=r"row \['kvm2'\] of host"):
        moving.move(file, dsn)
    await open_store("", file).close()
    assert not any(about(dsn, file).rows.values())


async def test_where_only_the_mark_was_written_it_is_done_again(file: Path, dsn: str) -> None:
    """As when the server dies in the commit: the file is marked, and the database is empty."""
    with closing(sqlite3.connect(file)) as opened, opened:
        opened.execute("INSERT INTO setting VALUES (?, ?)", ("registry/moved-to", postgres.Server(dsn).name))
    with pytest.raises(RegistryUnusable, match="was moved"):
        open_store("", file)
    moving.move(file, dsn)
    await open_store(dsn, file).close()


async def test_one_that_went_elsewhere_does_not_go_twice(file: Path, dsn: str, postgres_server: Postgres) -> None:
    moving.move(file, dsn)
    other = postgres_server.create("other")
    with pytest.raises(Refused, match="was moved to"):
        moving.move(file, other)
    postgres_server.drop("other")


def test_without_a_file_there_is_nothing_to_move(tmp_path: Path, dsn: str) -> None:
    with pytest.raises(RegistryUnusable, match="there is no registry"):
        moving.move(tmp_path / "none.db", dsn)
