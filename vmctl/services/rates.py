"""How often somebody may ask: a token bucket for each of them. No I/O and no clock: the caller gives the time."""

from __future__ import annotations

BURST_S = 5.0  # of what one may ask at once, after a rest


class Rates:
    """So many requests a second for each name. Times are monotonic seconds."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left: dict[str, tuple[float, float]] = {}  # name -> requests that are left, and when

    def take(self, name: str, now: float, per_s: float | None = None) -> float:
        """Count one; for how many seconds it must wait instead: 0, and it may. `per_s`: other than that of all."""
        per_s = per_s or self._per_s
        most = max(1.0, per_s * BURST_S)
        left, at = self._left.get(name, (most, now))
        left = min(most, left + max(0.0, now - at) * per_s)
        wait_s = max(0.0, (1.0 - left) / per_s)
        self._left[name] = (left if wait_s else left - 1.0), now
        return wait_s

    def keep(self, names: set[str]) -> None:
        """Keep these alone."""
        self._left = {name: kept for name, kept in self._left.items() if name in names}
