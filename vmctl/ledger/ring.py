"""The last ten minutes of one process' use, packed. Pure.

A point is taken every 30 s at most, and only when something has changed since the one before: its values hold until
the next. So an idle process costs one point and a busy one twenty. In memory a point carries the caller's monotonic
seconds; stored, its age in seconds before the process was last seen.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

WINDOW_S = 600
SAMPLE_EVERY_S = 30.0
MOST_CORES, MOST_KIB = 655.0, (1 << 32) - 1
_POINT = struct.Struct("<IHI")  # monotonic seconds, hundredths of a core, KiB
_STORED = struct.Struct("<HHI")  # age in seconds, hundredths of a core, KiB


class Sample(NamedTuple):
    """What a process used `age_s` seconds before it was last seen, and from then on until the next sample."""

    age_s: int
    cpu: float
    rss_kib: int


def add(ring: bytes, monotonic: float, cpu: float, rss_kib: int) -> bytes:
    """The ring with one more point; what is older than the window goes, but for the point that leads into it."""
    begin = int(monotonic) - WINDOW_S
    while len(ring) > _POINT.size and _POINT.unpack_from(ring, _POINT.size)[0] <= begin:
        ring = ring[_POINT.size :]
    return ring + _POINT.pack(int(monotonic), round(min(cpu, MOST_CORES) * 100), min(rss_kib, MOST_KIB))


def pack(ring: bytes, monotonic: float, cpu: float, rss_kib: int) -> bytes:
    """The ring as it is stored, seen from `monotonic`; it ends with the last known values."""
    ring = add(ring, monotonic, cpu, rss_kib)
    points = list(_POINT.iter_unpack(ring))
    if len(points) > 1 and points[-1][1:] == points[-2][1:]:
        points.pop()
    age = int(monotonic)
    return b"".join(_STORED.pack(min(max(0, age - at), WINDOW_S), cores, kib) for at, cores, kib in points)


def unpack(samples: bytes, monotonic: float) -> bytes:
    """A ring from its stored form; it was last seen at `monotonic`."""
    whole = len(samples) - len(samples) % _STORED.size
    points = _STORED.iter_unpack(samples[:whole])
    return b"".join(_POINT.pack(max(0, int(monotonic) - age), cores, kib) for age, cores, kib in points)


def read_samples(samples: bytes) -> list[Sample]:
    """The stored samples, oldest first."""
    whole = len(samples) - len(samples) % _STORED.size
    return [Sample(age, cores / 100, kib) for age, cores, kib in _STORED.iter_unpack(samples[:whole])]
