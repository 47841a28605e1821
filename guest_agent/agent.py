"""The loop: look, tell, wait. One thread, and nothing in it waits for anything but its next turn."""

import os
import signal
import time
from collections.abc import Callable

from guest_agent import __version__, picture, repair, waiting, wire
from guest_agent.config import Config
from guest_agent.exits import Exits
from guest_agent.machine import at
from guest_agent.picture import Picture
from guest_agent.port import Port
from guest_agent.talk import Talk
from guest_agent.watch import Watches

MYPY = False
if MYPY:
    from guest_agent.guest import Guest

FULL_EVERY_S = 600.0  # a virtio port says when nobody reads; this is only for what nobody thought of
FULL_EVERY_LOSSY_S = 60.0
AT_MOST_EVERY_S = 1.0  # a full picture, or an answer to hello
SCAN_PAUSE_S = 0.2  # between a scan and one that an exit calls for


class Agent:
    """Tells of this machine until it is stopped. `clock` gives monotonic seconds."""

    def __init__(
        self, config: Config, guest: "Guest", port: Port, clock: "Callable[[], float]" = time.monotonic
    ) -> None:
        now = clock()
        self._config = config
        self._guest = guest
        self._clock = clock
        self._talk = Talk(port)
        limits = repair.Limits(config.restart_budget, config.restart_window_s, config.restart_backoff_s)
        self._watches = Watches(config.watches, limits, now)
        self._exits = Exits()
        self._told = Picture()
        self._touched: set[tuple[int, int]] = set()
        self._period_s = config.period_s
        self._next = now
        self._scanned = now - SCAN_PAUSE_S
        self._full_due = now
        self._full_sent = now - AT_MOST_EVERY_S
        self._hello_sent = now - AT_MOST_EVERY_S
        self._wants_full = True
        self._stop = False
        self._wake, self._waker = os.pipe()

    def stop(self, *_signal: object) -> None:
        """End the loop; from a signal handler or another thread."""
        self._stop = True
        os.write(self._waker, b"x")

    def run(self) -> None:
        """Until `stop`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        while not self._stop:
            now = self._clock()
            self.turn(now)
            self._wait(now)
        self._talk.send(self._clock(), wire.BYE, {})

    def turn(self, now: float) -> None:
        """All that is due now."""
        talk = self._talk
        talk.keep_open(now)
        if talk.greet and now - self._hello_sent >= AT_MOST_EVERY_S:
            talk.greet, self._hello_sent = False, now
            self._period_s = self._config.period_s
            talk.send(now, wire.HELLO, self._introduction())
            self._wants_full, self._next = True, now
        if now >= self._next:
            self._scan(now)
            # a pause of the whole machine is not made up for
            self._next = max(self._next + self._period_s, now + self._period_s / 2)
            self._report(now)
        self._watches.mend(now, self._guest.services)
        self._tell_events(now)
        talk.write(now)

    def _introduction(self) -> "dict[str, object]":
        config = self._config
        body: dict[str, object] = {"agent": __version__, "transport": self._talk.port.transport}
        body.update(period_s=self._period_s, period_min_s=config.period_min_s, period_max_s=config.period_max_s)
        body.update(full_every_s=self._full_every_s(), processes_max=config.processes_max)
        body.update(self._guest.introduction())
        return body

    def _full_every_s(self) -> float:
        usual = FULL_EVERY_LOSSY_S if self._talk.is_lossy else FULL_EVERY_S
        return self._config.full_every_s or usual

    # -- looking and telling

    def _scan(self, now: float) -> None:
        guest = self._guest
        self._scanned = now
        self._touched |= guest.scan(now)
        self._watches.look(now, guest.services, guest.pids_of, guest.listeners.ports)
        self._exits.follow(self._watches.pids(), guest.is_alive)

    def _report(self, now: float) -> None:
        """A full picture or what is new; nothing while the report before is still on its way."""
        talk = self._talk
        if not talk.has_peer:
            self._wants_full = True
            return
        if not talk.outbox.is_empty:
            self._wants_full = True  # this report does not go out, so the next must hold everything
            return
        if talk.outbox.dropped:
            talk.outbox.dropped, self._wants_full = False, True
        seen = self._visible(now)
        if (self._wants_full or now >= self._full_due) and now - self._full_sent >= AT_MOST_EVERY_S:
            self._send_full(now, *seen)
        elif not self._wants_full:
            body = picture.tell(self._told, seen[0], self._touched)
            if seen[1]:
                body["hidden"] = seen[1]
            self._touched.clear()
            if not talk.send(now, wire.DELTA, dict(at=at(), **body)):
                self._wants_full = True

    def _visible(self, now: float) -> "tuple[Picture, int]":
        """What is told: all there is, but for processes beyond the limit (the newest)."""
        source, seen = self._guest.picture, Picture()
        seen.os, seen.services, seen.watches = source.os, source.services, self._watches.records()
        hidden = max(0, len(source.processes) - self._config.processes_max)
        kept = list(source.processes)[: self._config.processes_max] if hidden else ()
        seen.processes = {key: source.processes[key] for key in kept} if hidden else source.processes
        if hidden:
            self._touched.update(kept)
        return seen, hidden

    def _send_full(self, now: float, seen: Picture, hidden: int) -> None:
        self._wants_full, self._full_sent = False, now
        self._full_due = now + self._full_every_s()
        self._guest.forget_kernel_threads()
        self._touched.clear()
        self._told = Picture()
        picture.tell(self._told, seen)
        if not self._talk.send(now, wire.FULL, dict(at=at(), hidden=hidden, **picture.full(seen))):
            self._wants_full = True

    def _tell_events(self, now: float) -> None:
        """Events go out at once; while a message is on its way, or nobody is there, they wait."""
        events = self._watches.events
        while events and self._talk.has_peer and self._talk.outbox.is_empty:
            self._talk.send(now, wire.EVENT, events.popleft())

    # -- waiting

    def _wait(self, now: float) -> None:
        """Until something happens or is due, and then do what it calls for."""
        talk, exits = self._talk, self._exits.fds()
        wanted = {} if os.name == "nt" else {self._wake: waiting.READ}
        if talk.has_peer:
            wanted[talk.port.fd] = waiting.READ if talk.outbox.is_empty else waiting.READ | waiting.WRITE
        probes, asked = self._watches.fds(), self._guest.fds()
        wanted.update(dict.fromkeys([*exits, *asked], waiting.READ))
        wanted.update(probes)
        until = min(self._next, talk.next_look(now), self._watches.next_look(now))
        if probes or asked or talk.greet:
            until = min(until, now + 0.5)  # their time limits
        ready = waiting.wait(wanted, until - self._clock())
        self._handle(self._clock(), ready, exits)

    def _handle(self, now: float, ready: "set[int]", exits: "dict[int, int]") -> None:
        guest = self._guest
        for fd in ready & exits.keys():
            pid = exits[fd]
            self._watches.exited(pid, guest.start_of(pid))
            self._exits.ended(pid)
            guest.services.look(now, hurry=True)
            self._next = min(self._next, max(now, self._scanned + SCAN_PAUSE_S))
        if exits and ready:
            self._tell_events(now)  # before all else: how soon an exit is known is what pidfds are for
        answered, touched = guest.poll(now)
        self._touched |= touched
        if answered:
            self._watches.look_at_units(now, guest.services)
            self._exits.follow(self._watches.pids(), guest.is_alive)
        self._watches.poll(now, ready, guest.services)
        if self._talk.has_peer and self._talk.port.fd in ready:
            for message in self._talk.receive(now):
                self._obey(message, now)

    def _obey(self, message: wire.Message, now: float) -> None:
        """The only two things that a host may say."""
        if message.type == wire.HELLO:
            self._talk.greet = True
            return
        period = message.body.get("period_s")
        if isinstance(period, (int, float)) and not isinstance(period, bool):
            self._period_s = min(max(period, self._config.period_min_s), self._config.period_max_s)
            self._next = min(self._next, now + self._period_s)
        if message.body.get("full") is True:
            self._wants_full = True
            self._next = min(self._next, max(now, self._full_sent + AT_MOST_EVERY_S))
