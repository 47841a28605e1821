"""The past of one thing's load. Pure: points in, means out; the caller gives the time.

At full rate for 15 minutes in memory; beyond that as means over 1 and 10 minutes, which are handed out as values
when their time is over, to be kept by whoever keeps things. Bounded: a point more drops the oldest.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping

from vmctl.model.records import LoadMean

FULL_RATE_S = 15 * 60.0
MOST_POINTS = 2000  # what one subject may cost, however fast points come
PERIODS_S = MINUTE_S, TENS_S = 60, 600


class History:
    """The history of one subject ("host/kvm1", "vm/UUID").

    Times are the caller's UTC seconds. When that clock is set back, points are taken again only after it has passed
    the newest one, so that no period is told twice.

    There may be many thousands, each with many points: these are rows of one array, the time first, then the values in
    the order in which they were first named. A minute is summed up when it is over, ten minutes from its minutes.
    """

    __slots__ = ("_at", "_finished", "_minute", "_names", "_rows", "_since", "_tens", "_tens_at", "subject")

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._names: tuple[str, ...] = ()
        self._rows = array("d")
        self._at = -math.inf  # of the newest point
        self._minute = -math.inf  # when the minute under way began
        self._since = 0  # points in it
        self._tens_at: float = -math.inf
        self._tens: dict[str, tuple[float, int]] = {}  # of its minutes that are over: per value the sum, and how many
        self._finished: list[LoadMean] = []

    def add(self, at: float, values: Mapping[str, float]) -> None:
        """Take a point. Values that are not known are left out, not given as zero."""
        if at <= self._at:
            return
        if at >= self._minute + MINUTE_S:
            self._end_minute()
            self._minute = at // MINUTE_S * MINUTE_S
            if at >= self._tens_at + TENS_S:
                self._end_tens()
                self._tens_at = at // TENS_S * TENS_S
        if tuple(values) != self._names:
            values = self._ordered(values)
        self._at, self._since, rows = at, self._since + 1, self._rows
        rows.append(at)
        rows.extend(values.values())
        width = 1 + len(values)
        while rows[0] < at - FULL_RATE_S or len(rows) > MOST_POINTS * width:
            del rows[:width]

    def _ordered(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """The same values in our order; what is not known is none. More names may be known from now on."""
        new = [name for name in values if name not in self._names]
        if new:
            old, width, self._rows = self._rows, 1 + len(self._names), array("d")
            for first in range(0, len(old), width):
                self._rows.extend((*old[first : first + width], *(math.nan for _ in new)))
            self._names = (*self._names, *new)
        return {name: values.get(name, math.nan) for name in self._names}

    def points(self, since: float = 0.0) -> Iterator[tuple[float, Mapping[str, float]]]:
        """The points in memory from `since` on, oldest first."""
        width = 1 + len(self._names)
        for first in range(0, len(self._rows), width):
            at, *row = self._rows[first : first + width]
            if at >= since:
                yield at, {name: value for name, value in zip(self._names, row, strict=True) if not math.isnan(value)}

    def minute_means(self) -> list[LoadMean]:
        """The periods of 1 and 10 minutes that were finished since the last call, oldest first. Each is told once."""
        found, self._finished = self._finished, []
        return found

    def close(self) -> list[LoadMean]:
        """The periods still open, told as they are: for the end of a subject or of the controller."""
        self._end_minute()
        self._end_tens()
        return self.minute_means()

    def _end_minute(self) -> None:
        width, means = 1 + len(self._names), {}
        rows = self._rows[-self._since * width :] if self._since else array("d")
        for place, name in enumerate(self._names, start=1):
            known = [value for value in rows[place::width] if not math.isnan(value)]
            if known:
                total, count = self._tens.get(name, (0.0, 0))
                self._tens[name] = total + sum(known), count + len(known)
                means[name] = sum(known) / len(known)
        self._finish(MINUTE_S, self._minute, means)
        self._since = 0

    def _end_tens(self) -> None:
        self._finish(TENS_S, self._tens_at, {name: total / count for name, (total, count) in self._tens.items()})
        self._tens = {}

    def _finish(self, period_s: int, at: float, means: dict[str, float]) -> None:
        if means:
            self._finished.append(LoadMean(self.subject, period_s, at, means))
            del self._finished[:-MOST_POINTS]
