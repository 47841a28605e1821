"""Who waits for the registry may be cancelled at any moment: its transaction ends by itself, and holds nothing up."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from vmctl.model.records import ClusterValue, Task
from vmctl.store.sql import SqlStore

ROUNDS = 150


@pytest.fixture
def store(tmp_path: Path, empty_registry: Path) -> SqlStore:
    return SqlStore(Path(shutil.copy(empty_registry, tmp_path / "registry.db")))


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


async def test_it_is_written_whole_though_nobody_waits_for_it_any_more(store: SqlStore) -> None:
    """As with a reply that was lost: who cancelled it does not know, and the next look tells."""
    write = asyncio.create_task(store.put(ClusterValue("key", "x")))
    await asyncio.sleep(0)
    began = time.monotonic()
    write.cancel()
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    assert time.monotonic() - began < 5
    assert await store.find(ClusterValue, "key") == ClusterValue("key", "x")
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
