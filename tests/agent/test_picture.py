"""Deltas, applied one after the other, give what a full picture would have said."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_agent import picture
from guest_agent.picture import Picture, apply, full, is_same, tell

KEYS = st.tuples(st.integers(1, 6), st.integers(1, 3))
FIELDS = st.fixed_dictionaries(
    {
        "program": st.sampled_from(["sshd", "java"]),
        "state": st.sampled_from("RSDZ"),
        "cpu": st.none() | st.floats(0, 4),
        "rss_kib": st.integers(0, 10_000_000),
        "ports": st.none() | st.lists(st.integers(1, 65535), max_size=2),
    }
)
NAMES = st.sampled_from(["a", "b", "c"])


@st.composite
def pictures(draw: Any) -> Picture:
    made = Picture()
    made.os = draw(st.dictionaries(st.sampled_from(["load", "cpu", "mem_available_mib"]), st.integers(0, 1000)))
    made.processes = {
        key: {**fields, "pid": key[0], "start": key[1]} for key, fields in draw(st.dictionaries(KEYS, FIELDS)).items()
    }
    units = st.dictionaries(NAMES, st.sampled_from(["active", "failed"]))
    made.services = {unit: {"unit": unit, "active": active} for unit, active in draw(units).items()}
    made.watches = {name: {"name": name, "ok": draw(st.booleans())} for name in ("sshd", "web")}
    return made


def parts(one: Picture) -> tuple[object, ...]:
    return one.os, one.processes, one.services, one.watches


@given(st.lists(pictures(), min_size=1, max_size=6))
def test_deltas_applied_are_what_the_agent_believes_it_has_told(steps: list[Picture]) -> None:
    told, known = Picture(), Picture()
    first = copy.deepcopy(steps[0])
    tell(told, first)
    apply(known, "full", copy.deepcopy(full(first)))
    for step in steps[1:]:
        apply(known, "delta", copy.deepcopy(tell(told, copy.deepcopy(step))))
        assert parts(known) == parts(told)


@given(st.lists(pictures(), min_size=1, max_size=6))
def test_without_slack_deltas_applied_are_the_full_picture(steps: list[Picture]) -> None:
    slack, picture.SLACK = picture.SLACK, {}
    at_ease, picture.AT_EASE = picture.AT_EASE, ""
    try:
        told, known = Picture(), Picture()
        for step in steps:
            apply(known, "delta", copy.deepcopy(tell(told, copy.deepcopy(step))))
            assert known.processes == step.processes
            assert known.services == step.services
            assert known.watches == step.watches
            assert {**known.os, **step.os} == known.os
    finally:
        picture.SLACK, picture.AT_EASE = slack, at_ease


@given(st.lists(st.floats(0, 4), max_size=50))
def test_slack_does_not_add_up(readings: list[float]) -> None:
    told, known, key = Picture(), Picture(), (1, 1)
    for reading in readings:
        now = Picture()
        now.processes = {key: {"pid": 1, "start": 1, "cpu": reading}}
        apply(known, "delta", tell(told, now))
        shown = known.processes[key]["cpu"]
        assert isinstance(shown, float) and abs(shown - reading) <= max(0.01, 0.1 * shown)


@pytest.mark.parametrize(
    ("field", "told", "now", "same"),
    [
        ("cpu", 1.0, 1.09, True),
        ("cpu", 1.0, 1.2, False),
        ("cpu", None, 0.0, False),
        ("cpu", 0.02, 0.0, False),
        ("rss_kib", 100_000, 101_000, True),
        ("rss_kib", 1000, 1300, False),
        ("state", "S", "R", True),
        ("state", "S", "D", False),
        ("state", "S", "Z", False),
        ("threads", 5, 6, False),
        ("load", [1.0, 1.0, 1.0], [1.05, 1.0, 1.0], True),
        ("load", [1.0, 1.0, 1.0], [1.5, 1.0, 1.0], False),
        ("psi", {"io": {"some10": 0.1, "some_total_s": 1}}, {"io": {"some10": 0.1, "some_total_s": 9}}, True),
        ("psi", {"io": {"some10": 0.1, "some_total_s": 1}}, {"io": {"some10": 0.3, "some_total_s": 9}}, False),
        ("psi", {"io": None}, {"io": {"some10": 0.3}}, False),
        ("ports", [22], [22, 80], False),
        ("ports", None, [], False),
    ],
)
def test_what_is_news(field: str, told: object, now: object, same: bool) -> None:
    assert is_same(field, told, now) is same


def test_only_touched_processes_are_compared_but_the_gone_are_found() -> None:
    told, now = Picture(), Picture()
    told.processes = {(1, 1): {"pid": 1, "start": 1, "threads": 1}, (2, 1): {"pid": 2, "start": 1}}
    now.processes = {(1, 1): {"pid": 1, "start": 1, "threads": 2}}
    assert tell(told, now, set()) == {"gone": [[2, 1]]}
    assert tell(told, now, {(1, 1), (9, 9)}) == {"processes": [{"threads": 2, "pid": 1, "start": 1}]}
