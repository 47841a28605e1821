"""Steps for a sick guest: off by default, late, few, and further apart each time."""

from __future__ import annotations

import pytest

from vmctl.decide.heal import Step, Wait, next_step
from vmctl.decide.health import Health, HealthStatus
from vmctl.model.policy import HealthPolicy

SICK, HUNG = Health(HealthStatus.DEGRADED, "apache2: not active"), Health(HealthStatus.HUNG, "nothing heard")
LIMITS = HealthPolicy(heal_after_s=100.0, heal_between_s=300.0, heal_budget=3, heal_window_s=10000.0)


def step(level: str, health: Health = SICK, sick_s: float = 200.0, *taken: float) -> str:
    found = next_step(level, health, sick_s, taken, LIMITS)
    return found.verb if isinstance(found, Step) else "wait"


@pytest.mark.parametrize("health", [SICK, HUNG])
def test_nothing_is_done_unless_asked_for(health: Health) -> None:
    assert step("off", health) == "wait"


@pytest.mark.parametrize("status", [HealthStatus.WELL, HealthStatus.SILENT, HealthStatus.UNKNOWN])
def test_only_the_sick_are_treated(status: HealthStatus) -> None:
    assert step("reset", Health(status, "")) == "wait"


def test_its_own_agent_has_its_turn_first() -> None:
    assert (step("reboot", SICK, 99.0), step("reboot", SICK, 100.0)) == ("wait", "reboot")


def test_a_reboot_before_a_reset() -> None:
    assert step("reset") == "reboot"
    assert step("reset", SICK, 200.0, 400.0) == "reset"
    assert step("reboot", SICK, 200.0, 400.0) == "reboot"


def test_a_hung_guest_is_reset_or_left_alone() -> None:
    assert step("reset", HUNG) == "reset"
    assert step("reboot", HUNG) == "wait"


def test_steps_get_further_apart_and_end() -> None:
    assert (step("reboot", SICK, 200, 299), step("reboot", SICK, 200, 300)) == ("wait", "reboot")
    assert (step("reboot", SICK, 200, 599, 950), step("reboot", SICK, 200, 600, 950)) == ("wait", "reboot")
    assert step("reboot", SICK, 200, 2000, 3000, 4000) == "wait"
    assert step("reboot", SICK, 200, 2000, 3000, 10001) == "reboot"


def test_a_step_in_the_future_says_nothing() -> None:
    """The clock was set back since: it would rest for hours."""
    assert step("reboot", SICK, 200, -7200.0) == step("reboot", SICK, 200) == "reboot"


def test_every_wait_says_why() -> None:
    found = next_step("reboot", SICK, 200.0, (1.0, 2.0, 3.0), LIMITS)
    assert found == Wait("3 steps in 3 h did not help: a human must look")
