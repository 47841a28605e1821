"""What share of its disks and of its link a host uses, and each VM's part of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hosts.test_load import BASE, later, vm
from vmctl.hosts.devices import Disk, Link, busiest_disk, busiest_link, bytes_s, disk_parts, uplinks
from vmctl.hosts.facts import DiskUse, Interface, RawSample
from vmctl.hosts.load import Smoothed

MIB = 1 << 20
GBIT = 125_000_000  # bytes per second


def interface(kind: str, mbit: int | None = 1000, received: int = 0, sent: int = 0) -> Interface:
    return Interface(received, sent, kind, mbit)


def after_10s(before: RawSample, disks: dict[str, DiskUse] | None = None, **interfaces: Interface) -> RawSample:
    return later(before, 10, 10, 10)._replace(disks=disks or {}, interfaces=interfaces)


def test_a_host_is_as_busy_as_its_busiest_disk() -> None:
    before = BASE._replace(disks={"sda": DiskUse(1000, 0), "sdb": DiskUse(0, 0), "old": DiskUse(0, 0)})
    now = {"sda": DiskUse(1500, 50 * MIB), "sdb": DiskUse(4000, 10 * MIB), "new": DiskUse(9000, 9)}
    assert busiest_disk(before, after_10s(before, now)) == Disk(0.4, MIB)
    assert busiest_disk(before, after_10s(before, {"sdb": DiskUse(11000, 0)})) == Disk(1.0, 0.0)


def test_a_disk_that_cannot_be_compared_tells_nothing() -> None:
    before = BASE._replace(disks={"sda": DiskUse(1000, 1000)})
    for now in ({}, {"sda": DiskUse(900, 2000)}, {"sda": DiskUse(2000, 900)}, {"sdb": DiskUse(2000, 2000)}):
        assert busiest_disk(before, after_10s(before, now)) is None


def test_the_links_of_a_host_are_its_devices_and_bonds() -> None:
    kinds = {"eth0": "device", "bond0": "bond", "eth1": "slave", "br0": "bridge", "veth1": "port", "vnet0": "tap"}
    found = {name: interface(kind) for name, kind in (kinds | {"bond0.5": "other", "x": "-"}).items()}
    assert set(uplinks(found)) == {"eth0", "bond0"}
    del found["eth0"], found["bond0"]
    assert set(uplinks(found)) == {"veth1"}, "a host inside another one, whose cable is no device"


def test_the_busiest_link_counts_in_the_direction_that_is_fuller() -> None:
    before = BASE._replace(interfaces={"eth0": interface("device"), "eth1": interface("device", 10_000)})
    now = after_10s(
        before, eth0=interface("device", 1000, 2 * GBIT, GBIT), eth1=interface("device", 10_000, 0, 5 * GBIT)
    )
    assert busiest_link(before, now) == Link(0.2, GBIT)
    assert busiest_link(before, after_10s(before, eth0=interface("device", 1000, 90 * GBIT))) == Link(1.0, GBIT)


def test_no_share_is_made_up_for_a_link_of_unknown_speed() -> None:
    before = BASE._replace(interfaces={"eth0": interface("device", None), "vnet0": interface("tap")})
    now = after_10s(before, eth0=interface("device", None, GBIT), vnet0=interface("tap", 10, GBIT))
    assert busiest_link(before, now) is None


def test_a_counter_that_ran_backwards_tells_nothing() -> None:
    before = BASE._replace(interfaces={"eth0": interface("device", 1000, 50, 50)})
    for now in (interface("device", 1000, 49, 60), interface("device", 1000, 60, 49)):
        assert busiest_link(before, after_10s(before, eth0=now)) is None
        assert bytes_s(before, after_10s(before, eth0=now), ["eth0"]) is None
    assert bytes_s(before, before, []) is None and bytes_s(before, before, ["eth0", "eth1"]) is None


def test_each_vm_has_the_part_that_its_bytes_are_of_the_disks() -> None:
    assert disk_parts({"a": 30.0, "b": 10.0}, Disk(0.8, 80.0)) == pytest.approx({"a": 0.3, "b": 0.1})
    assert disk_parts({"a": 30.0, "b": 10.0}, Disk(0.8, 5.0)) == pytest.approx({"a": 0.6, "b": 0.2})
    assert disk_parts({"a": 0.0}, Disk(0.8, 0.0)) == {"a": 0.0}
    assert disk_parts({"a": 30.0}, None) == {"a": 0.0}, "its storage is elsewhere"


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1e12)), st.floats(0, 1), st.floats(0, 1e12))
def test_vms_together_never_have_more_of_the_disk_than_was_used(
    moved: dict[str, float], share: float, bytes_per_s: float
) -> None:
    parts = disk_parts(moved, Disk(share, bytes_per_s))
    assert all(part >= 0 for part in parts.values()) and sum(parts.values()) <= share + 1e-9


def moving(second: int, **changes: int) -> RawSample:
    """A host with two VMs, of which u1 writes 1 MiB/s and sends 100 Mbit/s, and u2 nothing."""
    counters = {"busy": second * 500, "moved": second * 2 * MIB, "sent": second * GBIT // 5} | changes
    vms = (vm(ticks=100 + second, write_bytes=second * MIB), vm("u2", 11, 8, 100 + second, read_bytes=None))
    return later(BASE, second, second * 10, second * 10, *vms)._replace(
        disks={"sda": DiskUse(counters["busy"], counters["moved"])},
        interfaces={
            "eth0": interface("device", 1000, 0, counters["sent"]),
            "vnet1": interface("tap", 10, second * GBIT // 10, 7),
            "vnet2": interface("tap", 10, 5, 5),
        },
    )


TAPS = {"u1": ("vnet1",), "u2": ("vnet2",)}


def test_the_load_has_disk_and_link() -> None:
    smoothed = Smoothed()
    for second in (0, 10, 20):
        smoothed.add(moving(second), float(second))
    load, vms = smoothed.host(20), smoothed.vms(TAPS)
    assert load is not None and (load.disk, load.net) == pytest.approx((0.5, 0.2))
    assert (vms["u1"].disk, vms["u1"].net) == pytest.approx((0.25, 0.1))
    assert (vms["u2"].disk, vms["u2"].net) == (0.0, 0.0)
    assert smoothed.vms()["u1"].net == 0.0, "which devices are its own is not known yet"


def test_counters_that_begin_anew_count_from_there() -> None:
    smoothed = Smoothed()
    smoothed.add(moving(0, busy=10**6, moved=10**12, sent=10**12), 0)
    for second in (10, 20):
        smoothed.add(moving(second), float(second))
    load = smoothed.host(20)
    assert load is not None and (load.disk, load.net) == pytest.approx((0.5, 0.2))


def test_a_host_that_shows_neither_has_no_load_of_them() -> None:
    smoothed = Smoothed()
    for second in (0, 10):
        smoothed.add(moving(second)._replace(disks={}, interfaces={}), float(second))
    load = smoothed.host(10)
    assert load is not None and (load.disk, load.net) == (0.0, 0.0)
    assert [(used.disk, used.net) for used in smoothed.vms(TAPS).values()] == [(0.0, 0.0)] * 2


COUNTS = st.integers(0, 1 << 64)
KIND = st.sampled_from(["device", "port", "tap", "-"])
COUNTERS = st.fixed_dictionaries(
    {
        "disks": st.dictionaries(st.sampled_from(["sda", "sdb"]), st.builds(DiskUse, COUNTS, COUNTS)),
        "interfaces": st.dictionaries(
            st.sampled_from(["eth0", "vnet1", "vnet2"]),
            st.builds(Interface, COUNTS, COUNTS, KIND, st.none() | st.integers(1, 9)),
        ),
    }
)


@given(st.lists(COUNTERS, min_size=2, max_size=8), COUNTS)
def test_shares_are_possible_whatever_comes(counters: list[dict[str, Any]], written: int) -> None:
    smoothed = Smoothed()
    for number, some in enumerate(counters):
        vms = (vm(ticks=100 + number, write_bytes=written * number), vm("u2", 11, 8, 100 + number))
        smoothed.add(later(BASE, number, number, number, *vms)._replace(**some), float(number))
    load, vms_load = smoothed.host(9.0), smoothed.vms(TAPS)
    assert load is not None and set(vms_load) == {"u1", "u2"}
    shares = [(load.disk, load.net), *((used.disk, used.net) for used in vms_load.values())]
    assert all(0 <= share <= 1 for pair in shares for share in pair)


def test_bridges_are_known_where_the_host_shows_what_its_interfaces_are() -> None:
    bridged = {"eth0": interface("device"), "br0": interface("bridge"), "br1": interface("bridge")}
    assert BASE._replace(interfaces=bridged).bridges == frozenset({"br0", "br1"})
    assert BASE._replace(interfaces={"eth0": interface("device")}).bridges == frozenset()
    assert BASE._replace(interfaces=bridged | {"br2": interface("-")}).bridges is None
    assert BASE.bridges is None
