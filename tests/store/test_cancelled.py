"""Who waits for the registry may be cancelled at any moment: its transaction ends by itself, and holds nothing up."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from vmctl.errors import RegistryUnusable
from vmctl.model.records import ClusterValue, Task
from vmctl.store import sqlite
from vmctl.store.sql import SqlStore
from vmctl.store.sqlite import SqliteDatabase

ROUNDS = 150


@pytest.fixture
def store(tmp_path: Path, empty_registry: Path) -> SqlStore:
    return SqlStore(SqliteDatabase(Path(shutil.copy(empty_registry, tmp_path / "registry.db"))))


@pytest.mark.parametrize("waited_for", [True, False])
async def test_what_was_cancelled_holds_no_lock(
    store: SqlStore, caplog: pytest.LogCaptureFixture, waited_for: bool
) -> None:
    draw = random.Random(waited_for)
    every: list[asyncio.Task[Any]] = []
    for number in range(ROUNDS):
        writes: list[asyncio.Task[Any]] = [
            asyncio.create_task(store.put(ClusterValue(f"{number}/{key}", "x"))) for key in range(3)
        ]
        writes.append(asyncio.create_task(store.add(Task(0, "drain", "kvm1", 1.0))))
        await asyncio.sleep(draw.random() * 0.01)
        every += writes
        for write in writes:
            write.cancel()
        if waited_for:
            await asyncio.wait(writes, timeout=5)
            assert all(write.done() for write in writes), number
        await asyncio.wait_for(store.put(ClusterValue("after", str(number))), 5)
    await asyncio.wait(every, timeout=5)
    assert all(write.done() for write in every)
    assert [record.message for record in caplog.records if record.name.startswith("sqlalchemy")] == []
    await store.close()


async def test_it_is_written_whole_or_not_begun_though_nobody_waits_for_it_any_more(store: SqlStore) -> None:
    """As with a reply that was lost: who cancelled it does not know, and a look after the next write tells."""
    found: set[ClusterValue | None] = set()
    for number in range(50):
        before = [asyncio.create_task(store.put(ClusterValue("other", str(n)))) for n in range(number % 3)]
        write = asyncio.create_task(store.put(ClusterValue("key", "x")))
        await asyncio.sleep(0)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        await store.put(ClusterValue("after", "x"))
        found.add(await store.find(ClusterValue, "key"))
        await store.remove(ClusterValue, "key")
        await asyncio.gather(*before)
    assert found == {None, ClusterValue("key", "x")}
    await store.close()


async def test_who_waits_in_the_queue_does_not_wait_anew_where_somebody_holds_the_file(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(ClusterValue("0", "x"))
    monkeypatch.setattr(sqlite, "HELD_S", 1.0)
    with contextlib.closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        writes = [store.put(ClusterValue(f"{n}", "x")) for n in range(10)]
        said = await asyncio.gather(*writes, return_exceptions=True)
        assert all(isinstance(one, RegistryUnusable) for one in said), said
        assert time.monotonic() - began < 4
        assert await store.all(ClusterValue) == [ClusterValue("0", "x")], "who reads waits for nobody"
        other.execute("ROLLBACK")
    await store.put(ClusterValue("0", "x"))
    await store.close()


async def test_an_error_of_what_nobody_waits_for_is_no_error_of_anybody(
    store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.insert(ClusterValue("key", "x"))
    again = asyncio.create_task(store.insert(ClusterValue("key", "y")))
    await asyncio.sleep(0)
    again.cancel()
    with pytest.raises(asyncio.CancelledError):
        await again
    assert not caplog.records
    await store.close()
