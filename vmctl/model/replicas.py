"""A controller's life in the registry: what other controllers, and people, can tell of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replica:
    """One run of a controller.

    `life` (a UUID) is drawn anew at each start, so that one that restarts within seconds is another one. `home` names
    the folder and the machine that it runs from, of which a lock there makes sure that it runs once.
    """

    life: str
    name: str
    home: str
    version: str
    started_at: float
    beat: int = 0  # counts; whoever sees it stand still for long knows that it is dead, frozen or cut off
    beat_at: float = 0.0  # UTC seconds, by the registry's clock: for people, nothing is decided by it
    ended_at: float | None = None
    why: str = ""  # it has ended
