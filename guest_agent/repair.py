"""When a failed service is restarted. Pure: the decision, and a sentence for it.

A restart waits until the watch has failed for as long as the back-off says; the back-off doubles with each restart
within the window, and when the budget of the window is spent nothing is done until the oldest has left it.
"""

from collections import namedtuple

RESTART, WAIT, GIVE_UP = "restart", "wait", "give up"

Limits = namedtuple("Limits", "budget window_s backoff_s")
Limits.__doc__ = "So many restarts within so many seconds; the first no sooner than `backoff_s` after the failure."
Decision = namedtuple("Decision", "step why")


def decide(now: float, failed_since: float, restarts: "list[float]", limits: Limits) -> Decision:
    """What to do about a failure; `restarts` are the times of earlier ones. All times are of one monotonic clock."""
    recent = [when for when in restarts if now - when < limits.window_s]
    if len(recent) >= limits.budget:
        back = limits.window_s - (now - min(recent)) if recent else limits.window_s
        return Decision(
            GIVE_UP, f"{len(recent)} restarts in {limits.window_s:g} s are all it may have; again in {back:.0f} s"
        )
    pause = limits.backoff_s * 2 ** len(recent)
    left = max([failed_since, *recent]) + pause - now
    if left > 0:
        return Decision(WAIT, f"restart {len(recent) + 1} of {limits.budget} in {left:.1f} s")
    return Decision(RESTART, f"restart {len(recent) + 1} of {limits.budget} within {limits.window_s:g} s")
