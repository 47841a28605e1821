"""A clock that somebody sets."""

from __future__ import annotations

from vmctl.ports import SYSTEM


class SetClock:
    """This machine's time, off by `by_s`."""

    def __init__(self) -> None:
        self.by_s = 0.0

    def now(self) -> float:
        return SYSTEM.clock.now() + self.by_s

    def monotonic(self) -> float:
        return SYSTEM.clock.monotonic()
