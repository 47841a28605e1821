"""When a live migration waits, is given a longer pause, ends."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vmctl.decide.converge import Abort, MigrationReading, PostCopy, RaiseDowntime, Wait, next_step
from vmctl.model.policy import Policy

POLICY = Policy(downtime_ms=(100, 300, 1000), stall_s=10.0, no_progress_s=60.0)
GOING = MigrationReading(
    remaining_mib=400.0,
    since_low_s=0.5,
    since_bytes_s=0.1,
    both_online=True,
    begun=True,
    downtime_step=0,
    since_step_s=5.0,
)
STALLED = replace(GOING, since_low_s=12.0, since_step_s=12.0)
TOP = replace(STALLED, downtime_step=2)


def test_while_less_is_left_it_waits() -> None:
    assert next_step(GOING, POLICY) == Wait()


def test_when_it_stalls_a_longer_pause_is_allowed_step_by_step() -> None:
    why = "400 MiB left and not falling for 12 s"
    assert next_step(STALLED, POLICY) == RaiseDowntime(1, 300, why)
    assert next_step(replace(STALLED, downtime_step=1), POLICY) == RaiseDowntime(2, 1000, why)


def test_a_new_step_gets_its_time() -> None:
    assert next_step(replace(STALLED, downtime_step=1, since_step_s=9.9), POLICY) == Wait()


def test_at_the_top_it_is_given_up_or_switched_over() -> None:
    step = next_step(TOP, POLICY)
    assert step == Abort("400 MiB left and not falling for 12 s, with a pause of 1000 ms allowed")
    assert isinstance(next_step(TOP, replace(POLICY, allow_post_copy=True)), PostCopy)


def test_when_nothing_is_copied_for_long_it_is_given_up_at_once() -> None:
    assert next_step(replace(GOING, since_bytes_s=60.0), POLICY) == Abort("nothing was copied for 60 s")
    assert next_step(replace(GOING, since_bytes_s=59.9), POLICY) == Wait("nothing flows")


def test_while_nothing_flows_nothing_is_changed() -> None:
    """The target is cut off for a moment: post-copy would then fetch memory over a network that is broken."""
    policy = replace(POLICY, allow_post_copy=True)
    for broken in ({"since_bytes_s": 2.0}, {"both_online": False}):
        for seen in (STALLED, TOP):
            assert next_step(replace(seen, **broken), policy) == Wait("nothing flows")


def test_before_anything_is_copied_no_longer_pause_is_allowed() -> None:
    """The target hangs while it prepares: a longer pause, or post-copy, cures nothing."""
    waits = replace(TOP, begun=False, remaining_mib=0.0)
    assert next_step(waits, replace(POLICY, allow_post_copy=True)) == Wait("the target prepares")
    gone = next_step(replace(waits, since_bytes_s=60.0), POLICY)
    assert gone == Abort("the target was not ready to take it for 60 s")


SECONDS = st.floats(0, 1e6)
ANYTHING = st.builds(
    MigrationReading,
    SECONDS,
    SECONDS,
    SECONDS,
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
    SECONDS,
    st.booleans(),
)


@given(ANYTHING, st.booleans())
def test_after_the_switch_over_there_is_no_way_back_and_no_second_switch(seen: MigrationReading, allowed: bool) -> None:
    policy = replace(POLICY, allow_post_copy=allowed)
    assert isinstance(next_step(replace(seen, post_copy=True), policy), Wait)


@given(ANYTHING)
def test_only_a_migration_that_stalls_or_stands_still_is_touched(seen: MigrationReading) -> None:
    step = next_step(seen, POLICY)
    if isinstance(step, RaiseDowntime):
        assert (
            step.downtime_step == seen.downtime_step + 1 and step.downtime_ms == POLICY.downtime_ms[step.downtime_step]
        )
    if not isinstance(step, Wait):
        assert not seen.post_copy
        assert min(seen.since_low_s, seen.since_step_s) >= 10.0 or seen.since_bytes_s >= 60.0


def test_a_migration_that_never_gets_less_takes_every_step_and_ends() -> None:
    steps: list[object] = []
    downtime_step = 0
    for _ in range(10):
        step = next_step(replace(STALLED, downtime_step=downtime_step), POLICY)
        steps.append(type(step))
        if isinstance(step, Abort):
            break
        assert isinstance(step, RaiseDowntime)
        downtime_step = step.downtime_step
    assert steps == [RaiseDowntime, RaiseDowntime, Abort]
