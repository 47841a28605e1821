"""Moments as people write them."""

from __future__ import annotations

import pytest

from vmctl.cli.processes import bars
from vmctl.cli.times import moment, shown

NOW = 1_763_719_200.0  # 2025-11-21T10:00:00Z


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2025-11-21T10:00", NOW),
        ("2025-11-21 10:00:00", NOW),
        ("2025-11-21T10:00:00Z", NOW),
        ("2025-11-21T12:00:00+02:00", NOW),
        ("10 minutes ago", NOW - 600),
        ("1 minute ago", NOW - 60),
        ("90s ago", NOW - 90),
        ("1.5 hours ago", NOW - 5400),
        (" 2 DAYS ago ", NOW - 172800),
    ],
)
def test_moments(text: str, at: float) -> None:
    assert moment(text, NOW) == at


@pytest.mark.parametrize("text", ["", "yesterday", "10 minutes", "10 weeks ago", "-5m ago", "25:00"])
def test_what_is_no_moment_is_refused_with_a_form(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time: write"):
        moment(text, NOW)


def test_a_moment_is_shown_in_utc() -> None:
    assert shown(NOW) == "2025-11-21 10:00:00"


def test_bars_hold_a_value_until_the_next_one() -> None:
    samples = [{"age_s": 120, "cpu": 0.0}, {"age_s": 60, "cpu": 1.0}, {"age_s": 0, "cpu": 0.5}]
    assert bars(samples, "cpu") == "▁▁██▅"
    assert bars([{"age_s": 0, "cpu": 0.0}], "cpu") == "▁"
