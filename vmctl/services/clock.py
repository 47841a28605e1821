"""The registry's clock, as each controller that shares it knows it: what they write has one time.

Between two of its answers this machine's monotonic clock counts on, so that its own date is never looked at: one that
is wrong by a day would otherwise write, and take away, by that date.
"""

from __future__ import annotations

import logging

from vmctl.ports import Clock

log = logging.getLogger("vmctl.services.clock")
EXACT_S = 0.1  # an answer that is less certain is held against what is known
TOLD_FROM_S = 5.0  # a difference that an admin should hear of


class RegistryClock:
    """Before the first answer it is this machine's clock."""

    def __init__(self, own: Clock) -> None:
        self._own = own
        self._ahead_s: float | None = None  # of the monotonic clock
        self._told = False

    def now(self) -> float:
        """UTC seconds, by the registry's clock."""
        return self._own.now() if self._ahead_s is None else self._own.monotonic() + self._ahead_s

    def monotonic(self) -> float:
        """As this machine's."""
        return self._own.monotonic()

    def hear(self, at: float, asked: float, answered: float) -> None:
        """The registry's clock showed `at` at some moment between the two of this machine's monotonic one.

        An answer that took long is as uncertain: one that fits to what was known changes nothing.
        """
        ahead_s, uncertain_s = at - (asked + answered) / 2, (answered - asked) / 2
        if self._ahead_s is not None and uncertain_s > EXACT_S and abs(ahead_s - self._ahead_s) <= uncertain_s:
            return
        self._ahead_s = ahead_s
        wrong_s = self._own.now() - self.now()
        if (abs(wrong_s) > TOLD_FROM_S) != self._told:
            self._told = not self._told
            log.warning("this machine's clock is %+.0f s off the registry's, which is gone by", wrong_s)
