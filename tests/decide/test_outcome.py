"""What follows from what both hosts of a migration show. The whole table is small enough to be looked at."""

from __future__ import annotations

from itertools import product

import pytest

from vmctl.decide.outcome import OUTCOMES, DomainPresence, Resolution, resolve

EVERY = list(product(DomainPresence, DomainPresence))
ENDS = {Resolution.ON_TARGET, Resolution.ON_SOURCE, Resolution.NOWHERE, Resolution.ALARM, Resolution.UNCERTAIN}
OF_SOURCE = {Resolution.DROP_SOURCE, Resolution.RESUME_SOURCE}


def test_the_table_is_complete() -> None:
    assert set(OUTCOMES) == set(EVERY)


def test_a_sight_nobody_thought_of_is_a_bug_and_not_a_guess() -> None:
    with pytest.raises(KeyError):
        resolve("running?", DomainPresence.GONE)  # type: ignore[arg-type]


@pytest.mark.parametrize(("source", "target"), EVERY)
def test_nothing_dangerous_follows(source: DomainPresence, target: DomainPresence) -> None:
    act = resolve(source, target)
    if act is Resolution.DROP_SOURCE:
        assert (source, target) == (DomainPresence.PAUSED, DomainPresence.RUNNING)
    if act is Resolution.DROP_TARGET:
        assert source in (DomainPresence.RUNNING, DomainPresence.PAUSED) and target is DomainPresence.PAUSED
    if act is Resolution.RESUME_SOURCE:
        assert (source, target) == (DomainPresence.PAUSED, DomainPresence.GONE)
    if DomainPresence.SILENT in (source, target):
        assert act in ENDS, "where one host is silent, nothing is done to the other"


def test_two_that_run_are_left_to_a_human() -> None:
    assert resolve(DomainPresence.RUNNING, DomainPresence.RUNNING) is Resolution.ALARM
    assert [pair for pair in EVERY if resolve(*pair) is Resolution.ALARM] == [
        (DomainPresence.RUNNING, DomainPresence.RUNNING)
    ]


def test_a_place_is_only_named_when_it_is_seen_running_there() -> None:
    for source, target in EVERY:
        act = resolve(source, target)
        if act is Resolution.ON_TARGET:
            assert target is DomainPresence.RUNNING and source in (DomainPresence.GONE, DomainPresence.SILENT)
        if act is Resolution.ON_SOURCE:
            assert source is DomainPresence.RUNNING and target in (DomainPresence.GONE, DomainPresence.SILENT)
        if act is Resolution.NOWHERE:
            assert (source, target) == (DomainPresence.GONE, DomainPresence.GONE)


def done(source: DomainPresence, target: DomainPresence) -> tuple[DomainPresence, DomainPresence]:
    """Both hosts after the act was carried out and worked."""
    match resolve(source, target):
        case Resolution.DROP_TARGET:
            return source, DomainPresence.GONE
        case Resolution.DROP_SOURCE:
            return DomainPresence.GONE, target
        case Resolution.RESUME_SOURCE:
            return DomainPresence.RUNNING, target
        case _:
            return source, target


@pytest.mark.parametrize("pair", EVERY)
def test_acts_lead_to_an_end_and_lose_no_copy_that_runs(pair: tuple[DomainPresence, DomainPresence]) -> None:
    ran = pair.count(DomainPresence.RUNNING)
    alive = ran + pair.count(DomainPresence.PAUSED)
    for _ in range(3):
        pair = done(*pair)
        assert pair.count(DomainPresence.RUNNING) >= ran
    assert resolve(*pair) in ENDS
    if alive and DomainPresence.SILENT not in pair:
        assert DomainPresence.RUNNING in pair or DomainPresence.PAUSED in pair, "the last copy is never destroyed"
