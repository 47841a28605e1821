"""What befalls single calls: a story, or a seed, says which call of whose meets with what."""

from __future__ import annotations

from dataclasses import dataclass, field

KINDS = (
    "unsent",  # it never reaches the host
    "unanswered",  # it is done, and nobody hears of it
    "late",  # it reaches the host only after the caller has given up
    "refused",  # the host says no, and does nothing
)


@dataclass
class Fates:
    """What is to befall the next calls, by host and name of the call; each once."""

    waiting: list[tuple[str, str, str]] = field(default_factory=list)  # (host, call, kind)
    drawn: int = 0  # calls so far
    met: int = 0  # of them that met with something
    nth: dict[int, str] = field(default_factory=dict)  # which call meets with what

    def add(self, host: str, call: str, kind: str) -> None:
        """The next call of that name to that host (both may be "*") meets with that."""
        self.waiting.append((host, call, kind))

    def add_nth(self, number: int, kind: str) -> None:
        """The call that many from now, whichever it is, meets with that."""
        self.nth[self.drawn + number] = kind

    def clear(self) -> None:
        """Nothing befalls anybody any more."""
        self.waiting.clear()
        self.nth.clear()

    def draw(self, host: str, call: str) -> str:
        """What befalls this call; empty: nothing."""
        self.drawn += 1
        kind = self.nth.pop(self.drawn, "") or self._named(host, call)
        self.met += bool(kind)
        return kind

    def _named(self, host: str, call: str) -> str:
        for one in self.waiting:
            if one[0] in ("*", host) and one[1] in ("*", call):
                self.waiting.remove(one)
                return one[2]
        return ""
