"""What stays open ends with the token that opened it: within a second, and with the reason."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from vmctl.errors import NotLoggedIn, TooManyRequests
from vmctl.model.rights import Principal
from vmctl.services.known import Known

Done = TypeVar("Done")
Item = TypeVar("Item")
LOOK_S = 0.5
MOST_OPEN = 10
WHY = "the token that opened it opens nothing any more"


def _holds(known: Known, who: Principal) -> bool:
    return not who.token or known.holds(who.token)


class Few:
    """What each may have open at once, so that nobody takes all that there is."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._open: Counter[str] = Counter()

    def take(self, who: Principal) -> Place:
        """A place, for as long as anybody holds it. Raises TooManyRequests."""
        if self._open[who.name] >= MOST_OPEN:
            raise TooManyRequests(f"{who.name} has {MOST_OPEN} {self._what} open", hint="close one of them")
        return Place(self._open, who.name)


class Place:
    """One of the few. It is free when nobody holds it any more: also where its stream was never begun."""

    def __init__(self, open_: Counter[str], name: str) -> None:
        open_[name] += 1
        weakref.finalize(self, open_.subtract, (name,))

    async def holding(self, items: AsyncGenerator[Item]) -> AsyncIterator[Item]:
        """The same items; the place is held until they end."""
        async with aclosing(items):
            async for item in items:
                yield item


async def until(known: Known, who: Principal, work: Coroutine[Any, Any, Done]) -> Done | None:
    """What `work` gives; None where it was ended as its token was."""
    running = asyncio.ensure_future(work)
    try:
        while not running.done():
            await asyncio.wait({running}, timeout=LOOK_S)
            if not running.done() and not _holds(known, who):
                return None
        return running.result()
    finally:
        running.cancel()


async def stream(known: Known, who: Principal, items: AsyncIterator[Item]) -> AsyncIterator[Item]:
    """The same items. Raises NotLoggedIn once the token has ended."""
    try:
        while (item := await _next(known, who, items)) is not None:
            yield item
    finally:
        if isinstance(items, AsyncGenerator):  # whatever follows for it ends with it
            await items.aclose()


async def _next(known: Known, who: Principal, items: AsyncIterator[Item]) -> Item | None:
    following = asyncio.ensure_future(anext(items, None))
    try:
        while not following.done():
            await asyncio.wait({following}, timeout=LOOK_S)
            if not _holds(known, who):
                raise NotLoggedIn(WHY)
        return following.result()
    finally:
        following.cancel()
        while not following.done():  # who is gone is told so again and again, and its stream can only be closed then
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({following})
