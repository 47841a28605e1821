"""What is known of one guest, from the bytes of its port. No I/O and no clock: the caller gives bytes and times.

Bounded whatever the guest sends: one unfinished message, one picture of so many processes, a few events, one refusal.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from guest_agent import wire
from guest_agent.picture import Picture, apply
from vmctl.decide.health import Watch
from vmctl.guests.report import MOST_PROCESSES, MOST_SERVICES, InvalidReport, validate
from vmctl.ledger import ProcessSample

MOST_EVENTS = 32  # that wait to be told
STALE_PERIODS = 3  # what a guest said of its pressure counts for so many of its periods
ASK_AGAIN_S = 2.0  # for a full picture
DAY_US = 86_400_000_000
PERIOD_S = 5.0


class Heard(NamedTuple):
    """News of a guest's processes: all of them (`gone` is None), or what changed and what ended."""

    boot_id: str
    seen: list[ProcessSample]
    gone: list[tuple[int, int]] | None


@dataclass(slots=True)
class Guest:
    """One guest. Times are monotonic seconds unless they say UTC."""

    hello: dict[str, Any] = field(default_factory=dict)
    picture: Picture = field(default_factory=Picture)
    whole: bool = False  # whether `picture` is complete: nothing was lost since the last full one
    heard_at: float | None = None  # the last believable message
    up_s: float = 0.0  # the guest's own, at that moment
    refused: str = ""  # why its last unbelievable message was refused
    refusals: int = 0
    taken: int = 0  # messages, and what was none
    hidden: int = 0
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    _decoder: wire.Decoder = field(default_factory=wire.Decoder)
    _number: int = 0
    _sent: int = 0
    _asked_at: float = -ASK_AGAIN_S
    goodbye: bool = False

    @property
    def period_s(self) -> float:
        """Between two reports, as the agent says."""
        return float(self.hello.get("period_s", PERIOD_S))

    def opened(self, now: float) -> bytes:
        """The port was opened: what to say first. The agent answers with its hello and a full picture."""
        self._decoder, self.whole, self._asked_at = wire.Decoder(), False, now
        return self._say(wire.HELLO, {})

    def stall(self, now: float) -> float:
        """The worst of its pressures over 10 s, a share of time; 0 where it tells none, or has told nothing lately."""
        if self.heard_at is None or now - self.heard_at > STALE_PERIODS * self.period_s:
            return 0.0
        told: Any = self.picture.os.get("psi") or {}
        return max((float((kind or {}).get("some10") or 0.0) for kind in told.values()), default=0.0)

    def _say(self, kind: str, body: dict[str, object]) -> bytes:
        self._sent += 1
        return b"".join(wire.encode(kind, self._sent, body))

    def receive(self, data: bytes, now: float, utc_us: int) -> tuple[list[Heard], bytes]:
        """Bytes have come: the news in them, and what to answer."""
        news = []
        for found in self._decoder.feed(data):
            self.taken += 1
            if isinstance(found, wire.Damage):
                self._lose(f"{found.reason}, {found.size} bytes")
                continue
            try:
                heard = self._take(found, now, utc_us)
            except InvalidReport as err:
                self._lose(str(err))
                continue
            if heard is not None:
                news.append(heard)
        return news, self._ask(now)

    def _lose(self, why: str) -> None:
        self.whole, self.refused = False, why
        self.refusals += 1

    def _ask(self, now: float) -> bytes:
        """Ask for a full picture when something is missing, but not all the time."""
        if self.whole or self.heard_at is None or now - self._asked_at < ASK_AGAIN_S:
            return b""
        self._asked_at = now
        return self._say(wire.WANT, {"full": True}) if self.hello else self._say(wire.HELLO, {})

    def _take(self, message: wire.Message, now: float, utc_us: int) -> Heard | None:
        body = validate(message.type, message.body)
        follows, self._number = message.number == self._number + 1, message.number
        self.heard_at, self.goodbye = now, message.type == wire.BYE
        if message.type == wire.HELLO:
            self.hello = body
            if self.picture.os.get("boot_id", body["boot_id"]) != body["boot_id"]:
                self.picture, self.whole = Picture(), False  # it has booted: of what was known nothing is true
                self._asked_at = now  # it tells everything by itself
        elif message.type == wire.EVENT:
            self.whole = self.whole and follows
            self.events.append(body)
        elif message.type == wire.FULL or (message.type == wire.DELTA and self.whole and follows):
            return self._picture(message.type, body, utc_us)
        else:
            self.whole = False
        return None

    def _picture(self, kind: str, body: dict[str, Any], utc_us: int) -> Heard | None:
        if not self.hello:
            return None  # what its units are is not known: it will be asked
        self._note_restarts(body)
        apply(self.picture, kind, body)
        if len(self.picture.processes) > MOST_PROCESSES or len(self.picture.services or ()) > MOST_SERVICES:
            self.picture = Picture()
            raise InvalidReport(f"more than {MOST_PROCESSES} processes or {MOST_SERVICES} services")
        self.whole, self.up_s = True, body["at"]["up_s"]
        self.hidden = body.get("hidden", self.hidden)
        changed = [(p["pid"], p["start"]) for p in body.get("processes") or ()]
        seen = [self._seen(self.picture.processes[key], body["at"], utc_us) for key in changed]
        gone = None if kind == wire.FULL else [(pid, start) for pid, start in body.get("gone") or ()]
        return Heard(self.boot_id, seen, gone)

    def _note_restarts(self, body: dict[str, Any]) -> None:
        """Its service manager counts what it restarts by itself: more than it had told is an event."""
        known = self.picture.services or {}
        for service in body.get("services") or ():
            before, now = known.get(service["unit"], {}).get("restarts"), service.get("restarts")
            if isinstance(before, int) and isinstance(now, int) and now > before:
                why = f"{now - before} times, process {service.get('pid', 0)} now"
                about = {"watch": service["unit"], "unit": service["unit"], "pid": None, "start": None}
                self.events.append({"at": body["at"], "what": "restarted by itself", **about, "why": why})

    @property
    def boot_id(self) -> str:
        """Of its boot, as its kernel names it."""
        return str(self.picture.os.get("boot_id") or self.hello.get("boot_id", ""))

    def _seen(self, process: dict[str, Any], at: dict[str, Any], utc_us: int) -> ProcessSample:
        # its own clock names the start, as its own programs would; not one that is a day off
        clock = at["utc_us"] if abs(at["utc_us"] - utc_us) < DAY_US else utc_us
        age_us = (at["up_s"] - process["start"] / self.hello["ticks_per_s"]) * 1e6
        ports = process.get("ports")
        return ProcessSample(
            process["pid"],
            process["start"],
            max(0, int(clock - age_us)),
            process.get("ppid", 0),
            process.get("program", ""),
            process.get("version", ""),
            process.get("command", ""),
            process.get("user", ""),
            process.get("state", ""),
            process.get("cpu") or 0.0,
            process.get("rss_kib", 0),
            process.get("threads", 0),
            None if ports is None else tuple(ports),
        )

    def watches(self, now: float) -> tuple[Watch, ...]:
        """What is watched there, as last told."""
        up_s = self.up_s + (now - self.heard_at if self.heard_at is not None else 0.0)
        return tuple(
            Watch(str(w["name"]), w["ok"], max(0.0, up_s - w.get("since_s", up_s)), str(w.get("why", "")))  # type: ignore[operator,arg-type]
            for w in self.picture.watches.values()
        )
