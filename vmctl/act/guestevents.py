"""What guests' agents tell by themselves, kept as events: bounded, whatever a guest sends."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from vmctl.guests import Follower
from vmctl.model.records import VMRecord
from vmctl.services import Services
from vmctl.services.walls import wall

log = logging.getLogger("vmctl.health")
EVENTS_IN, EVENTS_WINDOW_S = 30, 600.0  # that one guest may have told
LOOP_LIVES, LOOP_WINDOW_S = 4, 600.0  # so many ends of one service in this time are a crash loop
MOST_UNITS = 64


@dataclass(slots=True)
class _Told:
    """What one guest has told lately. Times are monotonic."""

    at: deque[float] = field(default_factory=lambda: deque(maxlen=EVENTS_IN))
    ends: dict[str, deque[float]] = field(default_factory=dict)  # service -> when it ended


class GuestEvents:
    """Of the guests whose ports are read here. `look` every second."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._told: dict[str, _Told] = {}

    async def look(self) -> None:
        """Read the ports of what runs, and keep what its agents tell."""
        services = self._services
        if services.settings.read_guests:
            await services.guests.look()
        followers = services.guests.followers
        self._told = {uuid: told for uuid, told in self._told.items() if uuid in followers}
        for uuid, follower in list(followers.items()):
            if follower.guest.events and (vm := await services.store.find(VMRecord, uuid)) is not None:
                with wall(log, f"what the guest of {vm.name} tells"):
                    await self._tell(vm, follower, self._told.setdefault(uuid, _Told()))

    async def _tell(self, vm: VMRecord, follower: Follower, told: _Told) -> None:
        events, now = follower.guest.events, self._services.clock.monotonic()
        while events:
            event = events.popleft()
            if len(told.at) == EVENTS_IN and now - told.at[0] < EVENTS_WINDOW_S:
                continue  # it tells too much: what counts is in its health
            told.at.append(now)
            await self._services.record_event(event["what"], vm, f"{vm.name}: {_sentence(event)}")
            if event["what"] in ("exited", "restarted by itself"):
                await self._count_end(vm, told, str(event.get("unit") or event["watch"]), now)

    async def _count_end(self, vm: VMRecord, told: _Told, service: str, now: float) -> None:
        if service not in told.ends and len(told.ends) >= MOST_UNITS:
            # The oldest one goes. Names come from the guest, and must not fill the controller's memory.
            told.ends.pop(next(iter(told.ends)))
        ends = told.ends.setdefault(service, deque(maxlen=LOOP_LIVES))
        ends.append(now)
        if len(ends) == LOOP_LIVES and now - ends[0] <= LOOP_WINDOW_S:
            minutes = max(1, round((now - ends[0]) / 60))
            # Counted anew, or each further end would be told as a loop again.
            ends.clear()
            await self._services.record_event(
                "crash loop", vm, f"{vm.name}: {service} ended {LOOP_LIVES} times in {minutes} min"
            )


def _sentence(event: dict[str, Any]) -> str:
    about = event.get("unit") or event["watch"]
    process = f" (process {event['pid']})" if event.get("pid") else ""
    why = f": {event['why']}" if event.get("why") else ""
    return f"{about} {event['what']}{process}{why}"
