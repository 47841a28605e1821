"""The registry's clock: what controllers write has one time, whatever their machines' clocks show."""

from __future__ import annotations

import logging

import pytest

from vmctl.services.clock import RegistryClock


class Own:
    """This machine's, which somebody turns."""

    at, date = 50.0, 1e9

    def now(self) -> float:
        return self.date

    def monotonic(self) -> float:
        return self.at


def test_before_it_was_heard_it_is_this_machines() -> None:
    assert RegistryClock(Own()).now() == 1e9


def test_it_goes_on_by_itself_and_a_date_that_is_set_changes_nothing() -> None:
    own = Own()
    clock = RegistryClock(own)
    clock.hear(2e9, 49.0, 49.0)
    assert clock.now() == 2e9 + 1.0
    own.at, own.date = 60.0, 5.0
    assert clock.now() == 2e9 + 11.0 and clock.monotonic() == 60.0
    clock.hear(2e9 + 10.5, 60.0, 60.0)
    assert clock.now() == 2e9 + 10.5


def test_a_clock_that_is_wrong_is_told_once_and_when_it_is_right_again(caplog: pytest.LogCaptureFixture) -> None:
    own = Own()
    clock = RegistryClock(own)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            clock.hear(1e9 - 3600.0, 50.0, 50.0)
        own.date = 1e9 - 3600.0
        for _ in range(3):
            clock.hear(1e9 - 3600.0, 50.0, 50.0)
    assert [record.getMessage() for record in caplog.records] == [
        "this machine's clock is +3600 s off the registry's, which is gone by",
        "this machine's clock is +0 s off the registry's, which is gone by",
    ]


def test_an_answer_that_took_long_changes_what_it_contradicts() -> None:
    clock = RegistryClock(Own())
    clock.hear(2e9, 50.0, 50.0)
    clock.hear(2e9 + 1.5, 50.0, 54.0)  # as it was known, if it was asked in the second second
    assert clock.now() == 2e9
    clock.hear(2e9 + 3600.0, 50.0, 54.0)  # another server's
    assert clock.now() == 2e9 + 3598.0
