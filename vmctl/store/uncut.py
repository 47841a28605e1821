"""Transactions that end by themselves, whoever stops waiting for them.

A caller that is cancelled in the middle of one (a task of a controller that closes, a client that went away) would
leave its connection between two answers of the driver: its rollback is then cut as well, and the lock that it holds
stays until somebody collects the connection. For as long every other write waits. Seen with SQLAlchemy 2.1.9 and
aiosqlite 0.22.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

Done = TypeVar("Done")
Kind = TypeVar("Kind", bound=type[Any])


async def uncut(work: Coroutine[Any, Any, Done]) -> Done:
    """What the work gives. Cancelled meanwhile, it waits for the work's end before it raises CancelledError."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue  # asked for twice: it comes at the end all the same
        task.cancelled() or task.exception()  # looked at, so that asyncio does not call it forgotten
        raise


def each_uncut(*waits: str) -> Callable[[Kind], Kind]:
    """Class decorator: every coroutine method is carried to its end, but those that wait for better times."""

    def decorate(cls: Kind) -> Kind:
        for name, method in list(vars(cls).items()):
            if inspect.iscoroutinefunction(method) and name not in waits:
                setattr(cls, name, _wrapped(method))
        return cls

    return decorate


def _wrapped(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def call(*args: Any, **more: Any) -> Any:
        return await uncut(method(*args, **more))

    return call
