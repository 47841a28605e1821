"""Who is dead of those that beat: nobody who lives, whatever happens to who watches; whoever stands still, soon."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vmctl.decide.lives import DEAD_AFTER_S, LOOK_GAP_S, Watch
from vmctl.model.replicas import Replica

OTHER = Replica("other", "kvm2", "home-2", "0.1", 1.0)
OWN = Replica("own", "kvm1", "home-1", "0.1", 1.0)


def test_one_that_stands_still_is_dead_after_a_while_and_not_before() -> None:
    watch = Watch("own")
    found = [bool(watch.look([OTHER, OWN], float(at), float(at))) for at in range(9)]
    assert found == [False] * 6 + [True] * 3


def test_each_beat_begins_anew() -> None:
    watch = Watch("own")
    for at in range(60):
        assert not watch.look([replace(OTHER, beat=at // 5)], float(at), float(at))


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """Who was frozen, or could not read, finds everybody where he left them."""
    watch = Watch("own")
    for at in (0.0, 1.0, 2.0, 3600.0, 3601.0, 3602.0, 3603.0):
        assert not watch.look([OTHER], at, at)
    assert watch.look([OTHER], 3604.0, 3604.0) == [OTHER]  # two seconds before, four since


def test_time_in_which_an_answer_was_waited_for_does_not_count() -> None:
    """It says how it was at one moment of the wait, and nobody knows at which."""
    watch = Watch("own")
    assert not watch.look([OTHER], 0.0, 9.0)
    assert not watch.look([OTHER], 10.0, 19.0)
    assert not watch.look([OTHER], 20.0, 29.0)


def test_a_clock_that_goes_back_counts_nothing() -> None:
    watch = Watch("own")
    for at in (10.0, 5.0, 0.0, 10.0, 5.0, 0.0, 10.0, 5.0):
        assert not watch.look([OTHER], at, at)


def test_time_in_which_nobody_could_have_said_anything_does_not_count() -> None:
    watch = Watch("own")
    for at in range(30):
        assert not watch.look([OTHER, OWN], float(at), float(at))
        watch.forget()
    found = [bool(watch.look([OTHER, OWN], float(at), float(at))) for at in range(30, 38)]
    assert found == [False] * 5 + [True] * 3, "then as long as ever"


def test_one_that_went_and_came_is_watched_anew() -> None:
    watch = Watch("own")
    for at in range(5):
        watch.look([OTHER], float(at), float(at))
    assert watch.look([], 5.0, 5.0) == []
    assert watch.look([OTHER], 6.0, 6.0) == []
    assert watch.look([OTHER], 7.0, 7.0) == []


STEP = st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 5.0))


@given(st.lists(STEP, min_size=1, max_size=60), st.floats(0.0, 2.0))
def test_who_beats_in_time_is_never_dead_however_irregularly_one_looks(
    steps: list[tuple[float, float]], phase_s: float
) -> None:
    """It beats every 2 s, a beat takes up to 2 s more to be read; reads show any moment of the wait."""
    watch, now = Watch("own"), 0.0
    for pause_s, wait_s in steps:
        asked, now = now + pause_s, now + pause_s + wait_s
        for read_at in (asked, now):  # what a reading may show at the earliest, and at the latest
            beat = int(max(0.0, read_at - phase_s) // 2.0)
        assert not watch.look([replace(OTHER, beat=beat)], asked, now)


@given(st.lists(st.floats(0.0, LOOK_GAP_S), min_size=1, max_size=200))
def test_who_stands_still_is_dead_once_he_was_watched_for_so_long(pauses: list[float]) -> None:
    watch, now, dead = Watch("own"), 0.0, False
    watch.look([OTHER], now, now)
    for pause_s in pauses:
        now += pause_s
        dead = bool(watch.look([OTHER], now, now))
        if abs(now - DEAD_AFTER_S) > 1e-6:  # sums are rounded
            assert dead == (now > DEAD_AFTER_S)
