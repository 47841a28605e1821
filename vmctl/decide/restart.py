"""When is a VM started again that its host's reboot ended? At once, then with a growing rest, and not for ever."""

from __future__ import annotations

from collections.abc import Sequence

RESTS_S = (0.0, 60.0, 300.0)  # before the first, second, third start again
WINDOW_S = 3600.0


def wait_s(started_s_ago: Sequence[float]) -> float | None:
    """Seconds until the next start; None: no more, a human must look. `started_s_ago`: earlier ones, newest first.

    One that lies in the future says nothing: the clock was set back since.
    """
    recent = [ago for ago in started_s_ago if 0 <= ago < WINDOW_S]
    if len(recent) >= len(RESTS_S):
        return None
    return max(0.0, RESTS_S[len(recent)] - recent[0]) if recent else 0.0
