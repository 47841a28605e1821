"""One run of one program has one name, whatever clocks, pids and machines do."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmctl.model.identity import UNKNOWN_IP, Gpid, Incarnation, gpid, parse_endpoint, parse_gpid, plain_ip, same_name

SSHD = Incarnation("11111111-2222-3333-4444-555555555555", 0, "boot-1", 812, 4711)
incarnations = st.builds(
    Incarnation,
    st.uuids().map(str),
    st.integers(0, 5),
    st.one_of(st.uuids().map(str), st.text(max_size=40)),
    st.integers(1, 1 << 22),
    st.integers(0, 1 << 40),
)
addresses = st.ip_addresses().map(str)
names = st.builds(Gpid, addresses, st.integers(0, 65535), st.integers(0, (1 << 63) - 1), st.integers(0, 1 << 31))


def test_the_uuid_is_fixed_for_ever() -> None:
    """What was given out must be found by every later version."""
    assert str(SSHD.uuid) == "2c365964-f147-59e3-8d40-bbb1fd5f61b3"
    assert SSHD.uuid.version == 5


@given(incarnations)
def test_the_uuid_needs_no_memory(one: Incarnation) -> None:
    again = Incarnation(one.machine, one.run, one.boot_id, one.pid, one.start_ticks)
    assert again == one and again.uuid == one.uuid


@given(incarnations, incarnations)
def test_two_incarnations_never_share_a_uuid(one: Incarnation, other: Incarnation) -> None:
    assert (one.uuid == other.uuid) == (one == other)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("the pid came round again", {"start_ticks": 99999}),
        ("restarted within a tick: the kernel gives another pid", {"pid": 813}),
        ("a reboot, with the same pid and start", {"boot_id": "boot-2"}),
        ("a clone: the same boot id and pids on another machine", {"machine": "99999999-2222-3333-4444-555555555555"}),
        ("back to a snapshot: the same process again, and not its later self", {"run": 1}),
    ],
)
def test_another_life_is_another_incarnation(what: str, change: dict[str, Any]) -> None:
    other = replace(SSHD, **change)
    assert other != SSHD and other.uuid != SSHD.uuid, what


def test_all_ways_to_end_a_life_lead_to_different_ones() -> None:
    changes: list[dict[str, Any]] = [{}, {"start_ticks": 1}, {"pid": 1}, {"boot_id": "x"}, {"run": 1}, {"machine": "y"}]
    lives = [replace(SSHD, **change) for change in changes]
    assert all(one.uuid != other.uuid for one, other in combinations(lives, 2))


def test_no_part_leaks_into_its_neighbour() -> None:
    assert Incarnation("m", 1, "b/2", 3, 4).uuid != Incarnation("m", 1, "b", 2, 3).uuid
    assert Incarnation("m", 0, "1/b", 3, 4).text != Incarnation("m", 0, "1", 3, 4).text


def test_a_migration_and_a_clock_change_nothing_of_it() -> None:
    """Neither the host nor any wall clock is part of an incarnation: there is nothing that could change."""
    assert set(Incarnation.__slots__) == {"machine", "run", "boot_id", "pid", "start_ticks"}


# -- the readable name


@given(names)
def test_a_name_is_read_as_it_was_written(name: Gpid) -> None:
    assert parse_gpid(str(name)) == name


def test_names_look_like_this() -> None:
    assert gpid("10.0.0.7", 80, 1700000000000000, 812) == "10.0.0.7:80:1700000000000000:812"
    assert gpid("fe80::1", 80, 1700000000000000, 812) == "[fe80::1]:80:1700000000000000:812"
    assert gpid("", 0, 5, 1) == "0.0.0.0:0:5:1"


@pytest.mark.parametrize(
    "text",
    [
        "", "10.0.0.7", "10.0.0.7:80:1", "10.0.0.7:80:1:2:3", "fe80::1:80:1:2", "[10.0.0.7]:80:1:2",
        "10.0.0.7:70000:1:2", "999.0.0.7:80:1:2", "10.0.0.7:80:-1:2", "10.0.0.7:80:1:x", "[fe80::1%eth0]:80:1:2",
        "10.0.0.7:80:١:2",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(ValueError, match="is not a gpid"):
        parse_gpid(text)


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_a_value_error(text: str) -> None:
    try:
        parse_gpid(text)
    except ValueError:
        return


@given(names)
def test_a_name_given_out_before_the_port_or_address_was_known_still_finds_it(name: Gpid) -> None:
    early = name._replace(port=0)
    earliest = early._replace(ip=UNKNOWN_IP)
    assert all(same_name(asked, name) for asked in (name, early, earliest))
    assert not same_name(name._replace(pid=name.pid + 1), name)
    assert not same_name(name._replace(started_us=name.started_us + 1), name)


def test_a_known_port_is_not_any_port() -> None:
    known = Gpid("10.0.0.7", 80, 5, 1)
    assert not same_name(known._replace(port=443), known)
    assert not same_name(known._replace(ip="10.0.0.8"), known)
    assert not same_name(known, known._replace(port=0))


def test_addresses_have_one_form() -> None:
    assert plain_ip("FE80:0::1%eth0") == "fe80::1"
    assert plain_ip("10.0.0.7") == "10.0.0.7"
    assert plain_ip("kvm1") == plain_ip("") == plain_ip("10.0.0.7:80") == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [("10.0.0.7:80", ("10.0.0.7", 80)), ("[FE80::1]:80", ("fe80::1", 80)), (" 10.0.0.7:65535 ", ("10.0.0.7", 65535))],
)
def test_endpoints(text: str, found: tuple[str, int]) -> None:
    assert parse_endpoint(text) == found


@pytest.mark.parametrize(
    "text", ["", "10.0.0.7", ":80", "fe80::1:80", "10.0.0.7:0", "10.0.0.7:65536", "web1:80", "[]:1"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not IP:PORT"):
        parse_endpoint(text)
