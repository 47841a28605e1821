"""Commands that ask the registry itself, and no controller."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from vmctl.local import config, paths

if TYPE_CHECKING:
    from vmctl.store.sql import SqlStore

T = TypeVar("T")


def asked(work: Callable[[SqlStore], Coroutine[Any, Any, T]], dsn: str | None = None) -> T:
    """What `work` gives, on the registry of the settings or in the database of a DSN. Raises RegistryUnusable."""
    import asyncio

    from vmctl.store.opening import open_as_it_is

    async def ask() -> T:
        store = open_as_it_is(config.load().database if dsn is None else dsn, paths.registry_path())
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(ask())
