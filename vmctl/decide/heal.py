"""What to do about a sick guest, step by step: its own agent restarts services; then reboot it, then reset it.

Off unless a VM's owner turns it on, with a budget and a back-off, and never for a VM that something else is done to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmctl.decide.health import DEFAULT, Health, HealthStatus, age
from vmctl.model.policy import HealthPolicy

LEVELS = ("off", "reboot", "reset")  # each contains the ones before it
SICK = (
    HealthStatus.DEGRADED,
    HealthStatus.HUNG,
)  # silence alone is no reason: the agent may have died, and the guest be well


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do now, and why."""

    verb: str  # "reboot" or "reset"
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now, and why."""

    why: str


def next_step(
    level: str, health: Health, sick_s: float, taken_s_ago: Sequence[float], policy: HealthPolicy = DEFAULT
) -> Step | Wait:
    """The next step for a VM sick for `sick_s`; `taken_s_ago` are the ages of the steps taken before, newest first."""
    if level == LEVELS[0]:
        return Wait("nothing is done to it, by its policy")
    if health.status not in SICK:
        return Wait(f"it is {health.status}")
    if sick_s < policy.heal_after_s:
        return Wait(f"{health.status} for {age(sick_s)}: its own repair has {age(policy.heal_after_s)}")
    recent = [ago for ago in taken_s_ago if 0 <= ago < policy.heal_window_s]  # the clock may be set back
    if len(recent) >= policy.heal_budget:
        return Wait(f"{len(recent)} steps in {age(policy.heal_window_s)} did not help: a human must look")
    rest = policy.heal_between_s * 2 ** max(0, len(recent) - 1)
    if recent and recent[0] < rest:
        return Wait(f"the last step was {age(recent[0])} ago: it has {age(rest)}")
    # A hung guest does not obey a power button; one that was rebooted in vain is reset.
    hard = level == LEVELS[2] and (health.status is HealthStatus.HUNG or bool(recent))
    if health.status is HealthStatus.HUNG and not hard:
        return Wait("it is hung and its policy allows no reset")
    return Step("reset" if hard else "reboot", f"{health.status} for {age(sick_s)}: {health.why}")
