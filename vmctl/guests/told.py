"""What is told of a guest by whoever reads its port: to the one that judges its health, here or elsewhere. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vmctl.decide.health import GuestObservation, Watch

ONLY_HELLO = "its agent has said hello and nothing more yet"
NOBODY_LISTENS = "nobody listens to it just now"


@dataclass(frozen=True, slots=True)
class GuestTold:
    """One guest at one moment. Seconds count back from then."""

    heard_s: float | None = None  # since its last believable message
    known: bool = False  # it has told more than hello
    period_s: float = 5.0
    watches: tuple[Watch, ...] = ()
    failed_units: tuple[str, ...] = ()
    idle_s: float | None = None  # since it last used disk or network, where that was counted
    cause: str = ""  # why nothing can be heard, where that is known
    stall: float = 0.0  # the share of time in which something in it waited
    ip: str = ""


def observation(told: GuestTold, thawed_s: float, frozen: str) -> GuestObservation:
    """What its health follows from. `thawed_s`: since what was done to the VM is done, so that a silence counts."""
    if told.heard_s is not None and not told.known:
        return GuestObservation(None, port=told.cause or ONLY_HELLO, frozen=frozen)
    return GuestObservation(
        heard_s=None if told.heard_s is None else min(told.heard_s, thawed_s),
        period_s=told.period_s,
        watches=told.watches,
        failed_units=told.failed_units,
        idle_s=told.idle_s,
        port=told.cause,
        frozen=frozen,
    )


@dataclass(slots=True)
class ToldGuest:
    """A guest whose port another controller reads. Times are monotonic."""

    uuid: str
    reader: tuple[str, int]  # its host, and the epoch of whoever reads its port there
    told: GuestTold
    at: float  # when that was told, or before it
    stale_s: float  # what is older than that is nobody's word any more
    status: str = "unknown"  # its health, as last judged
    thawed_at: float = -math.inf
    anew_at: float = field(default=-math.inf)  # what it said before that says nothing

    @property
    def host(self) -> str:
        """Where its port is read."""
        return self.reader[0]

    def _now(self, now: float) -> GuestTold:
        told, age_s = self.told, max(0.0, now - self.at)
        heard_s = None if told.heard_s is None else told.heard_s + age_s
        if heard_s is not None and now - heard_s < self.anew_at:
            heard_s = None
        return replace(told, heard_s=heard_s, idle_s=None if told.idle_s is None else told.idle_s + age_s)

    def heard_s(self, now: float) -> float | None:
        """Since it was last heard."""
        return self._now(now).heard_s

    def seen(self, now: float, frozen: str = "") -> GuestObservation:
        """What its health follows from. While nobody listens to it, it stays as it was."""
        if not frozen and now - self.at > self.stale_s:
            frozen = NOBODY_LISTENS
        if frozen:
            self.thawed_at = now
        return observation(self._now(now), now - self.thawed_at, frozen)

    def begin_anew(self, now: float) -> None:
        """Its guest ends now, and says all again when it is back."""
        self.anew_at = now

    def stall(self, now: float) -> float:
        """The share of time in which something in it waited; 0 where nobody has told that lately."""
        return self.told.stall if now - self.at <= self.stale_s else 0.0

    @property
    def address(self) -> str:
        """The address that it tells of itself."""
        return self.told.ip


def to_json(told: GuestTold) -> dict[str, Any]:
    """As it is kept."""
    return asdict(told)


def from_json(body: dict[str, Any]) -> GuestTold:
    """The inverse. Raises KeyError, TypeError for what no controller of this version tells."""
    watches = tuple(Watch(**one) for one in body["watches"])
    return GuestTold(**body | {"watches": watches, "failed_units": tuple(body["failed_units"])})
