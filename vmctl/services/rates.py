"""How often somebody may ask: a token bucket for each of them. No I/O and no clock: the caller gives the time."""

from __future__ import annotations

BURST_S = 5.0  # of what one may ask at once, after a rest


class Rates:
    """So many requests a second for each name. Times are monotonic seconds."""

    def __init__(self, per_s: float) -> None:
        self._per_s, self._most = per_s, per_s * BURST_S
        self._left: dict[str, tuple[float, float]] = {}  # name -> requests that are left, and when

    def take(self, name: str, now: float) -> float:
        """Count one; for how many seconds it must wait instead: 0, and it may."""
        left, at = self._left.get(name, (self._most, now))
        left = min(self._most, left + max(0.0, now - at) * self._per_s)
        wait_s = max(0.0, (1.0 - left) / self._per_s)
        self._left[name] = (left if wait_s else left - 1.0), now
        return wait_s

    def forget(self, names: set[str]) -> None:
        """Keep these alone."""
        self._left = {name: kept for name, kept in self._left.items() if name in names}
