"""The next step of one live migration, from what was seen of it so far.

Convergence: while each pass leaves less to copy than the one before, wait. When it stalls, allow a longer pause, step
by step (as oVirt's policies do); auto-converge slows the guest meanwhile. After the last step: post-copy if the policy
allows it, else abort, and the VM stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.model.policy import Policy

FLOWS_S = 1.5  # bytes flow if the last ones came within this time


@dataclass(frozen=True, slots=True)
class MigrationReading:
    """One reading of a migration, and what was tried."""

    remaining_mib: float
    since_low_s: float  # since `remaining` was last lower than ever before
    since_bytes_s: float  # since the last byte was copied
    both_online: bool  # source and target answer
    begun: bool  # there is something to copy: before, the target prepares
    downtime_step: int  # index of the downtime step in force
    since_step_s: float  # since that step was taken
    post_copy: bool = False  # the guest runs on the target already: there is no way back


@dataclass(frozen=True, slots=True)
class Wait:
    """It goes well."""

    why: str = "copying"


@dataclass(frozen=True, slots=True)
class RaiseDowntime:
    """Allow the guest a longer pause."""

    downtime_step: int
    downtime_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class PostCopy:
    """Switch the guest over and fetch the rest afterwards."""

    why: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Give up; the VM stays on its source."""

    why: str


Step = Wait | RaiseDowntime | PostCopy | Abort


def next_step(seen: MigrationReading, policy: Policy) -> Step:
    """What to do now."""
    if seen.post_copy:
        return Wait("fetching the rest")
    if seen.since_bytes_s >= policy.no_progress_s:
        what = "nothing was copied" if seen.begun else "the target was not ready to take it"
        return Abort(f"{what} for {seen.since_bytes_s:.0f} s")
    if not seen.begun:
        return Wait("the target prepares")
    if seen.since_bytes_s >= FLOWS_S or not seen.both_online:
        return Wait("nothing flows")  # a longer pause cures no network, and post-copy over a broken one loses the guest
    if min(seen.since_low_s, seen.since_step_s) < policy.stall_s:
        return Wait()
    stalled = f"{seen.remaining_mib:.0f} MiB left and not falling for {seen.since_low_s:.0f} s"
    if seen.downtime_step + 1 < len(policy.downtime_ms):
        return RaiseDowntime(seen.downtime_step + 1, policy.downtime_ms[seen.downtime_step + 1], stalled)
    if policy.allow_post_copy:
        return PostCopy(stalled)
    return Abort(f"{stalled}, with a pause of {policy.downtime_ms[-1]} ms allowed")
