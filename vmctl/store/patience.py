"""Waiting for a registry that takes nothing, and saying so meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from vmctl.errors import RegistryUnusable
from vmctl.ports import Clock

Done = TypeVar("Done")
PATIENCE_S, TRY_AGAIN_S = 120.0, 1.0


class Patient:
    """`trouble` says why the registry takes nothing just now, while somebody waits for it; empty: it does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.trouble = ""

    async def patiently(
        self, write: Callable[[], Awaitable[Done]], written: Callable[[], Awaitable[Done | None]] | None = None
    ) -> Done:
        """Write; try again for a while where the registry takes nothing: its disk is full, or somebody holds it.

        `written` is asked before each further try: what an earlier one wrote whose answer was lost; None: nothing. What
        may be written twice needs none.
        """
        deadline, tried = self._clock.monotonic() + PATIENCE_S, False
        while True:
            try:
                earlier = await written() if tried and written is not None else None
                done = await write() if earlier is None else earlier
                self.trouble = ""
                return done
            except RegistryUnusable as err:
                self.trouble, tried = err.message, True
                if self._clock.monotonic() > deadline:
                    raise
                await asyncio.sleep(TRY_AGAIN_S)
