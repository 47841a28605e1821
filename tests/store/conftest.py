"""One set of tests for every store: each promises the same, and what it promises is in `vmctl.ports.store`."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from vmctl.ports.store import Store
from vmctl.store.memory import MemoryStore
from vmctl.store.sql import SqlStore

New = Callable[[], Store]


@pytest.fixture(params=["sqlite", "memory"])
async def new(request: pytest.FixtureRequest, tmp_path: Path, empty_registry: Path) -> AsyncIterator[New]:
    """Makes empty stores."""
    made: list[Store] = []

    def make() -> Store:
        if request.param == "memory":
            made.append(MemoryStore())
        else:
            made.append(SqlStore(Path(shutil.copy(empty_registry, tmp_path / f"{len(made)}.db"))))
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest.fixture
def registry(new: New) -> Store:
    """An empty store."""
    return new()
