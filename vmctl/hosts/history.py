"""The past of one thing's load. Pure: points in, means out; the caller gives the time.

At full rate for 15 minutes in memory; beyond that as means over 1 and 10 minutes, which are handed out as values
when their time is over, to be kept by whoever keeps things. Bounded: a point more drops the oldest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vmctl.model.records import LoadMean

FULL_RATE_S = 15 * 60.0
MOST_POINTS = 2000  # what one subject may cost, however fast points come
PERIODS_S = (60, 600)


@dataclass(slots=True)
class _Bucket:
    """A period under way: per value its sum and how many there were."""

    at: float
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)


class History:
    """The history of one subject ("host/kvm1", "vm/UUID").

    Times are the caller's UTC seconds. When that clock is set back, points are taken again only after it has passed
    the newest one, so that no period is told twice.
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._points: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=MOST_POINTS)
        self._buckets: dict[int, _Bucket] = {}
        self._finished: deque[LoadMean] = deque(maxlen=MOST_POINTS)

    def add(self, at: float, values: Mapping[str, float]) -> None:
        """Take a point. Values that are not known are left out, not given as zero."""
        if self._points and at <= self._points[-1][0]:
            return
        self._points.append((at, values))
        while self._points[0][0] < at - FULL_RATE_S:
            self._points.popleft()
        for period_s in PERIODS_S:
            start = at // period_s * period_s
            bucket = self._buckets.get(period_s)
            if bucket is None or bucket.at < start:
                self._finish(period_s)
                bucket = self._buckets[period_s] = _Bucket(start)
            bucket.add(values)

    def points(self, since: float = 0.0) -> Iterator[tuple[float, Mapping[str, float]]]:
        """The points in memory from `since` on, oldest first."""
        return (point for point in self._points if point[0] >= since)

    def minute_means(self) -> list[LoadMean]:
        """The periods of 1 and 10 minutes that were finished since the last call, oldest first. Each is told once."""
        found = list(self._finished)
        self._finished.clear()
        return found

    def close(self) -> list[LoadMean]:
        """The periods still open, told as they are: for the end of a subject or of the controller."""
        for period_s in PERIODS_S:
            self._finish(period_s)
        return self.minute_means()

    def _finish(self, period_s: int) -> None:
        bucket = self._buckets.pop(period_s, None)
        if bucket is not None and bucket.sums:
            means = {name: total / count for name, (total, count) in bucket.sums.items()}
            self._finished.append(LoadMean(self.subject, period_s, bucket.at, means))
