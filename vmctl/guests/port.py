"""Reading one guest's port: no faster than a fair share, so that a guest that floods fills and delays nobody.

What is not read waits in the guest: the SSH window is small, QEMU stops reading, and the agent there drops its reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vmctl.guests.guest import Guest, Heard
from vmctl.hosts.port import Link

BYTES_PER_S = 64 * 1024.0
BURST = 1024 * 1024.0  # a full picture of some thousand processes
MESSAGE_COST = 4096.0  # in bytes: small messages take time, too
AT_ONCE = 32 * 1024
WINDOW = 128 * 1024
QUIET_PERIODS, QUIET_S = 3.0, 10.0  # after such a silence it is greeted again, once


class Budget:
    """So many bytes a second, with a burst; a token bucket. Times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._left, self._at = BURST, now

    def spend(self, size: int, messages: int, now: float) -> float:
        """Take so many bytes with so many messages in them; how many seconds to wait before the next ones."""
        self._left = min(BURST, self._left + (now - self._at) * BYTES_PER_S) - size - messages * MESSAGE_COST
        self._at = now
        return max(0.0, -self._left / BYTES_PER_S)


async def read(link: Link, path: str, guest: Guest, tell: Callable[[Heard], None]) -> None:
    """Read the socket of a guest's port until it closes. Raises HostError when it cannot be opened, or breaks."""
    reader, writer = await link.ssh.open_unix(path, window=WINDOW)
    clock = link.clock
    budget, greeted = Budget(clock.monotonic()), False
    try:
        writer.write(guest.opened(clock.monotonic()))
        while True:
            try:
                async with asyncio.timeout(max(QUIET_S, QUIET_PERIODS * guest.period_s)):
                    data = await reader.read(AT_ONCE)
            except TimeoutError:
                if not greeted:  # more would pile up where nobody reads
                    writer.write(guest.opened(clock.monotonic()))
                greeted = True
                continue
            if not data:
                return
            greeted = False
            before = guest.taken
            news, answer = guest.receive(data, clock.monotonic(), int(clock.now() * 1e6))
            for heard in news:
                tell(heard)
            if answer:
                writer.write(answer)
            await asyncio.sleep(budget.spend(len(data), guest.taken - before, clock.monotonic()))
    finally:
        writer.close()
