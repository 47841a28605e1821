"""All that a guest has told of itself, as it is shown to people. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vmctl.guests.followers import Follower

NOBODY_TELLS = "whoever reads its port says nothing of it just now: ask again in some seconds"


@dataclass(frozen=True, slots=True)
class GuestDetails:
    """One guest whose port is read."""

    port: str = ""  # why nothing can be heard, or nothing is told of it
    agent: dict[str, Any] = field(default_factory=dict)
    os: dict[str, Any] = field(default_factory=dict)
    watches: list[Any] = field(default_factory=list)
    services: list[Any] = field(default_factory=list)
    processes: int | None = None  # None is not known
    left_out: int = 0
    refused: dict[str, Any] = field(default_factory=lambda: {"times": 0, "why": ""})


def details(follower: Follower, left_out: int) -> GuestDetails:
    """What is known of it; `left_out`: processes that the ledger does not keep."""
    guest = follower.guest
    return GuestDetails(
        port=follower.port,
        agent=guest.hello,
        os=dict(guest.picture.os),
        watches=list(guest.picture.watches.values()),
        services=sorted((guest.picture.services or {}).values(), key=lambda s: str(s["unit"])),
        processes=len(guest.picture.processes),
        left_out=guest.hidden + left_out,
        refused={"times": guest.refusals, "why": guest.refused},
    )
