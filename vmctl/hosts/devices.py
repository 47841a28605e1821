"""What share of its disks and of its link a host uses, and each VM's part of it. Pure: two samples in, shares out.

A host is as busy as its busiest disk, and as its busiest link. What cannot be told (no disk of its own, a link whose
speed nobody knows, a counter that ran backwards) is None, and no share is made up for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from vmctl.hosts.facts import Interface, RawSample

BYTES_PER_MBIT = 1e6 / 8
NetDevices = Mapping[str, Collection[str]]  # VM's UUID -> its network devices, as its host calls them
UPLINKS = ("bond", "device")  # kinds of interfaces that lead out; a bond counts for the devices in it


class Disk(NamedTuple):
    """The busiest disk: the share of time in which it was, and the bytes per second that crossed it."""

    share: float
    bytes_s: float


class Link(NamedTuple):
    """The busiest link: the share of its speed in use, in or out, whichever is more; its speed in bytes per second."""

    share: float
    speed: float


def busiest_disk(before: RawSample, after: RawSample) -> Disk | None:
    """The disk that was busy for the longest time between two samples."""
    elapsed = after.uptime_s - before.uptime_s
    found = [
        Disk(min(1.0, (new.busy_ms - old.busy_ms) / 1000 / elapsed), (new.moved_bytes - old.moved_bytes) / elapsed)
        for name, new in after.disks.items()
        if (old := before.disks.get(name)) and new.busy_ms >= old.busy_ms and new.moved_bytes >= old.moved_bytes
    ]
    return max(found, default=None)


def busiest_link(before: RawSample, after: RawSample) -> Link | None:
    """The link of which the largest share was in use between two samples."""
    found = []
    for name, interface in uplinks(after.interfaces).items():
        used = bytes_s(before, after, (name,))
        if used is not None and interface.mbit:
            speed = interface.mbit * BYTES_PER_MBIT
            found.append(Link(min(1.0, max(used) / speed), speed))
    return max(found, default=None)


def uplinks(interfaces: Mapping[str, Interface]) -> dict[str, Interface]:
    """The interfaces that lead out of the host: its devices; where it has none, what its bridges hang on."""
    own = {name: each for name, each in interfaces.items() if each.kind in UPLINKS}
    return own or {name: each for name, each in interfaces.items() if each.kind == "port"}


def bytes_s(before: RawSample, after: RawSample, names: Collection[str]) -> tuple[float, float] | None:
    """(received, sent) bytes per second between two samples, of all these interfaces; None unless all are known."""
    received = sent = 0
    for name in names:
        old, new = before.interfaces.get(name), after.interfaces.get(name)
        if old is None or new is None or new[0] < old[0] or new[1] < old[1]:
            return None
        received, sent = received + new[0] - old[0], sent + new[1] - old[1]
    elapsed = after.uptime_s - before.uptime_s
    return (received / elapsed, sent / elapsed) if names else None


def disk_parts(bytes_s_of: Mapping[str, float], disk: Disk | None) -> dict[str, float]:
    """Each VM's part of the share of the busiest disk, as its bytes are a part of what crossed it.

    VMs may move more than that disk did (other disks, or a storage elsewhere): then of what they moved together.
    """
    whole = max(disk.bytes_s if disk else 0.0, sum(bytes_s_of.values()))
    return {key: disk.share * each / whole if disk and whole else 0.0 for key, each in bytes_s_of.items()}


def link_part(before: RawSample, after: RawSample, net_devices: Collection[str], link: Link | None) -> float:
    """What a VM's network devices had of the link's speed, in or out, whichever is more."""
    used = bytes_s(before, after, net_devices)
    return min(1.0, max(used) / link.speed) if used and link else 0.0
