"""Who is known, as the registry has it."""

from __future__ import annotations

import asyncio

from vmctl.model.access import Access, Project
from vmctl.ports import SYSTEM
from vmctl.ports.store import Store
from vmctl.services.known import Known


class _Held:
    """A registry whose first reading is told late; everything else is the real one's."""

    def __init__(self, store: Store) -> None:
        self._store, self._readings = store, 0
        self.read, self.go_on = asyncio.Event(), asyncio.Event()

    async def access(self) -> Access:
        found = await self._store.access()
        self._readings += 1
        if self._readings == 1:
            self.read.set()
            await self.go_on.wait()
        return found


async def test_what_was_read_earlier_brings_nothing_back(registry: Store) -> None:
    """A token that was revoked opened the API again, where another change was read at the same time."""
    held = _Held(registry)
    known = Known(held, SYSTEM, 20.0)  # type: ignore[arg-type]
    earlier = asyncio.create_task(known.refresh())
    await held.read.wait()
    await registry.insert(Project("blue", 1.0))
    later = asyncio.create_task(known.refresh())
    await asyncio.sleep(0.1)
    held.go_on.set()
    await asyncio.gather(earlier, later)
    assert "blue" in known.access.projects
