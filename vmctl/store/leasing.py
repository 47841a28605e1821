"""A lease waits for a registry that takes nothing, and is known again where its answer was lost: for every store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from vmctl.model.records import Event, VMRecord
from vmctl.model.vms import PowerState
from vmctl.store import rules
from vmctl.store.patience import Patient


class Leasing(Patient):
    """A store whose `_lease` writes one, in a transaction."""

    find: Callable[..., Awaitable[Any]]
    _lease: Callable[..., Awaitable[VMRecord]]

    async def lease(
        self,
        vm: VMRecord,
        host: str,
        power: PowerState,
        *,
        gone: Collection[str] = (),
        also: Collection[str] = (),
        told: Collection[Event] = (),
        **more: Any,
    ) -> VMRecord:
        """What it promises is in `vmctl.ports.store`."""
        return await self.patiently(
            lambda: self._lease(vm, host, power, gone=gone, also=also, told=told, **more),
            lambda: self._leased(vm, host, power, more),
        )

    async def _leased(self, vm: VMRecord, host: str, power: PowerState, more: dict[str, Any]) -> VMRecord | None:
        """The VM with its lease, where that was written already and the answer was lost."""
        found = await self.find(VMRecord, vm.uuid)
        return found if rules.is_leased(found, vm, host, power, more) else None
