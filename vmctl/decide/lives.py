"""Who is dead of those that beat: dead, frozen or cut off look alike, and each must give its place to another. Pure.

A life counts its beats in the registry. Whoever watches has only his own clock, and trusts it only for time in which he
looked again and again: while he could not look, frozen himself or without the registry, nobody could beat for all he
knows. No two clocks are compared. (A failure detector after Chandra and Toueg, 1996, may be wrong: whose life is ended
wrongly learns of it at its next write, which is refused.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from vmctl.model.replicas import Replica

DEAD_AFTER_S = 6.0  # three beats
LOOK_GAP_S = 3.0  # between two looks; after a longer one nobody can say what happened in between


@dataclass(slots=True)
class _Standing:
    """At which beat a life stands, and for how long somebody saw it stand there, in seconds."""

    beat: int
    for_s: float = 0.0


@dataclass(slots=True)
class Watch:
    """What one controller has seen of the others. `look` after each reading that succeeded."""

    own: str  # its life, which is not watched
    _seen: dict[str, _Standing] = field(default_factory=dict)
    _looked: float | None = None

    def look(self, alive: Iterable[Replica], asked: float, heard: float) -> list[Replica]:
        """Those that are dead, each as it was read.

        `asked` and `heard`: when the registry was asked and when its answer was there, monotonic seconds. What it says
        was so at some moment in between: a life stood still from an answer that was there to a question not yet asked.
        """
        gap_s = 0.0 if self._looked is None else asked - self._looked
        watched_s = gap_s if 0.0 <= gap_s <= LOOK_GAP_S else 0.0
        self._looked = heard
        now = {one.life: one for one in alive if one.life != self.own}
        self._seen = {life: self._stands(one, watched_s) for life, one in now.items()}
        return [now[life] for life, stands in self._seen.items() if stands.for_s >= DEAD_AFTER_S]

    def forget(self) -> None:
        """Nobody was seen to stand still: nobody could have said anything."""
        self._seen = {life: _Standing(one.beat) for life, one in self._seen.items()}

    def silent_s(self, life: str) -> float:
        """For how long a life was seen to stand still."""
        found = self._seen.get(life)
        return 0.0 if found is None else found.for_s

    def _stands(self, one: Replica, watched_s: float) -> _Standing:
        before = self._seen.get(one.life)
        if before is None or before.beat != one.beat:
            return _Standing(one.beat)
        return _Standing(one.beat, before.for_s + watched_s)
