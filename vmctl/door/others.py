"""What only another controller has in its memory, asked of it: all that a guest has told, whose port it reads."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from vmctl.guests import Guests
from vmctl.guests.details import GuestDetails, details
from vmctl.model.watching import HostWatch
from vmctl.services import Services

log = logging.getLogger("vmctl.door")
Ask = Callable[[str, Collection[str]], Awaitable[dict[str, dict[str, Any]]]]  # a life, VMs' UUIDs


async def _nobody(_life: str, _vms: Collection[str]) -> dict[str, dict[str, Any]]:
    return {}


class Others:
    """The other controllers. Whoever does not answer soon is done without."""

    def __init__(self) -> None:
        self.ask: Ask = _nobody  # set by whoever knows the way to them

    async def guests(self, services: Services, vms: Collection[str]) -> dict[str, GuestDetails]:
        """What guests have told, by their VMs' UUIDs; those are left out of which nobody says anything."""
        found, hosts = here(services, vms), services.guests.told_by()
        elsewhere = defaultdict(list)
        if hosts.keys() & set(vms):
            lives = {one.host: one.life for one in await services.store.all(HostWatch)}
            for vm in hosts.keys() & set(vms) - found.keys():
                elsewhere[lives.get(hosts[vm], "")].append(vm)
        asked = [self.ask(life, some) for life, some in elsewhere.items() if life]
        for answer in await asyncio.gather(*asked):
            for vm, told in answer.items():
                try:
                    found[vm] = GuestDetails(**told)
                except TypeError:
                    log.warning("what another controller tells of guest %s cannot be read", vm)
        return found


def here(services: Services, vms: Collection[str]) -> dict[str, GuestDetails]:
    """What those have told whose ports are read here."""
    guests: Guests = services.guests
    followers = {vm: guests.followers[vm] for vm in vms if vm in guests.followers}
    return {vm: details(one, services.incarnations.left_out(vm)) for vm, one in followers.items()}
