"""What follows from what both hosts of a migration show. The whole table is small enough to be looked at."""

from __future__ import annotations

from itertools import product

import pytest

from vmctl.decide.outcome import OUTCOMES, Act, Sight, settle

EVERY = list(product(Sight, Sight))
ENDS = {Act.ON_TARGET, Act.ON_SOURCE, Act.NOWHERE, Act.ALARM, Act.UNCERTAIN}
OF_SOURCE = {Act.DROP_SOURCE, Act.RESUME_SOURCE}


def test_the_table_is_complete() -> None:
    assert set(OUTCOMES) == set(EVERY)


def test_a_sight_nobody_thought_of_is_a_bug_and_not_a_guess() -> None:
    with pytest.raises(KeyError):
        settle("running?", Sight.GONE)  # type: ignore[arg-type]


@pytest.mark.parametrize(("source", "target"), EVERY)
def test_nothing_dangerous_follows(source: Sight, target: Sight) -> None:
    act = settle(source, target)
    if act is Act.DROP_SOURCE:
        assert (source, target) == (Sight.PAUSED, Sight.RUNNING)
    if act is Act.DROP_TARGET:
        assert source in (Sight.RUNNING, Sight.PAUSED) and target is Sight.PAUSED
    if act is Act.RESUME_SOURCE:
        assert (source, target) == (Sight.PAUSED, Sight.GONE)
    if Sight.SILENT in (source, target):
        assert act in ENDS, "where one host is silent, nothing is done to the other"


def test_two_that_run_are_left_to_a_human() -> None:
    assert settle(Sight.RUNNING, Sight.RUNNING) is Act.ALARM
    assert [pair for pair in EVERY if settle(*pair) is Act.ALARM] == [(Sight.RUNNING, Sight.RUNNING)]


def test_a_place_is_only_named_when_it_is_seen_running_there() -> None:
    for source, target in EVERY:
        act = settle(source, target)
        if act is Act.ON_TARGET:
            assert target is Sight.RUNNING and source in (Sight.GONE, Sight.SILENT)
        if act is Act.ON_SOURCE:
            assert source is Sight.RUNNING and target in (Sight.GONE, Sight.SILENT)
        if act is Act.NOWHERE:
            assert (source, target) == (Sight.GONE, Sight.GONE)


def done(source: Sight, target: Sight) -> tuple[Sight, Sight]:
    """Both hosts after the act was carried out and worked."""
    match settle(source, target):
        case Act.DROP_TARGET:
            return source, Sight.GONE
        case Act.DROP_SOURCE:
            return Sight.GONE, target
        case Act.RESUME_SOURCE:
            return Sight.RUNNING, target
        case _:
            return source, target


@pytest.mark.parametrize("pair", EVERY)
def test_acts_lead_to_an_end_and_lose_no_copy_that_runs(pair: tuple[Sight, Sight]) -> None:
    ran = pair.count(Sight.RUNNING)
    alive = ran + pair.count(Sight.PAUSED)
    for _ in range(3):
        pair = done(*pair)
        assert pair.count(Sight.RUNNING) >= ran
    assert settle(*pair) in ENDS
    if alive and Sight.SILENT not in pair:
        assert Sight.RUNNING in pair or Sight.PAUSED in pair, "the last copy is never destroyed"
