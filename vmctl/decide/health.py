"""How is a VM, in one word and one sentence? From what its guest said, and when; and from what its host saw of it.

Silence is not sickness: it has an age and, where known, a cause. While the VM is paused, being moved or restarted, the
last answer stands. A watch with no result yet never makes a guest well. Only a guest that neither speaks nor reads
nor writes anything for two minutes is called hung.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vmctl.model.policy import HealthPolicy
from vmctl.model.vms import PowerState

SILENT_AFTER_PERIODS = 3.0
DEFAULT = HealthPolicy()


class HealthStatus(StrEnum):
    """A VM's health, in a word."""

    WELL = "well"
    DEGRADED = "degraded"
    SILENT = "silent"
    HUNG = "hung"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Watch:
    """Something that the guest's agent was told to watch, as it last reported it."""

    name: str
    ok: bool | None  # None: not known yet, or not to be known
    for_s: float  # since it is so
    why: str = ""


@dataclass(frozen=True, slots=True)
class GuestObservation:
    """What is known of a guest at one moment."""

    heard_s: float | None  # since its last report; None: never, since the VM was started
    period_s: float = 5.0  # between its reports
    watches: tuple[Watch, ...] = ()
    failed_units: tuple[str, ...] = ()
    idle_s: float | None = None  # since it last read or wrote to disk or network; None: not known
    port: str = ""  # why nothing can be heard, where that is known
    frozen: str = ""  # what is done to the VM just now, so that its silence means nothing


@dataclass(frozen=True, slots=True)
class Health:
    """The answer."""

    status: HealthStatus
    why: str
    before: str | None = None  # while it is frozen: why it was as it was before that


def health(
    power: PowerState, seen: GuestObservation, last: Health | None = None, policy: HealthPolicy = DEFAULT
) -> Health:
    """A VM's health now; `last` is what it was, which stands while it is frozen."""
    if power is PowerState.STOPPED:
        return Health(HealthStatus.UNKNOWN, "it is stopped")
    if seen.frozen:
        status, before = (
            (last.status, last.why if last.before is None else last.before) if last else (HealthStatus.UNKNOWN, "")
        )
        return Health(status, f"{seen.frozen}; before that {before or 'nothing was known'}", before)
    if seen.heard_s is None:
        return Health(HealthStatus.UNKNOWN, seen.port or "no agent has been heard since it was started")
    if seen.heard_s > max(policy.silent_after_s, SILENT_AFTER_PERIODS * seen.period_s):
        return _silent(seen.heard_s, seen, policy.hung_after_s)
    failing = [watch for watch in seen.watches if watch.ok is False]
    if failing:
        return Health(
            HealthStatus.DEGRADED, "; ".join(f"{w.name}: {w.why or 'failed'}, for {age(w.for_s)}" for w in failing)
        )
    if any(watch.ok is None for watch in seen.watches):
        return _not_known(seen.watches, last)
    return Health(HealthStatus.WELL, _well(seen))


def _not_known(watches: tuple[Watch, ...], last: Health | None) -> Health:
    """Some watches are not known: who was sick stays sick until they are."""
    status = (
        HealthStatus.DEGRADED if last is not None and last.status is HealthStatus.DEGRADED else HealthStatus.UNKNOWN
    )
    return Health(status, "; ".join(f"{w.name}: {w.why or 'not known yet'}" for w in watches if w.ok is None))


def _silent(heard_s: float, seen: GuestObservation, hung_after_s: float) -> Health:
    cause = f" ({seen.port})" if seen.port else ""
    if heard_s >= hung_after_s and seen.idle_s is not None and seen.idle_s >= hung_after_s:
        return Health(
            HealthStatus.HUNG, f"nothing heard for {age(heard_s)}, and no disk or network use for {age(seen.idle_s)}"
        )
    return Health(HealthStatus.SILENT, f"nothing heard for {age(heard_s)}{cause}")


def _well(seen: GuestObservation) -> str:
    watched = f"{', '.join(w.name for w in seen.watches)} in order" if seen.watches else "its agent reports"
    if not seen.failed_units:
        return watched
    return f"{watched}; not watched but failed: {', '.join(seen.failed_units[:5])}"


def age(seconds: float) -> str:
    """A time span as one reads it."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
