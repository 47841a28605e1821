"""systemd's services. Asking costs tens of milliseconds, so it is done when something shows that there is news: systemd
keeps a link per running unit in a directory, whose time stamp moves with each start and stop; else once a minute."""

import os

from guest_agent import health
from guest_agent.child import Child

UNITS = "/run/systemd/units"
ASK_EVERY_S = 60.0
PAUSE_S = 1.0  # between two questions
ANSWER_WITHIN_S = 20.0
QUESTION = ["systemctl", "show", "--no-pager", "--property=" + ",".join(health.UNIT_FIELDS), "*"]


class Services:
    """`known` by unit: None until systemd has answered, and for good where there is no systemd."""

    def __init__(self, units: str = UNITS, question: "list[str] | None" = None) -> None:
        self.known: dict[str, dict[str, object]] | None = None
        self.failed: list[str] | None = None
        self._units = units
        self._question = question or QUESTION
        self._there = os.path.isdir(os.path.dirname(units))
        self._asked_at = -ASK_EVERY_S
        self._stamp = -1
        self._child: Child | None = None

    def look(self, now: float, hurry: bool = False) -> None:
        """Ask if there may be news. `hurry`: a main process is gone."""
        if not self._there or self._child is not None or now - self._asked_at < PAUSE_S:
            return
        stamp = self._time_stamp()
        if hurry or stamp != self._stamp or now - self._asked_at >= ASK_EVERY_S:
            self._stamp, self._asked_at = stamp, now
            self._child = Child(self._question, now + ANSWER_WITHIN_S)

    def fds(self) -> "list[int]":
        """What to wait for."""
        return [self._child.fd] if self._child is not None else []

    def poll(self, now: float) -> bool:
        """Take the answer; whether there is one."""
        if self._child is None or not self._child.poll(now):
            return False
        child, self._child = self._child, None
        if child.code != 0:
            return False
        units = health.units(child.text)
        self.known, self.failed = health.services(units), health.failed(units)
        return True

    def forget(self, now: float) -> None:
        """Something was done to a service: ask at the next look."""
        self._asked_at, self._stamp = now - PAUSE_S, -1

    def _time_stamp(self) -> int:
        try:
            return os.stat(self._units).st_mtime_ns
        except OSError:
            return -1
