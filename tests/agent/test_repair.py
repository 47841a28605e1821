"""When a failed service is restarted."""

from __future__ import annotations

import pytest

from guest_agent.repair import GIVE_UP, RESTART, WAIT, Limits, decide

LIMITS = Limits(budget=3, window_s=600, backoff_s=5)


@pytest.mark.parametrize(
    ("now", "failed_since", "restarts", "step"),
    [
        (100, 100, [], WAIT),  # it may come back by itself
        (104.9, 100, [], WAIT),
        (105, 100, [], RESTART),
        (108, 100, [105], WAIT),  # the pause has doubled
        (115, 100, [105], RESTART),
        (130, 116, [105, 115], WAIT),  # and again, counted from the failure
        (136, 116, [105, 115], RESTART),
        (200, 116, [105, 115, 136], GIVE_UP),
        (704, 116, [105, 115, 136], GIVE_UP),
        (705, 116, [105, 115, 136], RESTART),  # the first has left the window
        (2000, 1990, [105, 115, 136], RESTART),  # all is forgotten
    ],
)
def test_the_table(now: float, failed_since: float, restarts: list[float], step: str) -> None:
    decision = decide(now, failed_since, restarts, LIMITS)
    assert decision.step == step, decision.why
    assert decision.why


def test_no_budget_is_no_restart() -> None:
    assert decide(1000, 0, [], Limits(0, 600, 5)).step == GIVE_UP


def test_a_service_that_never_comes_up_is_restarted_no_more_than_the_budget_per_window() -> None:
    restarts: list[float] = []
    for second in range(3600):
        if decide(second, 0, restarts, LIMITS).step == RESTART:
            restarts.append(second)
    assert all(sum(1 for one in restarts if start <= one < start + 600) <= 3 for start in range(3600))
    assert len(restarts) >= 15
