"""A VM's health in one word: each word has its reason, and what is frozen does not change."""

from __future__ import annotations

from typing import Any

import pytest

from vmctl.decide.health import GuestObservation, Health, HealthStatus, Watch, health
from vmctl.model.vms import PowerState

WELL = Health(HealthStatus.WELL, "ssh in order")


def status(last: Health | None = None, power: PowerState = PowerState.RUNNING, **seen: Any) -> tuple[HealthStatus, str]:
    found = health(power, GuestObservation(**({"heard_s": 1.0} | seen)), last)
    return found.status, found.why


def test_a_guest_that_reports_is_well() -> None:
    assert status() == (HealthStatus.WELL, "its agent reports")
    assert status(watches=(Watch("ssh", True, 50.0), Watch("http", True, 9.0))) == (
        HealthStatus.WELL,
        "ssh, http in order",
    )


def test_a_unit_that_nobody_watches_is_told_but_makes_nobody_sick() -> None:
    assert status(failed_units=("a.service",)) == (
        HealthStatus.WELL,
        "its agent reports; not watched but failed: a.service",
    )


def test_a_watch_that_fails_degrades() -> None:
    watches = (Watch("ssh", True, 50.0), Watch("apache2", False, 130.0, "not active"), Watch("db", False, 3.0))
    assert status(watches=watches) == (HealthStatus.DEGRADED, "apache2: not active, for 2 min; db: failed, for 3 s")


def test_a_watch_that_is_not_known_yet_makes_nobody_well() -> None:
    watches = (Watch("ssh", True, 50.0), Watch("tomcat", None, 3.0, "not well yet: status 503"), Watch("db", None, 3.0))
    why = "tomcat: not well yet: status 503; db: not known yet"
    assert status(watches=watches) == (HealthStatus.UNKNOWN, why)
    assert status(WELL, watches=watches) == (HealthStatus.UNKNOWN, why)
    assert status(Health(HealthStatus.DEGRADED, "db: failed"), watches=watches) == (
        HealthStatus.DEGRADED,
        why,
    )  # it was restarted
    assert status(watches=(*watches, Watch("http", False, 9.0))) == (HealthStatus.DEGRADED, "http: failed, for 9 s")


@pytest.mark.parametrize(
    ("heard", "period", "silent"), [(14, 1, False), (16, 1, True), (29, 10, False), (31, 10, True)]
)
def test_silence_begins_after_three_periods_and_15_s(heard: float, period: float, silent: bool) -> None:
    assert (status(heard_s=heard, period_s=period)[0] is HealthStatus.SILENT) is silent


def test_silence_says_its_cause() -> None:
    assert status(heard_s=40, port="the guest has closed its port") == (
        HealthStatus.SILENT,
        "nothing heard for 40 s (the guest has closed its port)",
    )


@pytest.mark.parametrize(
    ("heard", "idle", "expected"),
    [
        (119, 500, HealthStatus.SILENT),
        (120, 119, HealthStatus.SILENT),  # it still works, only its agent is gone
        (120, None, HealthStatus.SILENT),
        (120, 120, HealthStatus.HUNG),
    ],
)
def test_hung_is_silence_without_any_use_of_disk_or_network(
    heard: float, idle: float | None, expected: HealthStatus
) -> None:
    assert status(heard_s=heard, idle_s=idle)[0] is expected


def test_what_was_never_heard_is_not_known() -> None:
    assert status(heard_s=None) == (HealthStatus.UNKNOWN, "no agent has been heard since it was started")
    assert status(heard_s=None, port="the spec gives it no port") == (HealthStatus.UNKNOWN, "the spec gives it no port")
    assert status(power=PowerState.STOPPED) == (HealthStatus.UNKNOWN, "it is stopped")


def test_frozen_health_stands_however_long_the_silence() -> None:
    assert status(WELL, heard_s=900, idle_s=900, frozen="being migrated") == (
        HealthStatus.WELL,
        "being migrated; before that ssh in order",
    )
    assert status(None, heard_s=None, frozen="paused") == (
        HealthStatus.UNKNOWN,
        "paused; before that nothing was known",
    )
