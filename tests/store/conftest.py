"""One set of tests for every store: each promises the same, and what it promises is in `vmctl.ports.store`."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.postgres import Postgres
from vmctl.ports.store import Store
from vmctl.store import postgres
from vmctl.store.memory import MemoryStore
from vmctl.store.sql import SqlStore
from vmctl.store.sqlite import SqliteDatabase

New = Callable[[], Store]


@pytest.fixture(params=["sqlite", "memory", "postgres"])
async def new(request: pytest.FixtureRequest, tmp_path: Path, empty_registry: Path) -> AsyncIterator[New]:
    """Makes empty stores."""
    made: list[Store] = []
    databases: list[str] = []

    def make() -> Store:
        if request.param == "memory":
            made.append(MemoryStore())
        elif request.param == "sqlite":
            file = Path(shutil.copy(empty_registry, tmp_path / f"{len(made)}.db"))
            made.append(SqlStore(SqliteDatabase(file)))
        else:
            server: Postgres = request.getfixturevalue("postgres_server")
            databases.append(f"test{len(made)}")
            dsn = server.create(databases[-1], "empty")
            made.append(SqlStore(postgres.PostgresDatabase(dsn)))
        return made[-1]

    yield make
    for store in made:
        await store.close()
    for name in databases:
        request.getfixturevalue("postgres_server").drop(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two thousand pairs on a server take a minute: `--fast` tries them in memory and on SQLite."""
    for item in items:
        if item.path.name == "test_pairs.py" and "[postgres" in item.name:
            item.add_marker(pytest.mark.long)


@pytest.fixture
def registry(new: New) -> Store:
    """An empty store."""
    return new()
