"""Hostile guests beside well ones, through a real sshd: the well ones are heard in time, the others do not grow."""

from __future__ import annotations

from tests.bench.hostile import HOSTILE, PERIOD_S, measure
from vmctl.guests.report import MOST_PROCESSES


async def test_hostile_guests_delay_nobody() -> None:
    felt = await measure(well=4, hostile=len(HOSTILE), seconds=2.5)
    assert max(felt.gaps) < 2 * PERIOD_S  # no more than one period late
    assert felt.largest_picture <= MOST_PROCESSES
