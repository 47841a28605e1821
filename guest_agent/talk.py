"""The conversation with the host: the port, what goes out, what comes in. It never waits for the host."""

import sys

from guest_agent import wire
from guest_agent.outbox import Outbox
from guest_agent.port import ISA, Port, PortLost

STUCK_S = 60.0  # a host is there, but nothing has gone out for so long: the port is opened anew
IN_LIMIT = 4096  # bytes of a frame from the host
LATER = float("inf")


class Talk:
    """`greet` is set when somebody may have come: introduce yourself and tell everything."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.outbox = Outbox()
        self.greet = False
        self._peer = False
        self._decoder = wire.Decoder(IN_LIMIT, 1)
        self._number = 0
        self._moved_at = 0.0
        self._told = ""

    @property
    def has_peer(self) -> bool:
        """Whether a host may be reading."""
        return self._peer

    @property
    def is_lossy(self) -> bool:
        """Whether the port hides that nobody reads."""
        return self.port.transport == ISA

    def keep_open(self, now: float) -> None:
        """Open the port if it is not, see who is there, close it if it is no use."""
        if self.port.try_to_open(now):
            say(f"{self.port.path} is open")
            self._told = ""
            self._peer = False
            self._decoder = wire.Decoder(IN_LIMIT, 1)
        if not self.port.is_open:
            if self.port.why != self._told:
                self._told = self.port.why
                say(f"no port yet: {self._told}")
            return
        peer = self.port.has_peer()
        if peer and not self._peer:
            self.greet, self._moved_at = True, now
        elif not peer:
            self.outbox.clear()
            if self.port.is_stale():
                self._close(now)
                return
        self._peer = peer
        if not self.outbox.is_empty and now - self._moved_at > STUCK_S:
            self._close(now)

    def _close(self, now: float) -> None:
        self.port.close(now)
        self.outbox.clear()
        self._peer = False

    def send(self, now: float, type: str, body: "dict[str, object]") -> bool:
        """Hand a message over; whether it is on its way. One that cannot be is not kept."""
        self._number += 1
        if not self._peer:
            self.outbox.dropped = True
            return False
        if self.outbox.is_empty:
            self._moved_at = now
        taken = self.outbox.put(b"".join(wire.encode(type, self._number, body)))
        self.write(now)
        return taken

    def write(self, now: float) -> None:
        """Write what waits, as far as it is taken."""
        if not self._peer or self.outbox.is_empty:
            return
        try:
            if self.outbox.write(self.port.write):
                self._moved_at = now
        except PortLost:
            self._close(now)

    def receive(self, now: float) -> "list[wire.Message]":
        """What the host says, of the few things that mean anything."""
        try:
            found = self._decoder.feed(self.port.read())
        except PortLost:
            self._close(now)
            return []
        return [one for one in found if isinstance(one, wire.Message) and one.type in (wire.HELLO, wire.WANT)]

    def next_look(self, now: float) -> float:
        """When to see to the port again at the latest."""
        if not self.port.is_open:
            return self.port.retry_at
        return now + 1.0 if not self._peer else LATER


def say(line: str) -> None:
    """For the journal."""
    print(line, file=sys.stderr, flush=True)
