"""A port's fair share: a burst for a first picture, then so many bytes and so many messages a second."""

from __future__ import annotations

from vmctl.guests.port import BURST, BYTES_PER_S, MESSAGE_COST, Budget


def read_for(seconds: float, size: int) -> float:
    """Bytes read in that time from a guest that always has `size` more."""
    now = total = 0.0
    budget = Budget(now)
    while now < seconds:
        total += size
        now += 1e-4 + budget.spend(size, 1, now)
    return total


def test_a_flood_is_read_at_its_share() -> None:
    assert read_for(600, 32768) < BURST + 600 * BYTES_PER_S + 32768


def test_small_messages_are_few() -> None:
    assert read_for(600, 100) / 100 < (BURST + 600 * BYTES_PER_S) / MESSAGE_COST + 1


def test_a_first_picture_is_read_at_once() -> None:
    budget = Budget(0.0)
    assert sum(budget.spend(32768, 1, 0.0) for _ in range(20)) == 0.0


def test_what_was_not_used_does_not_pile_up() -> None:
    budget = Budget(0.0)
    budget.spend(0, 0, 1e6)
    assert budget.spend(int(2 * BURST), 1, 1e6) >= BURST / BYTES_PER_S
